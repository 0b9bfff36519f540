// The session that calls are made in, and its replacement.
#include "clients/c/src/session.h"

#include "clients/c/src/call.h"
#include "clients/c/src/client_state.h"
#include "clients/c/src/clock.h"
#include "clients/c/src/error.h"
#include "clients/c/src/invoke.h"

#include <errno.h>
#include <stdlib.h>

#define PROTOCOL_MAJOR 1
#define PROTOCOL_MINOR 0

struct session *session_hold(struct spawnd_client *client, struct session *session)
{
	pthread_mutex_lock(&client->lock);
	session->n_references++;
	pthread_mutex_unlock(&client->lock);
	return session;
}

void session_drop(struct spawnd_client *client, struct session *session)
{
	if (!session)
		return;
	pthread_mutex_lock(&client->lock);
	bool last = --session->n_references == 0;
	pthread_mutex_unlock(&client->lock);
	if (last) {
		requests_free(&session->requests);
		free(session);
	}
}

void session_mark_over(struct spawnd_client *client, struct session *session)
{
	pthread_mutex_lock(&client->lock);
	session->over = true;
	pthread_mutex_unlock(&client->lock);
}

static int make(
    const Spawn__V1__Response *response, struct session **ret_session, struct spawnd_error *err)
{
	Spawn__V1__OpenSessionResponse *opened = (Spawn__V1__OpenSessionResponse *)decode_message(
	    &spawn__v1__open_session_response__descriptor, response->payload.data,
	    response->payload.len);
	if (!opened || !opened->session_id) {
		decode_free(opened ? &opened->base : NULL);
		return error_set(
		    err, SPAWND_E_PROTOCOL, EPROTO, "the server's answer to OpenSession is no session");
	}
	struct session *session = calloc(1, sizeof *session);
	if (session) {
		requests_init(&session->requests);
		session->n_references = 1;
		session->id = opened->session_id;
		session->epoch = (uint32_t)response->epoch;
		session->lease_ms = opened->lease_ms ? opened->lease_ms : 10000;
		decode_limits(opened->limits, &session->limits);
	}
	decode_free(&opened->base);
	if (!session)
		return error_memory(err);
	*ret_session = session;
	return 0;
}

// Waits for the answer to OpenSession; busy servers are asked again.
static int ask(struct use *use, struct call *call, uint64_t deadline_us,
    struct call_answer *ret_answer, struct spawnd_error *err)
{
	for (;;) {
		uint64_t now_us = clock_now_us();
		enum call_outcome outcome = call_step(call, now_us, ret_answer);
		if (outcome == CALL_ANSWERED) {
			uint64_t wait_us = clock_us_of_ms(invoke_retry_after_ms(ret_answer->response));
			if (invoke_meaning(NULL, ret_answer->response) != INVOKE_LATER ||
			    clock_add_us(now_us, wait_us) >= deadline_us)
				return 0;
			decode_free(&ret_answer->response->base);
			call_again(call, now_us + wait_us);
			continue;
		}
		if (outcome == CALL_BROKEN)
			return error_set(err, SPAWND_E_UNREACHABLE, ECONNRESET,
			    "the server at %s closes the connection: it may not serve this user",
			    use->client->url);
		if (outcome != CALL_PENDING)
			return invoke_failed(outcome, "OpenSession", err);
		if (client_is_closing(use->client))
			return invoke_failed(CALL_CLOSED, "OpenSession", err);
		if (now_us >= deadline_us)
			return invoke_unreachable(use->client, err);
		wake_wait(&use->wake, clock_min_us(deadline_us, call_due_us(call)), -1);
	}
}

static int open_session(
    struct use *use, uint64_t deadline_us, struct session **ret_session, struct spawnd_error *err)
{
	struct spawnd_client *client = use->client;
	Spawn__V1__OpenSessionRequest request = SPAWN__V1__OPEN_SESSION_REQUEST__INIT;
	request.major = PROTOCOL_MAJOR;
	request.minor = PROTOCOL_MINOR;
	if (client->name)
		request.client = client->name;
	request.lease_ms = client->lease_ms;
	pthread_mutex_lock(&client->lock);
	uint64_t opening = ++client->n_openings;
	pthread_mutex_unlock(&client->lock);
	struct call_terms terms = {.method = "OpenSession",
	    .request_id = opening,
	    .access_token = client->access_token,
	    .max_message_bytes = CALL_MESSAGE_BYTES,
	    .socket = client->socket,
	    .wake = &use->wake};
	struct call call;
	struct call_answer answer;
	if (call_start(&call, &terms, &request.base) < 0)
		return error_memory(err);
	int result = ask(use, &call, deadline_us, &answer, err);
	call_end(&call);
	if (result < 0)
		return result;
	if (invoke_meaning(NULL, answer.response) == INVOKE_OK)
		result = make(answer.response, ret_session, err);
	else
		result = decode_status(answer.response->status, err);
	decode_free(&answer.response->base);
	return result;
}

// Locked. Waits while another thread opens; 0 where the caller may look again.
static int wait_for_other(
    struct spawnd_client *client, uint64_t deadline_us, struct spawnd_error *err)
{
	struct timespec until = clock_timespec(deadline_us == CLOCK_NEVER ? 0 : deadline_us);
	if (client->closing)
		return invoke_failed(CALL_CLOSED, "OpenSession", err);
	if (deadline_us == CLOCK_NEVER)
		pthread_cond_wait(&client->changed, &client->lock);
	else if (pthread_cond_timedwait(&client->changed, &client->lock, &until) == ETIMEDOUT)
		return invoke_unreachable(client, err);
	return 0;
}

// Locked. *ret_session is NULL where this thread is to open one.
static int current(struct spawnd_client *client, uint64_t deadline_us, struct session **ret_session,
    struct spawnd_error *err)
{
	for (;;) {
		if (client->session && !client->session->over) {
			client->session->n_references++;
			client->last_sent_us = clock_now_us();
			*ret_session = client->session;
			return 0;
		}
		if (!client->renewing) {
			client->renewing = true;
			*ret_session = NULL;
			return 0;
		}
		if (wait_for_other(client, deadline_us, err) < 0)
			return -1;
	}
}

int session_get(
    struct use *use, uint64_t deadline_us, struct session **ret_session, struct spawnd_error *err)
{
	struct spawnd_client *client = use->client;
	struct session *session;
	pthread_mutex_lock(&client->lock);
	int result = current(client, deadline_us, &session, err);
	pthread_mutex_unlock(&client->lock);
	if (result < 0)
		return result;
	if (session) {
		*ret_session = session;
		return 0;
	}
	result = open_session(use, deadline_us, &session, err);
	pthread_mutex_lock(&client->lock);
	struct session *before = NULL;
	if (result == 0) {
		before = client->session;
		client->session = session;
		session->n_references++;
		client->last_sent_us = clock_now_us();
	}
	client->renewing = false;
	pthread_cond_broadcast(&client->changed);
	pthread_mutex_unlock(&client->lock);
	if (result < 0)
		return result;
	session_drop(client, before);
	if (client->remote)
		wake_ring(&client->keeper_wake); // it has a lease to renew now
	if (session->limits.max_message_bytes != CALL_MESSAGE_BYTES)
		call_socket_set_limit(client->socket, session->limits.max_message_bytes);
	*ret_session = session;
	return 0;
}

void session_close(struct use *use, struct session *session, uint64_t deadline_us)
{
	Spawn__V1__CloseSessionRequest request = SPAWN__V1__CLOSE_SESSION_REQUEST__INIT;
	struct call_terms terms = invoke_terms(use, session, "CloseSession", false, 0);
	struct call call;
	struct call_answer answer;
	if (call_start(&call, &terms, &request.base) < 0)
		return;
	for (;;) {
		uint64_t now_us = clock_now_us();
		enum call_outcome outcome = call_step(&call, now_us, &answer);
		if (outcome == CALL_ANSWERED)
			decode_free(&answer.response->base);
		if (outcome != CALL_PENDING || now_us >= deadline_us)
			break;
		wake_wait(&use->wake, clock_min_us(deadline_us, call_due_us(&call)), -1);
	}
	call_end(&call);
}

int spawnd_keep_alive(spawnd_client *client, struct spawnd_error *err)
{
	struct use use;
	if (client_enter(client, &use, false, err) < 0)
		return -1;
	Spawn__V1__KeepAliveRequest request = SPAWN__V1__KEEP_ALIVE_REQUEST__INIT;
	struct invocation invocation = {.method = "KeepAlive",
	    .payload = &request.base,
	    .deadline_us = clock_add_us(clock_now_us(), clock_us_of_ms(client->timeout_ms))};
	Spawn__V1__Response *response;
	int result = invoke(&use, &invocation, &response, NULL, err);
	if (result == 0)
		decode_free(&response->base);
	client_leave(&use);
	return result;
}
