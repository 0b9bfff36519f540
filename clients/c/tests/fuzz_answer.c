// Fuzz target: whatever a server answers, to whichever call. The first byte chooses the call, the
// rest is the body of the answer.
#include "clients/c/src/await.h"
#include "clients/c/src/cancel.h"
#include "clients/c/src/decode.h"
#include "clients/c/src/invoke.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_spawned(const Spawn__V1__Response *response)
{
	struct spawnd_rung rungs[SPAWND_RUNGS_MAX];
	struct spawnd_exit *record;
	size_t n_rungs;
	Spawn__V1__SpawnResponse *answer = (Spawn__V1__SpawnResponse *)decode_message(
	    &spawn__v1__spawn_response__descriptor, response->payload.data, response->payload.len);
	if (!answer)
		return;
	decode_ladder(answer->ladder, answer->n_ladder, rungs, &n_rungs, NULL);
	if (answer->exit && decode_exit(answer->exit, &record, NULL) == 0) {
		struct spawnd_exit *copy = decode_exit_copy(record);
		if (!copy || strcmp(copy->name, record->name) != 0)
			abort();
		spawnd_exit_free(copy);
		spawnd_exit_free(record);
	}
	decode_free(&answer->base);
}

static void take_awaited(const Spawn__V1__Response *response, int until)
{
	struct await_answer answer;
	if (await_decode(response, until, &answer, NULL) < 0)
		return;
	// Done always comes with a record, and an exit always with a status that can be.
	if (answer.done != (answer.record != NULL))
		abort();
	if (answer.record && answer.record->kind == SPAWND_EXITED && answer.record->code > 255)
		abort();
	spawnd_exit_free(answer.record);
}

static void take_cancelled(const Spawn__V1__Response *response)
{
	struct cancel_answer answer;
	if (cancel_decode(response, &answer, NULL) == 0)
		spawnd_exit_free(answer.record);
}

static void take_list(const Spawn__V1__Response *response)
{
	Spawn__V1__ListProcessesResponse *page = (Spawn__V1__ListProcessesResponse *)decode_message(
	    &spawn__v1__list_processes_response__descriptor, response->payload.data,
	    response->payload.len);
	for (size_t i = 0; page && i < page->n_processes; i++) {
		struct decode_listed listed;
		if (decode_listed(page->processes[i], &listed, NULL) == 0)
			decode_listed_free(&listed);
	}
	decode_free(page ? &page->base : NULL);
}

static void take_info(const Spawn__V1__Response *response)
{
	struct spawnd_info info;
	Spawn__V1__GetServerInfoResponse *answer = (Spawn__V1__GetServerInfoResponse *)decode_message(
	    &spawn__v1__get_server_info_response__descriptor, response->payload.data,
	    response->payload.len);
	if (answer)
		decode_info(answer, &info);
	decode_free(answer ? &answer->base : NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spawnd_error err;
	if (!size)
		return 0;
	Spawn__V1__Response *response = decode_response(data + 1, size - 1);
	if (!response)
		return 0;
	if (invoke_meaning(NULL, response) != INVOKE_OK) {
		if (decode_status(response->status, &err) != -1 || err.kind == SPAWND_E_NONE)
			abort();
		invoke_retry_after_ms(response);
	}
	switch (data[0] % 6) {
	case 0:
		take_spawned(response);
		break;
	case 1:
		take_awaited(response, SPAWND_UNTIL_TREE_EMPTY);
		break;
	case 2:
		take_awaited(response, SPAWND_UNTIL_LEADER_EXIT);
		break;
	case 3:
		take_cancelled(response);
		break;
	case 4:
		take_list(response);
		break;
	default:
		take_info(response);
		break;
	}
	decode_free(&response->base);
	return 0;
}
