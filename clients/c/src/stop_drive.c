// Drives a climb to its end.
#include "clients/c/src/stop_drive.h"

#include "clients/c/src/await.h"
#include "clients/c/src/cancel.h"
#include "clients/c/src/clock.h"
#include "clients/c/src/error.h"
#include "clients/c/src/known.h"
#include "clients/c/src/stop_learn.h"
#include "clients/c/src/stop_machine.h"
#include "clients/c/src/target.h"

#include <errno.h>
#include <string.h>

// A server that takes no Cancel now is asked again so soon; one that refuses AwaitExit, so late.
#define CANCEL_AGAIN_US UINT64_C(250000)
#define AWAIT_AGAIN_US  UINT64_C(1000000)

struct drive {
	struct use *use;
	struct spawnd_client *client;
	struct climb *climb;
	const struct spawnd_stop_options *options;
	struct target target;
	bool by_id;
	struct session *session;

	struct stop_machine machine;
	struct stop_ladder ladder;
	uint64_t wait_ms[SPAWND_RUNGS_MAX]; // of each rung, as asked for

	struct call cancel; // of the machine's rung
	uint64_t cancel_begun_us;
	bool cancel_left_told, cancel_not_found;
	struct call nearer; // a join of the same rung with a shorter wait
	uint8_t nearer_rung;
	uint64_t nearer_wait_ms;
	bool nearer_told;
	struct call await;
	uint64_t await_begun_us, await_silent_us, await_next_us;
	int blocked; // what the latest answer said

	bool over;
	struct spawnd_exit *record;
	struct spawnd_error error;
};

/* ---- the end --------------------------------------------------------------------------- */

static void end_with_error(struct drive *drive)
{
	if (!drive->over)
		drive->over = true;
}

static void end_with_record(struct drive *drive, struct spawnd_exit *record)
{
	if (drive->over) {
		spawnd_exit_free(record);
		return;
	}
	drive->over = true;
	drive->record = record;
}

static void end_call(struct call *call)
{
	call_settle(call);
	call_end(call);
}

/* ---- the machine ----------------------------------------------------------------------- */

static void post(struct drive *drive, int event, uint8_t rung)
{
	struct spawnd_stop_progress progress = {
	    .event = event, .rung = rung, .n_rungs = drive->machine.n_rungs, .wait_ms = SPAWND_FOREVER};
	if (rung >= 1 && rung <= drive->ladder.n_rungs) {
		progress.what = drive->ladder.rungs[rung - 1];
		progress.wait_ms = drive->wait_ms[rung - 1];
	}
	climb_post(drive->client, drive->climb, &progress);
}

static int start_cancel(struct drive *drive, struct call *call, uint8_t rung, uint64_t wait_ms)
{
	Spawn__V1__CancelRequest request = SPAWN__V1__CANCEL_REQUEST__INIT;
	request.target = &drive->target.message;
	request.rung = rung;
	request.wait_ms = wait_ms;
	struct call_terms terms = invoke_terms(drive->use, drive->session, "Cancel", true, 0);
	return call_start(call, &terms, &request.base);
}

static void send_rung(struct drive *drive, uint8_t rung)
{
	end_call(&drive->cancel);
	end_call(&drive->nearer);
	drive->cancel_left_told = false;
	drive->cancel_begun_us = clock_now_us();
	if (start_cancel(drive, &drive->cancel, rung, drive->wait_ms[rung - 1]) < 0) {
		error_memory(&drive->error);
		end_with_error(drive);
		return;
	}
	post(drive, SPAWND_STOP_RUNG_SENT, rung);
}

static int unreaped(struct drive *drive)
{
	return error_set(&drive->error, SPAWND_E_UNREAPED, ETIMEDOUT,
	    "the last rung's wait is over and it has not ended%s%s",
	    drive->blocked ? ": a member is " : "",
	    drive->blocked ? spawnd_blocked_name(drive->blocked) : "");
}

static void feed(struct drive *drive, struct stop_event event)
{
	uint64_t now_us = clock_now_us();
	if (event.kind == STOP_TIME)
		event.at_us = now_us;
	for (;;) {
		struct stop_actions actions = stop_step(&drive->machine, &event, now_us);
		if (drive->machine.outcome == STOP_UNREAPED && !drive->over) {
			unreaped(drive);
			end_with_error(drive);
		}
		if (actions.over || drive->over || !actions.send_rung)
			return;
		send_rung(drive, actions.send_rung);
		event = (struct stop_event){.kind = STOP_TIME, .at_us = now_us};
	}
}

/* ---- sessions -------------------------------------------------------------------------- */

static void lost(struct drive *drive)
{
	invoke_lost(&drive->error);
	end_with_error(drive);
}

// Takes the current session, opening one where need be. The handle must be of its server's life.
static void take_session(struct drive *drive)
{
	uint64_t deadline_us = clock_add_us(clock_now_us(), clock_us_of_ms(drive->client->timeout_ms));
	session_drop(drive->client, drive->session);
	drive->session = NULL;
	if (session_get(drive->use, deadline_us, &drive->session, &drive->error) < 0)
		end_with_error(drive);
	else if (drive->session->epoch != drive->target.epoch)
		lost(drive);
}

// The session is over, the climb is not: the same rung is asked for again in the next session.
static void renew_session(struct drive *drive)
{
	bool cancelling = drive->cancel.live;
	uint8_t rung = drive->machine.rung;
	session_mark_over(drive->client, drive->session);
	end_call(&drive->cancel);
	end_call(&drive->nearer);
	end_call(&drive->await);
	drive->await_next_us = 0;
	take_session(drive);
	if (!drive->over && cancelling &&
	    start_cancel(drive, &drive->cancel, rung, drive->wait_ms[rung - 1]) < 0) {
		error_memory(&drive->error);
		end_with_error(drive);
	}
}

/* ---- Cancel ---------------------------------------------------------------------------- */

static void apply_waits(struct drive *drive)
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

static void learn_ladder(struct drive *drive, const struct spawnd_climb *climb)
{
	known_set_ladder(drive->client->known, climb->process_id, climb->ladder, climb->n_rungs);
	if (drive->ladder.certain || climb->n_rungs < drive->machine.rung || !climb->n_rungs)
		return;
	memcpy(drive->ladder.rungs, climb->ladder, climb->n_rungs * sizeof climb->ladder[0]);
	drive->ladder.n_rungs = climb->n_rungs;
	drive->ladder.certain = true;
	apply_waits(drive);
}

static void cancel_answered(
    struct drive *drive, const Spawn__V1__Response *response, uint64_t received_us)
{
	struct cancel_answer answer;
	uint8_t rung = drive->machine.rung;
	if (cancel_decode(response, &answer, NULL) < 0) {
		feed(drive,
		    (struct stop_event){.kind = STOP_RUNG_DECLINED, .rung = rung, .at_us = received_us});
		post(drive, SPAWND_STOP_RUNG_REFUSED, rung);
		return;
	}
	if (answer.climb.never_started) {
		spawnd_exit_free(answer.record);
		error_set(&drive->error, SPAWND_E_CANCELLED, 0,
		    "its Spawn had not arrived, and will start nothing");
		end_with_error(drive);
	} else if (answer.record &&
	           (answer.record->tree_empty || answer.record->kind == SPAWND_START_FAILED)) {
		end_with_record(drive, answer.record);
	} else {
		spawnd_exit_free(answer.record);
		learn_ladder(drive, &answer.climb);
		uint8_t reached = answer.climb.rung_reached > SPAWND_RUNGS_MAX
		                      ? rung
		                      : (uint8_t)answer.climb.rung_reached;
		post(drive, SPAWND_STOP_RUNG_ANSWERED, reached > rung ? reached : rung);
		feed(drive,
		    (struct stop_event){
		        .kind = STOP_RUNG_TAKEN, .rung = rung, .reached = reached, .at_us = received_us});
	}
}

// Any other answer: LATER is asked again with the same id, the rest declines the rung.
static void cancel_declined(
    struct drive *drive, const Spawn__V1__Response *response, uint64_t received_us)
{
	int code = (int)response->status->code;
	uint8_t rung = drive->machine.rung;
	if (code == SPAWN__V1__CODE__CODE_UNAVAILABLE ||
	    code == SPAWN__V1__CODE__CODE_RESOURCE_EXHAUSTED) {
		uint64_t pause_us = clock_us_of_ms(invoke_retry_after_ms(response));
		call_again(&drive->cancel,
		    clock_add_us(received_us, pause_us > CANCEL_AGAIN_US ? pause_us : CANCEL_AGAIN_US));
		return;
	}
	end_call(&drive->cancel);
	// Not found is no refusal: AwaitExit knows. (LAD-8)
	drive->cancel_not_found = code == SPAWN__V1__CODE__CODE_NOT_FOUND;
	if (!drive->cancel_not_found)
		post(drive, SPAWND_STOP_RUNG_REFUSED, rung);
	feed(
	    drive, (struct stop_event){.kind = STOP_RUNG_DECLINED, .rung = rung, .at_us = received_us});
}

static void tell_cancel_left(struct drive *drive)
{
	if (drive->cancel_left_told || !drive->cancel.first_sent_us)
		return;
	drive->cancel_left_told = true;
	feed(drive, (struct stop_event){.kind = STOP_RUNG_LEFT,
	                .rung = drive->machine.rung,
	                .at_us = drive->cancel.first_sent_us});
}

// Nothing can be sent to the server: bounded, as every call is. (RPC-7)
static void check_reach(struct drive *drive, struct call *call, uint64_t begun_us, uint64_t now_us)
{
	uint64_t patience_us = clock_us_of_ms(drive->client->timeout_ms);
	if (!call->live || call->n_sent || now_us < clock_add_us(begun_us, patience_us))
		return;
	invoke_unreachable(drive->client, &drive->error);
	end_with_error(drive);
}

// How an outcome that is no answer ends the climb.
static void call_failed(struct drive *drive, enum call_outcome outcome, const char *method)
{
	invoke_failed(outcome, method, &drive->error);
	end_with_error(drive);
}

static void step_cancel(struct drive *drive, uint64_t now_us)
{
	struct call_answer answer;
	if (!drive->cancel.live)
		return;
	enum call_outcome outcome = call_step(&drive->cancel, now_us, &answer);
	uint8_t rung = drive->machine.rung;
	// Before its answer: the order in which they happened.
	tell_cancel_left(drive);
	if (drive->over || drive->machine.rung != rung) {
		if (outcome == CALL_ANSWERED)
			decode_free(&answer.response->base); // late: that rung is left
		return;
	}
	if (outcome == CALL_ANSWERED) {
		enum invoke_meaning meaning = invoke_meaning(drive->session, answer.response);
		if (meaning == INVOKE_OK) {
			end_call(&drive->cancel);
			cancel_answered(drive, answer.response, answer.received_us);
		} else if (meaning == INVOKE_RESTARTED) {
			session_mark_over(drive->client, drive->session);
			lost(drive);
		} else if (meaning == INVOKE_SESSION_OVER) {
			renew_session(drive);
		} else {
			cancel_declined(drive, answer.response, answer.received_us);
		}
		decode_free(&answer.response->base);
	} else if (outcome == CALL_BROKEN) {
		end_call(&drive->cancel);
		feed(drive, (struct stop_event){.kind = STOP_RUNG_DECLINED, .rung = rung, .at_us = now_us});
	} else if (outcome != CALL_PENDING) {
		call_failed(drive, outcome, "Cancel");
	} else {
		check_reach(drive, &drive->cancel, drive->cancel_begun_us, now_us);
	}
}

/* ---- a nearer deadline for the rung (LAD-11, LAD-22) ----------------------------------- */

static void begin_nearer(struct drive *drive, uint64_t wait_ms)
{
	uint8_t rung = drive->machine.rung;
	end_call(&drive->nearer);
	if (wait_ms >= drive->wait_ms[rung - 1])
		return;
	drive->wait_ms[rung - 1] = wait_ms;
	drive->nearer_rung = rung;
	drive->nearer_wait_ms = wait_ms;
	drive->nearer_told = false;
	if (start_cancel(drive, &drive->nearer, rung, wait_ms) < 0) {
		error_memory(&drive->error);
		end_with_error(drive);
	}
}

static void tell_nearer(struct drive *drive, uint64_t at_us)
{
	feed(drive, (struct stop_event){.kind = STOP_RUNG_NEARER,
	                .rung = drive->nearer_rung,
	                .wait_us = clock_us_of_ms(drive->nearer_wait_ms),
	                .at_us = at_us});
}

static void step_nearer(struct drive *drive, uint64_t now_us)
{
	struct call_answer answer;
	if (!drive->nearer.live)
		return;
	enum call_outcome outcome = call_step(&drive->nearer, now_us, &answer);
	uint64_t window_over_us = clock_add_us(drive->nearer.first_sent_us, STOP_WINDOW_US);
	if (outcome == CALL_ANSWERED) {
		bool again = invoke_meaning(drive->session, answer.response) == INVOKE_LATER;
		decode_free(&answer.response->base);
		if (again) {
			call_again(&drive->nearer, now_us + CANCEL_AGAIN_US);
			return;
		}
		// Whatever it says, the rung's own Cancel and the await find out what matters.
		end_call(&drive->nearer);
		tell_nearer(drive, answer.received_us);
	} else if (outcome != CALL_PENDING) {
		end_call(&drive->nearer);
		tell_nearer(drive, now_us);
	} else if (drive->nearer.first_sent_us && !drive->nearer_told && now_us >= window_over_us) {
		drive->nearer_told = true;
		tell_nearer(drive, window_over_us);
	}
}

static void take_wants(struct drive *drive)
{
	struct climb_wants wants = climb_take_wants(drive->client, drive->climb);
	uint8_t n_rungs = drive->machine.n_rungs, rung = drive->machine.rung;
	for (; wants.n_hurries && !drive->over; wants.n_hurries--) {
		if (drive->machine.rung < n_rungs)
			post(drive, SPAWND_STOP_HURRIED, drive->machine.rung);
		feed(drive, (struct stop_event){.kind = STOP_HURRY, .at_us = clock_now_us()});
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
		begin_nearer(drive, here_ms);
}

/* ---- AwaitExit ------------------------------------------------------------------------- */

static void begin_await(struct drive *drive, uint64_t now_us)
{
	Spawn__V1__AwaitExitRequest request = SPAWN__V1__AWAIT_EXIT_REQUEST__INIT;
	request.target = &drive->target.message;
	request.until = SPAWN__V1__UNTIL__UNTIL_TREE_EMPTY;
	request.hold_ms = await_hold_max_ms(drive->client, drive->session);
	struct call_terms terms =
	    invoke_terms(drive->use, drive->session, "AwaitExit", false, request.hold_ms);
	if (call_start(&drive->await, &terms, &request.base) < 0) {
		error_memory(&drive->error);
		end_with_error(drive);
		return;
	}
	drive->await_begun_us = now_us;
	drive->await_silent_us = clock_add_us(
	    now_us, clock_us_of_ms(request.hold_ms) + clock_us_of_ms(drive->client->timeout_ms));
	drive->await_next_us = CLOCK_NEVER;
}

static void await_again(struct drive *drive, uint64_t at_us)
{
	call_end(&drive->await);
	uint64_t soonest_us = drive->await_begun_us + AWAIT_INTERVAL_US;
	drive->await_next_us = at_us > soonest_us ? at_us : soonest_us;
}

static void await_declined(
    struct drive *drive, const Spawn__V1__Response *response, uint64_t now_us)
{
	bool not_found = (int)response->status->code == SPAWN__V1__CODE__CODE_NOT_FOUND;
	uint64_t pause_us = clock_us_of_ms(invoke_retry_after_ms(response));
	if (not_found && drive->by_id) {
		error_set(
		    &drive->error, SPAWND_E_LOST, 0, "the server has no record of this process any more");
		end_with_error(drive);
	} else if (not_found && drive->cancel_not_found) {
		error_set(&drive->error, SPAWND_E_NOT_FOUND, 0, "no such Spawn has come, and none will");
		end_with_error(drive);
	} else if (not_found) {
		await_again(drive, now_us + CANCEL_AGAIN_US);
	} else {
		await_again(drive, now_us + (pause_us > AWAIT_AGAIN_US ? pause_us : AWAIT_AGAIN_US));
	}
}

static void await_answered(
    struct drive *drive, const Spawn__V1__Response *response, uint64_t now_us)
{
	struct await_answer answer;
	if (await_decode(response, SPAWND_UNTIL_TREE_EMPTY, &answer, NULL) < 0) {
		await_again(drive, now_us + AWAIT_AGAIN_US);
	} else if (answer.done) {
		end_with_record(drive, answer.record);
	} else {
		drive->blocked = answer.blocked;
		await_again(drive, clock_add_us(now_us, clock_us_of_ms(answer.retry_after_ms)));
	}
}

// A silent server: the poll begins anew; under a wait without limit nothing else would ever end.
static void check_silence(struct drive *drive, uint64_t now_us)
{
	check_reach(drive, &drive->await, drive->await_begun_us, now_us);
	if (drive->over || now_us < drive->await_silent_us)
		return;
	if (drive->machine.next_us == STOP_NEVER) {
		invoke_indeterminate(&drive->error, "AwaitExit");
		end_with_error(drive);
		return;
	}
	await_again(drive, now_us);
}

static void step_await(struct drive *drive, uint64_t now_us)
{
	struct call_answer answer;
	if (!drive->await.live && now_us >= drive->await_next_us)
		begin_await(drive, now_us);
	if (!drive->await.live || drive->over)
		return;
	enum call_outcome outcome = call_step(&drive->await, now_us, &answer);
	if (outcome == CALL_ANSWERED) {
		enum invoke_meaning meaning = invoke_meaning(drive->session, answer.response);
		if (meaning == INVOKE_OK) {
			await_answered(drive, answer.response, now_us);
		} else if (meaning == INVOKE_RESTARTED) {
			session_mark_over(drive->client, drive->session);
			lost(drive);
		} else if (meaning == INVOKE_SESSION_OVER) {
			renew_session(drive);
		} else {
			await_declined(drive, answer.response, now_us);
		}
		decode_free(&answer.response->base);
	} else if (outcome == CALL_BROKEN) {
		await_again(drive, now_us + AWAIT_AGAIN_US);
	} else if (outcome != CALL_PENDING) {
		call_failed(drive, outcome, "AwaitExit");
	} else {
		check_silence(drive, now_us);
	}
}

/* ---- the loop -------------------------------------------------------------------------- */

static uint64_t call_wake_us(const struct drive *drive, const struct call *call, uint64_t begun_us)
{
	if (!call->live)
		return CLOCK_NEVER;
	uint64_t due_us = call_due_us(call);
	if (!call->n_sent)
		due_us =
		    clock_min_us(due_us, clock_add_us(begun_us, clock_us_of_ms(drive->client->timeout_ms)));
	return due_us;
}

static uint64_t next_wake_us(const struct drive *drive)
{
	uint64_t wake_us = CLOCK_NEVER;
	if (drive->machine.sent)
		wake_us = drive->machine.next_us;
	wake_us = clock_min_us(wake_us, call_wake_us(drive, &drive->cancel, drive->cancel_begun_us));
	if (drive->nearer.live) {
		wake_us = clock_min_us(wake_us, call_due_us(&drive->nearer));
		if (drive->nearer.first_sent_us && !drive->nearer_told)
			wake_us =
			    clock_min_us(wake_us, clock_add_us(drive->nearer.first_sent_us, STOP_WINDOW_US));
	}
	if (!drive->await.live)
		return clock_min_us(wake_us, drive->await_next_us);
	wake_us = clock_min_us(wake_us, call_wake_us(drive, &drive->await, drive->await_begun_us));
	return clock_min_us(wake_us, drive->await_silent_us);
}

// Answers are taken in before time is: what has happened counts, not when this thread got to run.
static void turn(struct drive *drive)
{
	if (client_is_closing(drive->client)) {
		invoke_failed(CALL_CLOSED, "Cancel", &drive->error);
		end_with_error(drive);
	}
	if (!drive->over)
		step_await(drive, clock_now_us());
	if (!drive->over)
		step_cancel(drive, clock_now_us());
	if (!drive->over)
		step_nearer(drive, clock_now_us());
	if (!drive->over)
		take_wants(drive);
	if (!drive->over)
		feed(drive, (struct stop_event){.kind = STOP_TIME});
	// A Cancel that the machine has just asked for goes out now.
	if (!drive->over)
		step_cancel(drive, clock_now_us());
}

static void climb_on(struct drive *drive, struct climb_member *member)
{
	int hurry_fd = drive->options->hurry_fd;
	feed(drive, (struct stop_event){.kind = STOP_TIME});
	if (!drive->over)
		step_cancel(drive, clock_now_us()); // before any wait: the first rung (GRP-1)
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
	end_call(&drive->cancel);
	end_call(&drive->nearer);
	call_end(&drive->await);
	session_drop(drive->client, drive->session);
	if (drive->record) {
		known_set_ended(drive->client->known, drive->record->process.id);
		memset(&drive->error, 0, sizeof drive->error);
		post(drive, SPAWND_STOP_ENDED, drive->machine.rung);
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
		end_with_error(&drive);
	if (!drive.over && record)
		end_with_record(&drive, record);
	if (!drive.over) {
		apply_waits(&drive);
		climb_on(&drive, member);
	}
	finish(&drive);
}
