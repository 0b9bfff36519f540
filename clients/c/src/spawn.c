// Spawn: at most one process, and never one that nobody knows of. Clauses: SPN-1 to SPN-4.
#include "clients/c/src/cancel.h"
#include "clients/c/src/clock.h"
#include "clients/c/src/error.h"
#include "clients/c/src/invoke.h"
#include "clients/c/src/keeper.h"
#include "clients/c/src/known.h"
#include "clients/c/src/spawn_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// How long the caller waits beyond its time for the Cancel of a Spawn that was not answered.
#define RESOLVE_US UINT64_C(800000)

struct spawned {
	struct spawnd_process process;
	struct spawnd_exit *record;
};

static int decode(const Spawn__V1__Response *response, struct spawnd_client *client,
    struct spawned *spawned, struct spawnd_error *err)
{
	struct spawnd_rung rungs[SPAWND_RUNGS_MAX];
	size_t n_rungs;
	Spawn__V1__SpawnResponse *answer = (Spawn__V1__SpawnResponse *)decode_message(
	    &spawn__v1__spawn_response__descriptor, response->payload.data, response->payload.len);
	if (!answer || !answer->process_id) {
		decode_free(answer ? &answer->base : NULL);
		return error_set(
		    err, SPAWND_E_PROTOCOL, EPROTO, "the server's answer to Spawn names no process");
	}
	spawned->process.id = answer->process_id;
	spawned->process.pid = answer->pid;
	int result = decode_ladder(answer->ladder, answer->n_ladder, rungs, &n_rungs, err);
	if (result == 0)
		known_set_ladder(client->known, answer->process_id, rungs, n_rungs);
	if (result == 0 && answer->exit)
		result = decode_exit(answer->exit, &spawned->record, err);
	if (result == 0 && spawned->record && spawned->record->tree_empty)
		known_set_ended(client->known, answer->process_id);
	decode_free(&answer->base);
	return result;
}

// The Spawn may have been carried out, or may still be: it is cancelled by its key. Where no answer
// comes to that either, the keeper goes on asking, and the floor stays below the Spawn. (SPN-2)
static void resolve(
    struct use *use, struct invoke_trace *trace, uint64_t deadline_us, struct spawnd_error *err)
{
	struct spawnd_climb climb;
	memset(&climb, 0, sizeof climb);
	if (client_is_closing(use->client) ||
	    !cancel_spawn(use, trace->session, trace->request_id, deadline_us + RESOLVE_US, &climb)) {
		keeper_resolve(use->client, trace->session, trace->request_id);
		trace->session = NULL;
		return;
	}
	if (!err)
		return;
	const char *found = climb.never_started ? "and will start nothing"
	                    : climb.process_id  ? "and is being killed"
	                                        : "and no such process is known";
	size_t used = strlen(err->message);
	snprintf(err->message + used, sizeof err->message - used, "; it was cancelled, %s", found);
}

static int spawn(struct use *use, const struct spawnd_spawn_options *options, uint64_t deadline_us,
    struct spawned *spawned, struct spawnd_error *err)
{
	struct spawn_request request;
	struct session *session;
	if (session_get(use, deadline_us, &session, err) < 0)
		return -1;
	int result = spawn_request_fill(&request, options, &session->limits, err);
	session_drop(use->client, session);
	struct invoke_trace trace = {0};
	if (result == 0) {
		struct invocation invocation = {.method = "Spawn",
		    .payload = &request.message.base,
		    .recorded = true,
		    .once = true,
		    .deadline_us = deadline_us};
		Spawn__V1__Response *response = NULL;
		result = invoke(use, &invocation, &response, &trace, err);
		if (trace.session)
			spawned->process = (struct spawnd_process){
			    .session_id = trace.session->id, .request_id = trace.request_id};
		if (result == 0) {
			result = decode(response, use->client, spawned, err);
			decode_free(&response->base);
		}
		// An answer that cannot be read leaves a process behind that nobody knows of.
		if (result < 0 && (trace.indeterminate || response))
			resolve(use, &trace, deadline_us, err);
	}
	session_drop(use->client, trace.session);
	spawn_request_free(&request);
	return result;
}

int spawnd_spawn(spawnd_client *client, const struct spawnd_spawn_options *options,
    struct spawnd_process *ret_process, struct spawnd_exit **ret_exit, struct spawnd_error *err)
{
	struct spawnd_spawn_options own = SPAWND_SPAWN_OPTIONS_INIT;
	struct spawnd_error error = {0};
	struct use use;
	if (!options || !ret_process)
		return error_argument(err, "options", "no options, or no room for the process");
	if (options->size < sizeof options->size || options->size > sizeof own)
		return error_argument(err, "size", "the options are of another library version");
	memcpy(&own, options, options->size);
	if (client_enter(client, &use, false, err) < 0)
		return -1;
	uint64_t timeout_ms = client_timeout_ms(client, own.timeout_ms);
	struct spawned spawned = {0};
	int result = spawn(
	    &use, &own, clock_add_us(clock_now_us(), clock_us_of_ms(timeout_ms)), &spawned, &error);
	client_leave(&use);
	if (result < 0) {
		spawnd_exit_free(spawned.record);
		if (error.kind == SPAWND_E_INDETERMINATE || error.kind == SPAWND_E_CLOSED ||
		    error.kind == SPAWND_E_START_FAILED || error.kind == SPAWND_E_PROTOCOL)
			*ret_process = spawned.process;
		return error_copy(err, &error);
	}
	*ret_process = spawned.process;
	if (ret_exit)
		*ret_exit = spawned.record;
	else
		spawnd_exit_free(spawned.record);
	return 0;
}
