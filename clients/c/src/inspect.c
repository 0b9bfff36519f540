// Looking at the server and its processes. Clauses: docs/spec/10-inspect.md (INS).
#include "clients/c/src/clock.h"
#include "clients/c/src/decode.h"
#include "clients/c/src/error.h"
#include "clients/c/src/invoke.h"
#include "clients/c/src/target.h"

#include <errno.h>
#include <string.h>

static const Spawn__V1__ProcessState wire_states[] = {
    [0] = SPAWN__V1__PROCESS_STATE__PROCESS_STATE_UNSPECIFIED,
    [SPAWND_STATE_STARTING] = SPAWN__V1__PROCESS_STATE__PROCESS_STATE_STARTING,
    [SPAWND_STATE_RUNNING] = SPAWN__V1__PROCESS_STATE__PROCESS_STATE_RUNNING,
    [SPAWND_STATE_CANCELLING] = SPAWN__V1__PROCESS_STATE__PROCESS_STATE_CANCELLING,
    [SPAWND_STATE_LEADER_EXITED] = SPAWN__V1__PROCESS_STATE__PROCESS_STATE_LEADER_EXITED,
    [SPAWND_STATE_ENDED] = SPAWN__V1__PROCESS_STATE__PROCESS_STATE_ENDED};

struct listing {
	Spawn__V1__ListProcessesRequest request;
	struct target target;
	uint32_t epoch;
	int (*each)(void *user, const struct spawnd_process_info *info);
	void *user;
};

static int fill(
    struct listing *listing, const struct spawnd_list_filter *from, struct spawnd_error *err)
{
	struct spawnd_list_filter filter = {.size = sizeof filter};
	listing->request = (Spawn__V1__ListProcessesRequest)SPAWN__V1__LIST_PROCESSES_REQUEST__INIT;
	if (from) {
		if (from->size < sizeof from->size || from->size > sizeof filter)
			return error_argument(err, "size", "the filter is of another library version");
		memcpy(&filter, from, from->size);
	}
	if (filter.state < 0 || filter.state > SPAWND_STATE_ENDED)
		return error_argument(err, "state", "no such state");
	listing->request.state = wire_states[filter.state];
	listing->request.session_id = filter.session_id;
	if (filter.name) {
		listing->request.name.data = (uint8_t *)filter.name;
		listing->request.name.len = strlen(filter.name);
	}
	if (!filter.process)
		return 0;
	if (target_set(&listing->target, filter.process, err) < 0)
		return -1;
	listing->request.target = &listing->target.message;
	listing->epoch = listing->target.epoch;
	return 0;
}

// 1 where the callback wants no more.
static int hand_out(
    const Spawn__V1__ListProcessesResponse *page, struct listing *listing, struct spawnd_error *err)
{
	for (size_t i = 0; i < page->n_processes; i++) {
		struct decode_listed listed;
		if (decode_listed(page->processes[i], &listed, err) < 0)
			return -1;
		int stop = listing->each(listing->user, &listed.info);
		decode_listed_free(&listed);
		if (stop)
			return 1;
	}
	return 0;
}

// 1 where there is no further page, or none is wanted.
static int list_page(struct use *use, struct listing *listing, struct spawnd_error *err)
{
	struct invocation invocation = {.method = "ListProcesses",
	    .payload = &listing->request.base,
	    .deadline_us = clock_add_us(clock_now_us(), clock_us_of_ms(use->client->timeout_ms)),
	    .epoch = listing->epoch};
	Spawn__V1__Response *response;
	if (invoke(use, &invocation, &response, NULL, err) < 0)
		return -1;
	Spawn__V1__ListProcessesResponse *page = (Spawn__V1__ListProcessesResponse *)decode_message(
	    &spawn__v1__list_processes_response__descriptor, response->payload.data,
	    response->payload.len);
	decode_free(&response->base);
	// A page token that does not go on would never end.
	if (!page || (page->next_page_token && page->next_page_token <= listing->request.page_token)) {
		decode_free(page ? &page->base : NULL);
		return error_set(
		    err, SPAWND_E_PROTOCOL, EPROTO, "the server's answer to ListProcesses cannot be read");
	}
	int result = hand_out(page, listing, err);
	listing->request.page_token = page->next_page_token;
	decode_free(&page->base);
	return result || listing->request.page_token ? result : 1;
}

int spawnd_list(spawnd_client *client, const struct spawnd_list_filter *filter,
    int (*each)(void *user, const struct spawnd_process_info *info), void *user,
    struct spawnd_error *err)
{
	struct listing listing = {.each = each, .user = user};
	struct use use;
	if (!each)
		return error_argument(err, "each", "nobody to list them to");
	if (fill(&listing, filter, err) < 0 || client_enter(client, &use, false, err) < 0)
		return -1;
	int result;
	do
		result = list_page(&use, &listing, err);
	while (result == 0);
	client_leave(&use);
	return result < 0 ? -1 : 0;
}

int spawnd_get_info(spawnd_client *client, struct spawnd_info *ret_info, struct spawnd_error *err)
{
	struct use use;
	if (!ret_info)
		return error_argument(err, "ret_info", "no room for the answer");
	if (client_enter(client, &use, false, err) < 0)
		return -1;
	Spawn__V1__GetServerInfoRequest request = SPAWN__V1__GET_SERVER_INFO_REQUEST__INIT;
	struct invocation invocation = {.method = "GetServerInfo",
	    .payload = &request.base,
	    .deadline_us = clock_add_us(clock_now_us(), clock_us_of_ms(client->timeout_ms))};
	Spawn__V1__Response *response;
	int result = invoke(&use, &invocation, &response, NULL, err);
	if (result == 0) {
		Spawn__V1__GetServerInfoResponse *info = (Spawn__V1__GetServerInfoResponse *)decode_message(
		    &spawn__v1__get_server_info_response__descriptor, response->payload.data,
		    response->payload.len);
		if (info)
			decode_info(info, ret_info);
		else
			result = error_set(err, SPAWND_E_PROTOCOL, EPROTO,
			    "the server's answer to GetServerInfo cannot be read");
		decode_free(info ? &info->base : NULL);
		decode_free(&response->base);
	}
	client_leave(&use);
	return result;
}
