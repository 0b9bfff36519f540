// The Cancels of a climb: one for each rung, and joins that bring a rung's end nearer.
#include "clients/c/src/cancel.h"
#include "clients/c/src/clock.h"
#include "clients/c/src/error.h"
#include "clients/c/src/known.h"
#include "clients/c/src/stop_parts.h"

#include <string.h>

// A server that takes no Cancel now is asked again so soon.
#define CANCEL_AGAIN_US UINT64_C(250000)

int stop_start_cancel(struct drive *drive, struct call *call, uint8_t rung, uint64_t wait_ms)
{
	Spawn__V1__CancelRequest request = SPAWN__V1__CANCEL_REQUEST__INIT;
	request.target = &drive->target.message;
	request.rung = rung;
	request.wait_ms = wait_ms;
	struct call_terms terms = invoke_terms(drive->use, drive->session, "Cancel", true, 0);
	return call_start(call, &terms, &request.base);
}

void stop_send_rung(struct drive *drive, uint8_t rung)
{
	stop_end_call(&drive->cancel);
	stop_end_call(&drive->nearer);
	drive->cancel_left_told = false;
	if (stop_start_cancel(drive, &drive->cancel, rung, drive->wait_ms[rung - 1]) < 0) {
		error_memory(&drive->error);
		stop_end(drive);
		return;
	}
	stop_post(drive, SPAWND_STOP_RUNG_SENT, rung);
}

static void learn_ladder(struct drive *drive, const struct spawnd_climb *climb)
{
	known_set_ladder(drive->client->known, climb->process_id, climb->ladder, climb->n_rungs);
	if (drive->ladder.certain || climb->n_rungs < drive->machine.rung || !climb->n_rungs)
		return;
	memcpy(drive->ladder.rungs, climb->ladder, climb->n_rungs * sizeof climb->ladder[0]);
	drive->ladder.n_rungs = climb->n_rungs;
	drive->ladder.certain = true;
	stop_apply_waits(drive);
}

static void cancel_answered(
    struct drive *drive, const Spawn__V1__Response *response, uint64_t received_us)
{
	struct cancel_answer answer;
	uint8_t rung = drive->machine.rung;
	if (cancel_decode(response, &answer, NULL) < 0) {
		stop_feed(drive,
		    (struct stop_event){.kind = STOP_RUNG_DECLINED, .rung = rung, .at_us = received_us});
		stop_post(drive, SPAWND_STOP_RUNG_REFUSED, rung);
		return;
	}
	if (answer.climb.never_started) {
		spawnd_exit_free(answer.record);
		error_set(&drive->error, SPAWND_E_CANCELLED, 0,
		    "its Spawn had not arrived, and will start nothing");
		stop_end(drive);
	} else if (answer.record &&
	           (answer.record->tree_empty || answer.record->kind == SPAWND_START_FAILED)) {
		stop_end_with_record(drive, answer.record);
	} else {
		spawnd_exit_free(answer.record);
		learn_ladder(drive, &answer.climb);
		uint8_t reached = answer.climb.rung_reached > SPAWND_RUNGS_MAX
		                      ? rung
		                      : (uint8_t)answer.climb.rung_reached;
		stop_post(drive, SPAWND_STOP_RUNG_ANSWERED, reached > rung ? reached : rung);
		stop_feed(drive,
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
	stop_end_call(&drive->cancel);
	// Not found is no refusal: AwaitExit knows. (LAD-8)
	drive->cancel_not_found = code == SPAWN__V1__CODE__CODE_NOT_FOUND;
	if (!drive->cancel_not_found)
		stop_post(drive, SPAWND_STOP_RUNG_REFUSED, rung);
	stop_feed(
	    drive, (struct stop_event){.kind = STOP_RUNG_DECLINED, .rung = rung, .at_us = received_us});
}

static void tell_cancel_left(struct drive *drive)
{
	if (drive->cancel_left_told || !drive->cancel.first_sent_us)
		return;
	drive->cancel_left_told = true;
	stop_feed(drive, (struct stop_event){.kind = STOP_RUNG_LEFT,
	                     .rung = drive->machine.rung,
	                     .at_us = drive->cancel.first_sent_us});
}

void stop_step_cancel(struct drive *drive, uint64_t now_us)
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
			stop_end_call(&drive->cancel);
			cancel_answered(drive, answer.response, answer.received_us);
		} else if (meaning == INVOKE_RESTARTED) {
			session_mark_over(drive->client, drive->session);
			stop_lost(drive);
		} else if (meaning == INVOKE_SESSION_OVER) {
			stop_renew_session(drive);
		} else {
			cancel_declined(drive, answer.response, answer.received_us);
		}
		decode_free(&answer.response->base);
	} else if (outcome == CALL_BROKEN) {
		stop_end_call(&drive->cancel);
		stop_feed(
		    drive, (struct stop_event){.kind = STOP_RUNG_DECLINED, .rung = rung, .at_us = now_us});
	} else if (outcome != CALL_PENDING) {
		stop_call_failed(drive, outcome, "Cancel");
	} else {
		stop_check_reach(drive, &drive->cancel, now_us);
	}
}

// Another stop of the same process wants a shorter wait: its Cancel joins the rung. (LAD-11,
// LAD-22)
void stop_begin_nearer(struct drive *drive, uint64_t wait_ms)
{
	uint8_t rung = drive->machine.rung;
	stop_end_call(&drive->nearer);
	if (wait_ms >= drive->wait_ms[rung - 1])
		return;
	drive->wait_ms[rung - 1] = wait_ms;
	drive->nearer_rung = rung;
	drive->nearer_wait_ms = wait_ms;
	drive->nearer_told = false;
	if (stop_start_cancel(drive, &drive->nearer, rung, wait_ms) < 0) {
		error_memory(&drive->error);
		stop_end(drive);
	}
}

static void tell_nearer(struct drive *drive, uint64_t at_us)
{
	stop_feed(drive, (struct stop_event){.kind = STOP_RUNG_NEARER,
	                     .rung = drive->nearer_rung,
	                     .wait_us = clock_us_of_ms(drive->nearer_wait_ms),
	                     .at_us = at_us});
}

void stop_step_nearer(struct drive *drive, uint64_t now_us)
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
		stop_end_call(&drive->nearer);
		tell_nearer(drive, answer.received_us);
	} else if (outcome != CALL_PENDING) {
		stop_end_call(&drive->nearer);
		tell_nearer(drive, now_us);
	} else if (drive->nearer.first_sent_us && !drive->nearer_told && now_us >= window_over_us) {
		drive->nearer_told = true;
		tell_nearer(drive, window_over_us);
	}
}
