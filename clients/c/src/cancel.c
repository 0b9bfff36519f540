// Cancel, one rung; Signal; Release.
#include "clients/c/src/cancel.h"

#include "clients/c/src/clock.h"
#include "clients/c/src/error.h"
#include "clients/c/src/known.h"
#include "clients/c/src/target.h"

#include <errno.h>
#include <string.h>

// What a process cancelled for want of an answer may take to end, for the server's own climb.
#define ABANDONED_WAIT_MS 2000
#define WAIT_MAX_MS       UINT64_C(86400000)

static int fill(
    const Spawn__V1__CancelResponse *from, struct cancel_answer *answer, struct spawnd_error *err)
{
	answer->climb.process_id = from->process_id;
	answer->climb.rung_reached = from->rung_reached;
	answer->climb.never_started = !!from->never_started;
	if (decode_ladder(
	        from->ladder, from->n_ladder, answer->climb.ladder, &answer->climb.n_rungs, err) < 0)
		return -1;
	return from->exit ? decode_exit(from->exit, &answer->record, err) : 0;
}

int cancel_decode(
    const Spawn__V1__Response *response, struct cancel_answer *ret_answer, struct spawnd_error *err)
{
	struct cancel_answer answer;
	memset(&answer, 0, sizeof answer);
	Spawn__V1__CancelResponse *cancelled = (Spawn__V1__CancelResponse *)decode_message(
	    &spawn__v1__cancel_response__descriptor, response->payload.data, response->payload.len);
	if (!cancelled)
		return error_set(
		    err, SPAWND_E_PROTOCOL, EPROTO, "the server's answer to Cancel cannot be read");
	int result = fill(cancelled, &answer, err);
	decode_free(&cancelled->base);
	if (result == 0)
		*ret_answer = answer;
	return result;
}

// A refusal for good, "not found" included: asking again would change nothing. (RPC-6)
static bool is_last_word(const struct spawnd_error *error)
{
	return error->code && error->kind != SPAWND_E_LIMIT && error->kind != SPAWND_E_UNAVAILABLE;
}

bool cancel_spawn(struct use *use, struct session *session, uint64_t request_id,
    uint64_t deadline_us, struct spawnd_climb *ret_climb)
{
	struct spawnd_process process = {.session_id = session->id, .request_id = request_id};
	struct target target;
	struct spawnd_error error = {0};
	if (target_set(&target, &process, &error) < 0)
		return true;
	Spawn__V1__CancelRequest request = SPAWN__V1__CANCEL_REQUEST__INIT;
	request.target = &target.message;
	request.rung = SPAWND_RUNG_LAST;
	request.wait_ms = ABANDONED_WAIT_MS;
	request.delegate = true;
	struct invocation invocation = {.method = "Cancel",
	    .payload = &request.base,
	    .recorded = true,
	    .deadline_us = deadline_us,
	    .epoch = target.epoch};
	Spawn__V1__Response *response;
	struct cancel_answer answer;
	if (invoke(use, &invocation, &response, NULL, &error) == 0) {
		if (cancel_decode(response, &answer, NULL) == 0) {
			if (ret_climb)
				*ret_climb = answer.climb;
			spawnd_exit_free(answer.record);
		}
		decode_free(&response->base);
	} else if (error.kind != SPAWND_E_LOST && !is_last_word(&error)) {
		return false;
	}
	requests_settle(&session->requests, request_id);
	return true;
}

int spawnd_cancel(spawnd_client *client, const struct spawnd_process *process, int rung,
    uint64_t wait_ms, int delegate, struct spawnd_climb *ret_climb, struct spawnd_exit **ret_exit,
    struct spawnd_error *err)
{
	struct target target;
	struct use use;
	if (rung < 1 || (rung > SPAWND_RUNGS_MAX && rung != SPAWND_RUNG_LAST))
		return error_argument(err, "rung", "a rung is 1 to %d, or %d for the last",
		    SPAWND_RUNGS_MAX, SPAWND_RUNG_LAST);
	if (wait_ms != SPAWND_FOREVER && wait_ms > WAIT_MAX_MS)
		return error_argument(err, "wait_ms", "a wait is at most 24 hours, or SPAWND_FOREVER");
	if (target_set(&target, process, err) < 0 || client_enter(client, &use, false, err) < 0)
		return -1;
	Spawn__V1__CancelRequest request = SPAWN__V1__CANCEL_REQUEST__INIT;
	request.target = &target.message;
	request.rung = (uint32_t)rung;
	request.wait_ms = wait_ms;
	request.delegate = !!delegate;
	struct invocation invocation = {.method = "Cancel",
	    .payload = &request.base,
	    .recorded = true,
	    .deadline_us = clock_add_us(clock_now_us(), clock_us_of_ms(client->timeout_ms)),
	    .epoch = target.epoch};
	Spawn__V1__Response *response;
	struct cancel_answer answer;
	int result = invoke(&use, &invocation, &response, NULL, err);
	if (result == 0) {
		result = cancel_decode(response, &answer, err);
		decode_free(&response->base);
	}
	if (result == 0) {
		known_set_ladder(
		    client->known, answer.climb.process_id, answer.climb.ladder, answer.climb.n_rungs);
		if (ret_climb)
			*ret_climb = answer.climb;
		if (ret_exit)
			*ret_exit = answer.record;
		else
			spawnd_exit_free(answer.record);
	}
	client_leave(&use);
	return result;
}

static const Spawn__V1__Scope wire_scopes[] = {[SPAWND_LEADER] = SPAWN__V1__SCOPE__SCOPE_LEADER,
    [SPAWND_GROUP] = SPAWN__V1__SCOPE__SCOPE_GROUP,
    [SPAWND_TREE] = SPAWN__V1__SCOPE__SCOPE_TREE};

static int decode_hit(
    const Spawn__V1__Response *response, uint32_t *ret_hit, struct spawnd_error *err)
{
	Spawn__V1__SignalResponse *signalled = (Spawn__V1__SignalResponse *)decode_message(
	    &spawn__v1__signal_response__descriptor, response->payload.data, response->payload.len);
	if (!signalled)
		return error_set(
		    err, SPAWND_E_PROTOCOL, EPROTO, "the server's answer to Signal cannot be read");
	if (ret_hit)
		*ret_hit = signalled->hit;
	decode_free(&signalled->base);
	return 0;
}

int spawnd_signal(spawnd_client *client, const struct spawnd_process *process, int signal,
    int scope, uint32_t *ret_hit, struct spawnd_error *err)
{
	struct target target;
	struct use use;
	if (signal < 1 || signal > 64)
		return error_argument(err, "signal", "a signal is 1 to 64");
	if (scope < SPAWND_LEADER || scope > SPAWND_TREE)
		return error_argument(err, "scope", "a scope is leader, group or tree");
	if (target_set(&target, process, err) < 0 || client_enter(client, &use, false, err) < 0)
		return -1;
	Spawn__V1__SignalRequest request = SPAWN__V1__SIGNAL_REQUEST__INIT;
	request.target = &target.message;
	request.signal = (uint32_t)signal;
	request.scope = wire_scopes[scope];
	struct invocation invocation = {.method = "Signal",
	    .payload = &request.base,
	    .recorded = true,
	    .once = true,
	    .deadline_us = clock_add_us(clock_now_us(), clock_us_of_ms(client->timeout_ms)),
	    .epoch = target.epoch};
	Spawn__V1__Response *response;
	int result = invoke(&use, &invocation, &response, NULL, err);
	if (result == 0) {
		result = decode_hit(response, ret_hit, err);
		decode_free(&response->base);
	}
	client_leave(&use);
	return result;
}

int spawnd_release(
    spawnd_client *client, const struct spawnd_process *process, struct spawnd_error *err)
{
	struct target target;
	struct use use;
	struct spawnd_error own = {0};
	if (target_set(&target, process, err) < 0 || client_enter(client, &use, false, err) < 0)
		return -1;
	Spawn__V1__ReleaseRequest request = SPAWN__V1__RELEASE_REQUEST__INIT;
	request.target = &target.message;
	struct invocation invocation = {.method = "Release",
	    .payload = &request.base,
	    .recorded = true,
	    .deadline_us = clock_add_us(clock_now_us(), clock_us_of_ms(client->timeout_ms)),
	    .epoch = target.epoch};
	Spawn__V1__Response *response;
	int result = invoke(&use, &invocation, &response, NULL, &own);
	if (result == 0)
		decode_free(&response->base);
	else if (own.kind == SPAWND_E_NOT_FOUND || own.kind == SPAWND_E_LOST)
		result = 0; // it is gone, which is what was asked for
	else
		error_copy(err, &own);
	client_leave(&use);
	return result;
}
