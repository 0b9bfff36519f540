// What must be known before a climb: the ladder, or that the process has ended already.
#include "clients/c/src/stop_learn.h"

#include "clients/c/src/await.h"
#include "clients/c/src/clock.h"
#include "clients/c/src/error.h"
#include "clients/c/src/known.h"
#include "clients/c/src/target.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static const struct spawnd_rung default_ladder[] = {
    {SPAWND_SIGNAL, SIGINT, SPAWND_LEADER, 5000},
    {SPAWND_SIGNAL, SIGTERM, SPAWND_TREE, 2000},
    {SPAWND_SIGNAL, SIGKILL, SPAWND_TREE, 2000},
};
#define N_DEFAULT (sizeof default_ladder / sizeof default_ladder[0])

static uint64_t deadline_us(struct use *use)
{
	return clock_add_us(clock_now_us(), clock_us_of_ms(use->client->timeout_ms));
}

// Errors that no further asking would mend.
static bool is_final(int kind)
{
	return kind == SPAWND_E_LOST || kind == SPAWND_E_CLOSED || kind == SPAWND_E_UNREACHABLE ||
	       kind == SPAWND_E_MEMORY || kind == SPAWND_E_DENIED || kind == SPAWND_E_VERSION;
}

// Asks for the present state. *ret_exit stays NULL where it has not ended.
static int ask_exit(struct use *use, const struct spawnd_process *process,
    struct spawnd_exit **ret_exit, struct spawnd_error *err)
{
	struct target target;
	if (target_set(&target, process, err) < 0)
		return -1;
	Spawn__V1__AwaitExitRequest request = SPAWN__V1__AWAIT_EXIT_REQUEST__INIT;
	request.target = &target.message;
	request.until = SPAWN__V1__UNTIL__UNTIL_TREE_EMPTY;
	struct invocation invocation = {.method = "AwaitExit",
	    .payload = &request.base,
	    .deadline_us = deadline_us(use),
	    .epoch = target.epoch};
	Spawn__V1__Response *response;
	struct await_answer answer;
	if (invoke(use, &invocation, &response, NULL, err) < 0)
		return -1;
	int result = await_decode(response, SPAWND_UNTIL_TREE_EMPTY, &answer, err);
	decode_free(&response->base);
	if (result == 0 && answer.done)
		*ret_exit = answer.record;
	return result;
}

static int take_listed(const Spawn__V1__Response *response, struct use *use,
    struct stop_ladder *ladder, struct spawnd_exit **ret_exit, struct spawnd_error *err)
{
	struct decode_listed listed;
	Spawn__V1__ListProcessesResponse *list = (Spawn__V1__ListProcessesResponse *)decode_message(
	    &spawn__v1__list_processes_response__descriptor, response->payload.data,
	    response->payload.len);
	int result = -1;
	if (!list || list->n_processes != 1)
		error_set(err, SPAWND_E_PROTOCOL, EPROTO, "the server listed no such process");
	else
		result = decode_listed(list->processes[0], &listed, err);
	decode_free(list ? &list->base : NULL);
	if (result < 0)
		return result;
	if (listed.info.state == SPAWND_STATE_ENDED && listed.exit &&
	    (listed.exit->tree_empty || listed.exit->kind == SPAWND_START_FAILED)) {
		*ret_exit = listed.exit;
		listed.exit = NULL;
	} else if (listed.info.n_rungs) {
		memcpy(ladder->rungs, listed.info.ladder, listed.info.n_rungs * sizeof ladder->rungs[0]);
		ladder->n_rungs = listed.info.n_rungs;
		ladder->certain = true;
		known_set_ladder(
		    use->client->known, listed.info.process.id, ladder->rungs, ladder->n_rungs);
	}
	decode_listed_free(&listed);
	return 0;
}

static int ask_list(struct use *use, const struct spawnd_process *process,
    struct stop_ladder *ladder, struct spawnd_exit **ret_exit, struct spawnd_error *err)
{
	struct target target;
	if (target_set(&target, process, err) < 0)
		return -1;
	Spawn__V1__ListProcessesRequest request = SPAWN__V1__LIST_PROCESSES_REQUEST__INIT;
	request.target = &target.message;
	struct invocation invocation = {.method = "ListProcesses",
	    .payload = &request.base,
	    .deadline_us = deadline_us(use),
	    .epoch = target.epoch};
	Spawn__V1__Response *response;
	if (invoke(use, &invocation, &response, NULL, err) < 0)
		return -1;
	int result = take_listed(response, use, ladder, ret_exit, err);
	decode_free(&response->base);
	return result;
}

// AwaitExit has the last word on an id that is not found. (LAD-8, IDN-6)
static int ask_lost(struct use *use, const struct spawnd_process *process,
    struct spawnd_exit **ret_exit, struct spawnd_error *err)
{
	struct spawnd_error error = {0};
	if (ask_exit(use, process, ret_exit, &error) == 0)
		return 0;
	if (error.kind == SPAWND_E_NOT_FOUND)
		return error_set(
		    err, SPAWND_E_LOST, 0, "the server has no record of this process any more");
	return is_final(error.kind) ? error_copy(err, &error) : 0;
}

int stop_learn(struct use *use, const struct spawnd_process *process,
    struct stop_ladder *ret_ladder, struct spawnd_exit **ret_exit, struct spawnd_error *err)
{
	struct known *known = use->client->known;
	struct spawnd_error error = {0};
	memcpy(ret_ladder->rungs, default_ladder, sizeof default_ladder);
	ret_ladder->n_rungs = N_DEFAULT;
	ret_ladder->certain = false;
	if (known_has_ended(known, process->id)) {
		if (ask_exit(use, process, ret_exit, &error) < 0 && is_final(error.kind))
			return error_copy(err, &error);
		if (*ret_exit)
			return 0;
	}
	if (known_ladder(known, process->id, ret_ladder->rungs, &ret_ladder->n_rungs)) {
		ret_ladder->certain = true;
		return 0;
	}
	if (error.kind != SPAWND_E_NOT_FOUND &&
	    ask_list(use, process, ret_ladder, ret_exit, &error) == 0)
		return 0;
	if (error.kind == SPAWND_E_NOT_FOUND && process->id)
		return ask_lost(use, process, ret_exit, err);
	// A server that does not list may still cancel; a Spawn that has not come can be cancelled.
	return is_final(error.kind) ? error_copy(err, &error) : 0;
}
