// The life of a call.
#include "server/broker/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "server/broker/proctable.h"
#include "server/broker/sessions.h"

struct call *call_create(
    struct broker *broker, struct connection *connection, struct endpoint_request *wire)
{
	struct call *call = calloc(1, sizeof *call);
	if (!call)
		return NULL;
	call->broker = broker;
	call->connection = connection;
	call->wire = wire;
	call->uid = connection->uid;
	deadline_init(&call->hold, NULL, call);
	DL_APPEND(connection->calls, call);
	return call;
}

// What belongs to one way of parking.
static void free_park_data(struct call *call)
{
	if (call->park == PARK_OUTPUT) {
		call->broker->unproved_bytes -= call->output.taken;
		call->output.taken = 0;
		free(call->output.data);
		call->output.data = NULL;
	} else if (call->park == PARK_STDIN) {
		free(call->stdin_data.data);
		call->stdin_data.data = NULL;
	}
}

static void uncount(struct call *call)
{
	if (!call->counted)
		return;
	call->counted = false;
	call->broker->n_parked--;
	struct session *session = session_find(call->broker, call->session_id);
	if (session)
		session->n_parked--;
}

void call_unpark(struct call *call)
{
	deadlines_set(&call->broker->deadlines, &call->hold, DEADLINE_NEVER);
	uncount(call);
	if (call->park == PARK_NONE)
		return;
	free_park_data(call);
	DL_DELETE2(call->process->parked, call, park_prev, park_next);
	call->park = PARK_NONE;
	call->process = NULL;
}

int call_park(struct call *call, struct process *process, enum park park, uint64_t at_ms,
    void (*due)(void *call, uint64_t now_ms))
{
	deadline_init(&call->hold, due, call);
	int error = deadlines_set(&call->broker->deadlines, &call->hold, at_ms);
	if (error)
		return error;
	call->park = park;
	call->process = process;
	DL_APPEND2(process->parked, call, park_prev, park_next);
	return 0;
}

bool call_count_parked(struct call *call)
{
	struct broker *broker = call->broker;
	struct session *session = session_find(broker, call->session_id);
	if (broker->n_parked >= broker->config->max_parked ||
	    (session && session->n_parked >= broker->config->max_parked_session))
		return false;
	broker->n_parked++;
	if (session)
		session->n_parked++;
	call->counted = true;
	return true;
}

uint64_t call_hold_ms(const struct call *call, uint64_t hold_ms, uint64_t max_ms)
{
	if (hold_ms > max_ms)
		hold_ms = max_ms;
	if (call->timeout_ms && hold_ms > call->timeout_ms)
		hold_ms = call->timeout_ms;
	return hold_ms;
}

void call_finish(struct call *call, const uint8_t *bytes, size_t size)
{
	if (call->connection)
		DL_DELETE(call->connection->calls, call);
	if (call->wire)
		endpoint_answer(call->broker->endpoint, call->wire, bytes, size, call->cancel_token);
	free(call);
}

void call_abandon(struct call *call)
{
	if (call->connection)
		DL_DELETE(call->connection->calls, call);
	if (call->wire)
		endpoint_drop(call->broker->endpoint, call->wire);
	free(call);
}

void call_connection_lost(struct call *call)
{
	struct broker *broker = call->broker;
	endpoint_drop(broker->endpoint, call->wire);
	DL_DELETE(call->connection->calls, call);
	call->wire = NULL;
	call->connection = NULL;
	if (call->recorded)
		return;
	call_unpark(call);
	free(call);
}
