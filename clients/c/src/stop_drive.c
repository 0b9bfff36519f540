// Drives a climb to its end.
#include "clients/c/src/stop_drive.h"

#include "clients/c/src/clock.h"
#include "clients/c/src/error.h"
#include "clients/c/src/known.h"
#include "clients/c/src/stop_parts.h"

#include <errno.h>
#include <string.h>

#define RENEWALS_MAX 32

/* ---- the end --------------------------------------------------------------------------- */

void stop_end(struct drive *drive)
{
	if (!drive->over)
		drive->over = true;
}

void stop_end_with_record(struct drive *drive, struct spawnd_exit *record)
{
	if (drive->over) {
		spawnd_exit_free(record);
		return;
	}
	drive->over = true;
	drive->record = record;
}

void stop_end_call(struct call *call)
{
	call_settle(call);
	call_end(call);
}

void stop_check_reach(struct drive *drive, struct call *call, uint64_t now_us)
{
	uint64_t patience_us = clock_us_of_ms(drive->client->timeout_ms);
	if (!call->live || !call_is_stranded(call, patience_us, now_us))
		return;
	invoke_unreachable(drive->client, &drive->error);
	stop_end(drive);
}

// How an outcome that is no answer ends the climb.
void stop_call_failed(struct drive *drive, enum call_outcome outcome, const char *method)
{
	invoke_failed(outcome, method, &drive->error);
	stop_end(drive);
}

void stop_lost(struct drive *drive)
{
	invoke_lost(&drive->error);
	stop_end(drive);
}

/* ---- the machine ----------------------------------------------------------------------- */

void stop_post(struct drive *drive, int event, uint8_t rung)
{
	struct spawnd_stop_progress progress = {
	    .event = event, .rung = rung, .n_rungs = drive->machine.n_rungs, .wait_ms = SPAWND_FOREVER};
	if (rung >= 1 && rung <= drive->ladder.n_rungs) {
		progress.what = drive->ladder.rungs[rung - 1];
		progress.wait_ms = drive->wait_ms[rung - 1];
	}
	climb_post(drive->client, drive->climb, &progress);
}

static int unreaped(struct drive *drive)
{
	return error_set(&drive->error, SPAWND_E_UNREAPED, ETIMEDOUT,
	    "the last rung's wait is over and it has not ended%s%s",
	    drive->blocked ? ": a member is " : "",
	    drive->blocked ? spawnd_blocked_name(drive->blocked) : "");
}

void stop_feed(struct drive *drive, struct stop_event event)
{
	uint64_t now_us = clock_now_us();
	if (event.kind == STOP_TIME)
		event.at_us = now_us;
	for (;;) {
		struct stop_actions actions = stop_step(&drive->machine, &event, now_us);
		if (drive->machine.outcome == STOP_UNREAPED && !drive->over) {
			unreaped(drive);
			stop_end(drive);
		}
		if (actions.over || drive->over || !actions.send_rung)
			return;
		stop_send_rung(drive, actions.send_rung);
		event = (struct stop_event){.kind = STOP_TIME, .at_us = now_us};
	}
}

void stop_apply_waits(struct drive *drive)
{
	const struct spawnd_stop_options *options = drive->options;
	uint64_t wait_us[SPAWND_RUNGS_MAX];
	uint8_t n_rungs = (uint8_t)drive->ladder.n_rungs;
	for (uint8_t i = 0; i < n_rungs; i++) {
		uint64_t wait_ms = drive->ladder.rungs[i].wait_ms;
		if (i == 0 && options->override_first_wait)
			wait_ms = options->first_wait_ms;
		if (i + 1 == n_rungs && options->override_last_wait)
			wait_ms = options->last_wait_ms;
		if (i + 1 > drive->machine.rung)
			drive->wait_ms[i] = wait_ms;
		wait_us[i] = clock_us_of_ms(drive->wait_ms[i]);
	}
	if (drive->machine.n_rungs)
		stop_machine_set_ladder(&drive->machine, n_rungs, wait_us);
	else
		stop_machine_init(&drive->machine, n_rungs, wait_us);
}

/* ---- sessions -------------------------------------------------------------------------- */

// Takes the current session, opening one where need be. The handle must be of its server's life.
static void take_session(struct drive *drive)
{
	uint64_t deadline_us = clock_add_us(clock_now_us(), clock_us_of_ms(drive->client->timeout_ms));
	session_drop(drive->client, drive->session);
	drive->session = NULL;
	if (session_get(drive->use, deadline_us, &drive->session, &drive->error) < 0)
		stop_end(drive);
	else if (drive->session->epoch != drive->target.epoch)
		stop_lost(drive);
}

static void ask_again(struct drive *drive, struct call *call, uint8_t rung, uint64_t wait_ms)
{
	if (drive->over || stop_start_cancel(drive, call, rung, wait_ms) == 0)
		return;
	error_memory(&drive->error);
	stop_end(drive);
}

// The session is over, the climb is not: the same rung is asked for again in the next session.
void stop_renew_session(struct drive *drive)
{
	bool cancelling = drive->cancel.live, nearing = drive->nearer.live;
	uint8_t rung = drive->machine.rung;
	session_mark_over(drive->client, drive->session);
	if (++drive->n_renewals > RENEWALS_MAX) {
		error_set(&drive->error, SPAWND_E_PROTOCOL, 0, "the server ends each session at once");
		stop_end(drive);
		return;
	}
	stop_end_call(&drive->cancel);
	stop_end_call(&drive->nearer);
	stop_end_call(&drive->await);
	drive->await_next_us = 0;
	take_session(drive);
	if (cancelling)
		ask_again(drive, &drive->cancel, rung, drive->wait_ms[rung - 1]);
	if (nearing)
		ask_again(drive, &drive->nearer, drive->nearer_rung, drive->nearer_wait_ms);
}

static void take_wants(struct drive *drive)
{
	struct climb_wants wants = climb_take_wants(drive->client, drive->climb);
	uint8_t n_rungs = drive->machine.n_rungs, rung = drive->machine.rung;
	for (; wants.n_hurries && !drive->over; wants.n_hurries--) {
		if (drive->machine.rung + drive->machine.n_hurries < n_rungs)
			stop_post(drive, SPAWND_STOP_HURRIED, drive->machine.rung);
		stop_feed(drive, (struct stop_event){.kind = STOP_HURRY, .at_us = clock_now_us()});
	}
	if (drive->over)
		return;
	if (wants.last_wait_ms < drive->wait_ms[n_rungs - 1] && rung < n_rungs) {
		drive->wait_ms[n_rungs - 1] = wants.last_wait_ms;
		drive->machine.wait_us[n_rungs - 1] = clock_us_of_ms(wants.last_wait_ms);
	}
	uint64_t here_ms = SPAWND_FOREVER;
	if (drive->machine.rung == 1)
		here_ms = wants.first_wait_ms;
	if (drive->machine.rung == n_rungs && wants.last_wait_ms < here_ms)
		here_ms = wants.last_wait_ms;
	if (here_ms != SPAWND_FOREVER)
		stop_begin_nearer(drive, here_ms);
}

/* ---- the loop -------------------------------------------------------------------------- */

static uint64_t call_wake_us(const struct drive *drive, const struct call *call)
{
	if (!call->live)
		return CLOCK_NEVER;
	uint64_t patience_us = clock_us_of_ms(drive->client->timeout_ms);
	return clock_min_us(call_due_us(call), call_stranded_us(call, patience_us));
}

static uint64_t next_wake_us(const struct drive *drive)
{
	uint64_t wake_us = CLOCK_NEVER;
	if (drive->machine.sent)
		wake_us = drive->machine.next_us;
	wake_us = clock_min_us(wake_us, call_wake_us(drive, &drive->cancel));
	if (drive->nearer.live) {
		wake_us = clock_min_us(wake_us, call_due_us(&drive->nearer));
		if (drive->nearer.first_sent_us && !drive->nearer_told)
			wake_us =
			    clock_min_us(wake_us, clock_add_us(drive->nearer.first_sent_us, STOP_WINDOW_US));
	}
	if (!drive->await.live)
		return clock_min_us(wake_us, drive->await_next_us);
	wake_us = clock_min_us(wake_us, call_wake_us(drive, &drive->await));
	return clock_min_us(wake_us, drive->await_silent_us);
}

// Answers are taken in before time is: what has happened counts, not when this thread got to run.
static void turn(struct drive *drive)
{
	if (client_is_closing(drive->client)) {
		invoke_failed(CALL_CLOSED, "Cancel", &drive->error);
		stop_end(drive);
	}
	if (!drive->over)
		stop_step_await(drive, clock_now_us());
	if (!drive->over)
		stop_step_cancel(drive, clock_now_us());
	if (!drive->over)
		stop_step_nearer(drive, clock_now_us());
	if (!drive->over)
		take_wants(drive);
	if (!drive->over)
		stop_feed(drive, (struct stop_event){.kind = STOP_TIME});
	// A Cancel that the machine has just asked for goes out now.
	if (!drive->over)
		stop_step_cancel(drive, clock_now_us());
}

static void climb_on(struct drive *drive, struct climb_member *member)
{
	int hurry_fd = drive->options->hurry_fd;
	stop_feed(drive, (struct stop_event){.kind = STOP_TIME});
	if (!drive->over)
		stop_step_cancel(drive, clock_now_us()); // before any wait: the first rung (GRP-1)
	for (;;) {
		if (!drive->over)
			turn(drive);
		climb_deliver(drive->client, member, drive->options);
		if (drive->over)
			return;
		if (wake_wait(&drive->use->wake, next_wake_us(drive), hurry_fd))
			stop_read_hurry(drive->client, drive->climb, &hurry_fd);
	}
}

static void finish(struct drive *drive)
{
	stop_end_call(&drive->cancel);
	stop_end_call(&drive->nearer);
	call_end(&drive->await);
	session_drop(drive->client, drive->session);
	if (drive->record) {
		known_set_ended(drive->client->known, drive->record->process.id);
		memset(&drive->error, 0, sizeof drive->error);
		stop_post(drive, SPAWND_STOP_ENDED, drive->machine.rung);
	}
	climb_finish(drive->client, drive->climb, drive->record, &drive->error);
}

void stop_drive(
    struct use *use, struct climb_member *member, const struct spawnd_stop_options *options)
{
	struct drive drive = {.use = use,
	    .client = use->client,
	    .climb = member->climb,
	    .options = options,
	    .by_id = member->climb->process.id != 0,
	    .await_next_us = 0};
	target_set(&drive.target, &drive.climb->process, &drive.error); // checked by spawnd_stop
	struct spawnd_exit *record = NULL;
	take_session(&drive);
	if (!drive.over &&
	    stop_learn(use, &drive.climb->process, &drive.ladder, &record, &drive.error) < 0)
		stop_end(&drive);
	if (!drive.over && record)
		stop_end_with_record(&drive, record);
	if (!drive.over) {
		stop_apply_waits(&drive);
		climb_on(&drive, member);
	}
	finish(&drive);
}
