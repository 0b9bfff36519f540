// AwaitExit: bounded polls, repeated until the awaited fact holds.
#include "clients/c/src/await.h"

#include "clients/c/src/clock.h"
#include "clients/c/src/error.h"
#include "clients/c/src/known.h"
#include "clients/c/src/target.h"

#include <errno.h>

#define HOLD_MAX_MS UINT64_C(25000)
// What a call may take beyond the time that its caller gave.
#define OVERTIME_US UINT64_C(1000000)

uint64_t await_hold_max_ms(const struct spawnd_client *client, const struct session *session)
{
	uint64_t hold_ms = HOLD_MAX_MS;
	if (session->limits.max_hold_ms < hold_ms)
		hold_ms = session->limits.max_hold_ms;
	if (client->remote && session->lease_ms / 2 < hold_ms)
		hold_ms = session->lease_ms / 2;
	return hold_ms;
}

int await_decode(const Spawn__V1__Response *response, int until, struct await_answer *ret_answer,
    struct spawnd_error *err)
{
	struct await_answer answer = {0};
	Spawn__V1__AwaitExitResponse *awaited = (Spawn__V1__AwaitExitResponse *)decode_message(
	    &spawn__v1__await_exit_response__descriptor, response->payload.data, response->payload.len);
	if (!awaited)
		return error_set(
		    err, SPAWND_E_PROTOCOL, EPROTO, "the server's answer to AwaitExit cannot be read");
	answer.done = !!awaited->done;
	answer.retry_after_ms = awaited->retry_after_ms;
	answer.blocked = decode_blocked((int)awaited->blocked);
	int result = 0;
	if (answer.done && !awaited->exit)
		result = error_set(
		    err, SPAWND_E_PROTOCOL, EPROTO, "the server says that it is done, without a record");
	else if (answer.done)
		result = decode_exit(awaited->exit, &answer.record, err);
	decode_free(&awaited->base);
	if (result < 0)
		return result;
	if (answer.done && until == SPAWND_UNTIL_TREE_EMPTY && !answer.record->tree_empty &&
	    answer.record->kind != SPAWND_START_FAILED) {
		spawnd_exit_free(answer.record);
		return error_set(err, SPAWND_E_PROTOCOL, EPROTO,
		    "the server says that it is done, and that the tree is not empty");
	}
	*ret_answer = answer;
	return 0;
}

// The end of an await under way.
struct awaiting {
	const struct spawnd_process *process;
	int until;
	uint64_t until_us;   // when the caller's time is over
	uint64_t timeout_us; // how long a silent server is borne with
};

// The hold of the next poll, by the limits of the session that is current now.
static int choose_hold_ms(struct use *use, const struct awaiting *awaiting, uint64_t deadline_us,
    uint64_t now_us, uint64_t *ret_hold_ms, struct spawnd_error *err)
{
	struct session *session;
	if (session_get(use, deadline_us, &session, err) < 0)
		return -1;
	uint64_t hold_ms = await_hold_max_ms(use->client, session);
	session_drop(use->client, session);
	uint64_t left_ms = clock_left_ms(awaiting->until_us, now_us);
	*ret_hold_ms = left_ms < hold_ms ? left_ms : hold_ms;
	return 0;
}

static int poll_once(struct use *use, const struct awaiting *awaiting,
    struct await_answer *ret_answer, struct spawnd_error *err)
{
	struct target target;
	if (target_set(&target, awaiting->process, err) < 0)
		return -1;
	uint64_t now_us = clock_now_us();
	uint64_t latest_us = clock_add_us(awaiting->until_us, OVERTIME_US);
	uint64_t silence_us = clock_add_us(now_us, awaiting->timeout_us);
	uint64_t hold_ms;
	if (choose_hold_ms(use, awaiting, clock_min_us(silence_us, latest_us), now_us, &hold_ms, err) <
	    0)
		return -1;
	Spawn__V1__AwaitExitRequest request = SPAWN__V1__AWAIT_EXIT_REQUEST__INIT;
	request.target = &target.message;
	request.until = awaiting->until == SPAWND_UNTIL_LEADER_EXIT
	                    ? SPAWN__V1__UNTIL__UNTIL_LEADER_EXIT
	                    : SPAWN__V1__UNTIL__UNTIL_TREE_EMPTY;
	request.hold_ms = hold_ms;
	struct invocation invocation = {.method = "AwaitExit",
	    .payload = &request.base,
	    .hold_ms = hold_ms,
	    .deadline_us = clock_min_us(clock_add_us(silence_us, clock_us_of_ms(hold_ms)), latest_us),
	    .epoch = target.epoch};
	Spawn__V1__Response *response;
	int result = invoke(use, &invocation, &response, NULL, err);
	if (result < 0)
		return result;
	result = await_decode(response, awaiting->until, ret_answer, err);
	decode_free(&response->base);
	return result;
}

static int not_ended(int blocked, struct spawnd_error *err)
{
	if (blocked == SPAWND_BLOCKED_NO)
		return error_set(err, SPAWND_E_TIMEOUT, ETIMEDOUT, "it has not ended yet");
	return error_set(err, SPAWND_E_TIMEOUT, ETIMEDOUT, "it has not ended: a member is %s",
	    spawnd_blocked_name(blocked));
}

static int await(struct use *use, const struct awaiting *awaiting, struct spawnd_exit **ret_exit,
    struct spawnd_error *err)
{
	for (;;) {
		struct await_answer answer;
		uint64_t asked_us = clock_now_us();
		if (poll_once(use, awaiting, &answer, err) < 0)
			return -1;
		if (answer.done) {
			*ret_exit = answer.record;
			return 0;
		}
		uint64_t now_us = clock_now_us();
		if (now_us >= awaiting->until_us)
			return not_ended(answer.blocked, err);
		uint64_t again_us = clock_add_us(now_us, clock_us_of_ms(answer.retry_after_ms));
		if (again_us < asked_us + AWAIT_INTERVAL_US)
			again_us = asked_us + AWAIT_INTERVAL_US;
		if (client_pause(use, clock_min_us(again_us, awaiting->until_us), err) < 0)
			return -1;
	}
}

int spawnd_await(spawnd_client *client, const struct spawnd_process *process, int until,
    uint64_t timeout_ms, struct spawnd_exit **ret_exit, struct spawnd_error *err)
{
	struct target target;
	struct use use;
	struct spawnd_error own = {0};
	struct spawnd_exit *record = NULL;
	if (until != SPAWND_UNTIL_TREE_EMPTY && until != SPAWND_UNTIL_LEADER_EXIT)
		return error_argument(err, "until", "tree empty or leader exit");
	if (target_set(&target, process, err) < 0 || client_enter(client, &use, false, err) < 0)
		return -1;
	struct awaiting awaiting = {.process = process,
	    .until = until,
	    .until_us = clock_add_us(clock_now_us(), clock_us_of_ms(timeout_ms)),
	    .timeout_us = clock_us_of_ms(client->timeout_ms)};
	int result = await(&use, &awaiting, &record, &own);
	// The server knows every process of its epoch until its record is released. (IDN-6)
	if (result < 0 && own.kind == SPAWND_E_NOT_FOUND && process->id)
		error_set(&own, SPAWND_E_LOST, 0, "the server has no record of this process any more");
	if (result < 0)
		error_copy(err, &own);
	else if (record->tree_empty)
		known_set_ended(client->known, record->process.id);
	client_leave(&use);
	if (result == 0 && ret_exit)
		*ret_exit = record;
	else
		spawnd_exit_free(record);
	return result;
}
