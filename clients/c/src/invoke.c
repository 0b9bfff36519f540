// A call of the current session, from begin to end.
#include "clients/c/src/invoke.h"

#include "clients/c/src/clock.h"
#include "clients/c/src/error.h"

#include <errno.h>
#include <inttypes.h>

// A call is asked for in so many sessions, should each end under it.
#define SESSIONS_MAX 5

int invoke_lost(struct spawnd_error *err)
{
	return error_set(
	    err, SPAWND_E_LOST, 0, "the server was restarted: the process and its record are lost");
}

int invoke_unreachable(const struct spawnd_client *client, struct spawnd_error *err)
{
	return error_set(err, SPAWND_E_UNREACHABLE, ETIMEDOUT, "no server answers at %s", client->url);
}

int invoke_indeterminate(struct spawnd_error *err, const char *method)
{
	return error_set(err, SPAWND_E_INDETERMINATE, ETIMEDOUT,
	    "%s was sent and not answered in time: it may have been done", method);
}

int invoke_failed(enum call_outcome outcome, const char *method, struct spawnd_error *err)
{
	if (outcome == CALL_BROKEN)
		return error_set(err, SPAWND_E_PROTOCOL, ECONNRESET,
		    "the connection breaks each time %s is asked for", method);
	if (outcome == CALL_NO_MEMORY)
		return error_memory(err);
	return error_set(err, SPAWND_E_CLOSED, 0, "the client is closed");
}

enum invoke_meaning invoke_meaning(
    const struct session *session, const Spawn__V1__Response *response)
{
	const Spawn__V1__Status *status = response->status;
	if (session && response->epoch != session->epoch)
		return INVOKE_RESTARTED;
	switch ((int)status->code) {
	case SPAWN__V1__CODE__CODE_OK:
		return INVOKE_OK;
	case SPAWN__V1__CODE__CODE_UNAUTHENTICATED:
		if (status->detail_case == SPAWN__V1__STATUS__DETAIL_SESSION_EXPIRED)
			return INVOKE_SESSION_OVER;
		return status->detail_case == SPAWN__V1__STATUS__DETAIL_EPOCH_CHANGED ? INVOKE_RESTARTED
		                                                                      : INVOKE_ERROR;
	case SPAWN__V1__CODE__CODE_UNAVAILABLE:
	case SPAWN__V1__CODE__CODE_RESOURCE_EXHAUSTED:
		return status->detail_case == SPAWN__V1__STATUS__DETAIL_RETRY_AFTER ? INVOKE_LATER
		                                                                    : INVOKE_ERROR;
	default:
		return INVOKE_ERROR;
	}
}

uint64_t invoke_retry_after_ms(const Spawn__V1__Response *response)
{
	return response->status->detail_case == SPAWN__V1__STATUS__DETAIL_RETRY_AFTER
	           ? response->status->retry_after->ms
	           : 0;
}

struct call_terms invoke_terms(
    struct use *use, struct session *session, const char *method, bool recorded, uint64_t hold_ms)
{
	struct spawnd_client *client = use->client;
	return (struct call_terms){.method = method,
	    .requests = &session->requests,
	    .session_id = session->id,
	    .recorded = recorded,
	    .hold_us = clock_us_of_ms(hold_ms),
	    .access_token = client->access_token,
	    .max_message_bytes = session->limits.max_message_bytes,
	    .socket = client->socket,
	    .wake = &use->wake};
}

// Steps the call until it is decided, its deadline has come, or the server cannot be reached for
// the client's own timeout, which ends long waits whose server has gone. CALL_PENDING: one of the
// latter.
static enum call_outcome run(
    struct use *use, struct call *call, uint64_t deadline_us, struct call_answer *ret_answer)
{
	uint64_t patience_us = clock_us_of_ms(use->client->timeout_ms);
	for (;;) {
		uint64_t now_us = clock_now_us();
		enum call_outcome outcome = call_step(call, now_us, ret_answer);
		if (outcome != CALL_PENDING)
			return outcome;
		if (client_is_closing(use->client))
			return CALL_CLOSED;
		if (now_us >= deadline_us || call_is_stranded(call, patience_us, now_us)) {
			call_withdraw(call);
			return call_step(call, now_us, ret_answer);
		}
		uint64_t wake_us = clock_min_us(deadline_us, call_due_us(call));
		wake_us = clock_min_us(wake_us, call_stranded_us(call, patience_us));
		wake_wait(&use->wake, wake_us, -1);
	}
}

// The answer asks to come again later: CALL_PENDING where that is beyond the deadline.
static bool goes_on_later(
    struct call *call, const struct invocation *invocation, const struct call_answer *answer)
{
	uint64_t again_us =
	    clock_add_us(answer->received_us, clock_us_of_ms(invoke_retry_after_ms(answer->response)));
	if (again_us >= invocation->deadline_us)
		return false;
	call_again(call, again_us);
	return true;
}

// How one call in one session ended.
enum turn {
	TURN_DONE,         // answered, or never sent
	TURN_UNSURE,       // it may have been carried out
	TURN_NEXT_SESSION, // nothing was done: again, in the next session
};

static enum turn take_answer(struct use *use, const struct call *call, struct session *session,
    const struct invocation *invocation, Spawn__V1__Response *response,
    Spawn__V1__Response **ret_response, struct spawnd_error *err)
{
	enum invoke_meaning meaning = invoke_meaning(session, response);
	if (meaning == INVOKE_OK) {
		*ret_response = response;
		return TURN_DONE;
	}
	if (meaning != INVOKE_RESTARTED && meaning != INVOKE_SESSION_OVER) {
		decode_status(response->status, err);
		decode_free(&response->base);
		return TURN_DONE;
	}
	decode_free(&response->base);
	session_mark_over(use->client, session);
	// An attempt before this one may have been carried out.
	bool unsure = invocation->once && call->n_sent > 1;
	if (meaning == INVOKE_RESTARTED && (invocation->epoch || unsure)) {
		invoke_lost(err);
		return TURN_DONE;
	}
	if (unsure) {
		invoke_indeterminate(err, invocation->method);
		return TURN_UNSURE;
	}
	return TURN_NEXT_SESSION;
}

// *ret_response stays NULL unless the call ended with OK; else *err is filled in.
static enum turn finish(struct use *use, struct call *call, struct session *session,
    const struct invocation *invocation, Spawn__V1__Response **ret_response,
    struct spawnd_error *err)
{
	for (;;) {
		struct call_answer answer;
		enum call_outcome outcome = run(use, call, invocation->deadline_us, &answer);
		if (outcome == CALL_ANSWERED) {
			if (invoke_meaning(session, answer.response) == INVOKE_LATER &&
			    goes_on_later(call, invocation, &answer)) {
				decode_free(&answer.response->base);
				continue;
			}
			return take_answer(use, call, session, invocation, answer.response, ret_response, err);
		}
		if (outcome != CALL_PENDING)
			invoke_failed(outcome, invocation->method, err);
		else if (call->n_sent && (invocation->recorded || call->stranded_us == CLOCK_NEVER))
			invoke_indeterminate(err, invocation->method);
		else
			invoke_unreachable(use->client, err);
		return call->n_sent && invocation->recorded ? TURN_UNSURE : TURN_DONE;
	}
}

static enum turn take_turn(struct use *use, struct session *session,
    const struct invocation *invocation, Spawn__V1__Response **ret_response, uint64_t *ret_id,
    struct spawnd_error *err)
{
	struct call_terms terms =
	    invoke_terms(use, session, invocation->method, invocation->recorded, invocation->hold_ms);
	struct call call;
	int started = call_start(&call, &terms, invocation->payload);
	if (started == -EMSGSIZE)
		error_argument(err, "payload", "%s would be over the message limit of %" PRIu64 " bytes",
		    invocation->method, terms.max_message_bytes);
	else if (started < 0)
		error_memory(err);
	if (started < 0)
		return TURN_DONE;
	*ret_id = call.request_id;
	enum turn turn = finish(use, &call, session, invocation, ret_response, err);
	if (turn != TURN_UNSURE)
		call_settle(&call);
	call_end(&call);
	return turn;
}

int invoke(struct use *use, const struct invocation *invocation, Spawn__V1__Response **ret_response,
    struct invoke_trace *ret_trace, struct spawnd_error *err)
{
	struct spawnd_client *client = use->client;
	if (ret_trace)
		*ret_trace = (struct invoke_trace){0};
	for (unsigned n_sessions = 0; n_sessions < SESSIONS_MAX; n_sessions++) {
		struct session *session;
		Spawn__V1__Response *response = NULL;
		uint64_t id = 0;
		if (session_get(use, invocation->deadline_us, &session, err) < 0)
			return -1;
		enum turn turn = TURN_DONE;
		if (invocation->epoch && invocation->epoch != session->epoch)
			invoke_lost(err);
		else
			turn = take_turn(use, session, invocation, &response, &id, err);
		if (turn == TURN_UNSURE && !ret_trace)
			requests_settle(&session->requests, id);
		if (turn != TURN_NEXT_SESSION && ret_trace)
			*ret_trace = (struct invoke_trace){.session = session_hold(client, session),
			    .request_id = id,
			    .indeterminate = turn == TURN_UNSURE};
		session_drop(client, session);
		if (turn == TURN_NEXT_SESSION)
			continue;
		if (!response)
			return -1;
		*ret_response = response;
		return 0;
	}
	return error_set(err, SPAWND_E_PROTOCOL, 0, "the server ends each session at once");
}
