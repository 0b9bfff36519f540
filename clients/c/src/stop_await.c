// The AwaitExit that is outstanding all through a climb.
#include "clients/c/src/await.h"
#include "clients/c/src/clock.h"
#include "clients/c/src/error.h"
#include "clients/c/src/stop_parts.h"

// A server that refuses AwaitExit is asked again so late; one that knows no such Spawn yet, so
// soon.
#define AWAIT_AGAIN_US UINT64_C(1000000)
#define SPAWN_AGAIN_US UINT64_C(250000)

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
		stop_end(drive);
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
		stop_end(drive);
	} else if (not_found && drive->cancel_not_found) {
		error_set(&drive->error, SPAWND_E_NOT_FOUND, 0, "no such Spawn has come, and none will");
		stop_end(drive);
	} else if (not_found) {
		await_again(drive, now_us + SPAWN_AGAIN_US);
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
		stop_end_with_record(drive, answer.record);
	} else {
		drive->blocked = answer.blocked;
		await_again(drive, clock_add_us(now_us, clock_us_of_ms(answer.retry_after_ms)));
	}
}

// A silent server: the poll begins anew; under a wait without limit nothing else would ever end.
static void check_silence(struct drive *drive, uint64_t now_us)
{
	stop_check_reach(drive, &drive->await, now_us);
	if (drive->over || now_us < drive->await_silent_us)
		return;
	if (drive->machine.next_us == STOP_NEVER) {
		invoke_indeterminate(&drive->error, "AwaitExit");
		stop_end(drive);
		return;
	}
	await_again(drive, now_us);
}

void stop_step_await(struct drive *drive, uint64_t now_us)
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
			stop_lost(drive);
		} else if (meaning == INVOKE_SESSION_OVER) {
			stop_renew_session(drive);
		} else {
			await_declined(drive, answer.response, now_us);
		}
		decode_free(&answer.response->base);
	} else if (outcome == CALL_BROKEN) {
		await_again(drive, now_us + AWAIT_AGAIN_US);
	} else if (outcome != CALL_PENDING) {
		stop_call_failed(drive, outcome, "AwaitExit");
	} else {
		check_silence(drive, now_us);
	}
}
