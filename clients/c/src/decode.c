// From the wire to the library's own structures: messages, statuses, ladders, lists.
#include "clients/c/src/decode.h"

#include "clients/c/src/decode_words.h"
#include "clients/c/src/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- messages within a budget ---------------------------------------------------------- */

struct budget {
	ProtobufCAllocator allocator;
	size_t left;
};

static void *take(void *data, size_t size)
{
	struct budget *budget = data;
	if (size > budget->left)
		return NULL;
	budget->left -= size;
	return malloc(size);
}

static void give(void *data, void *pointer)
{
	(void)data;
	free(pointer);
}

ProtobufCMessage *decode_message(
    const ProtobufCMessageDescriptor *kind, const void *bytes, size_t size)
{
	struct budget budget = {.allocator = {.alloc = take, .free = give}, .left = DECODE_BYTES_MAX};
	budget.allocator.allocator_data = &budget;
	return protobuf_c_message_unpack(kind, &budget.allocator, size, bytes);
}

void decode_free(ProtobufCMessage *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

Spawn__V1__Response *decode_response(const void *bytes, size_t size)
{
	Spawn__V1__Response *response =
	    (Spawn__V1__Response *)decode_message(&spawn__v1__response__descriptor, bytes, size);
	if (response && response->status && response->epoch && response->epoch <= UINT32_MAX)
		return response;
	decode_free(response ? &response->base : NULL);
	return NULL;
}

/* ---- statuses -------------------------------------------------------------------------- */

static int kind_of(const Spawn__V1__Status *status)
{
	switch ((int)status->code) {
	case SPAWN__V1__CODE__CODE_CANCELLED:
		return SPAWND_E_CANCELLED;
	case SPAWN__V1__CODE__CODE_INVALID_ARGUMENT:
	case SPAWN__V1__CODE__CODE_OUT_OF_RANGE:
		return SPAWND_E_ARGUMENT;
	case SPAWN__V1__CODE__CODE_NOT_FOUND:
		return status->detail_case == SPAWN__V1__STATUS__DETAIL_EPOCH_CHANGED ? SPAWND_E_LOST
		                                                                      : SPAWND_E_NOT_FOUND;
	case SPAWN__V1__CODE__CODE_ALREADY_EXISTS:
		return SPAWND_E_EXISTS;
	case SPAWN__V1__CODE__CODE_PERMISSION_DENIED:
	case SPAWN__V1__CODE__CODE_UNAUTHENTICATED:
		return SPAWND_E_DENIED;
	case SPAWN__V1__CODE__CODE_RESOURCE_EXHAUSTED:
		return SPAWND_E_LIMIT;
	case SPAWN__V1__CODE__CODE_FAILED_PRECONDITION:
		if (status->detail_case == SPAWN__V1__STATUS__DETAIL_START_FAILED)
			return SPAWND_E_START_FAILED;
		if (status->detail_case == SPAWN__V1__STATUS__DETAIL_UNSUPPORTED)
			return SPAWND_E_VERSION;
		return SPAWND_E_STATE;
	case SPAWN__V1__CODE__CODE_UNIMPLEMENTED:
		return SPAWND_E_UNSUPPORTED;
	case SPAWN__V1__CODE__CODE_INTERNAL:
		return SPAWND_E_PROTOCOL;
	case SPAWN__V1__CODE__CODE_UNAVAILABLE:
		return SPAWND_E_UNAVAILABLE;
	default:
		return SPAWND_E_UNKNOWN;
	}
}

static void add_detail(const Spawn__V1__Status *status, struct spawnd_error *err)
{
	switch ((int)status->detail_case) {
	case SPAWN__V1__STATUS__DETAIL_START_FAILED:
		err->stage = decode_stage((int)status->start_failed->stage);
		err->sys_errno = status->start_failed->errno_code;
		break;
	case SPAWN__V1__STATUS__DETAIL_RETRY_AFTER:
		err->retry_after_ms = status->retry_after->ms;
		break;
	case SPAWN__V1__STATUS__DETAIL_ALREADY_EXISTS:
		err->process_id = status->already_exists->process_id;
		break;
	case SPAWN__V1__STATUS__DETAIL_FIELD:
		decode_text(
		    err->field, sizeof err->field, status->field->path, strlen(status->field->path));
		break;
	case SPAWN__V1__STATUS__DETAIL_LIMIT:
		decode_text(
		    err->field, sizeof err->field, status->limit->name, strlen(status->limit->name));
		break;
	default:
		break;
	}
}

int decode_status(const Spawn__V1__Status *status, struct spawnd_error *err)
{
	if (!err)
		return -1;
	memset(err, 0, sizeof *err);
	err->kind = kind_of(status);
	err->code = (int)status->code;
	add_detail(status, err);
	decode_text(err->message, sizeof err->message, status->message, strlen(status->message));
	if (err->message[0])
		return -1;
	if (err->kind == SPAWND_E_START_FAILED)
		snprintf(err->message, sizeof err->message, "the start failed at %s: %s",
		    spawnd_stage_name(err->stage),
		    strerrordesc_np(err->sys_errno) ? strerrordesc_np(err->sys_errno) : "unknown errno");
	else
		snprintf(err->message, sizeof err->message, "the server answered code %d (%s)", err->code,
		    spawnd_error_kind_name(err->kind));
	return -1;
}

/* ---- ladders and lists ----------------------------------------------------------------- */

int decode_ladder(Spawn__V1__Rung *const *ladder, size_t n_ladder, struct spawnd_rung *rungs,
    size_t *ret_count, struct spawnd_error *err)
{
	if (n_ladder > SPAWND_RUNGS_MAX)
		return error_set(
		    err, SPAWND_E_PROTOCOL, 0, "the server answered a ladder of %zu rungs", n_ladder);
	for (size_t i = 0; i < n_ladder; i++)
		rungs[i] = (struct spawnd_rung){.action = decode_action((int)ladder[i]->action),
		    .signal = ladder[i]->signal <= 64 ? (int)ladder[i]->signal : 0,
		    .scope = decode_scope((int)ladder[i]->scope),
		    .wait_ms = ladder[i]->wait_ms};
	*ret_count = n_ladder;
	return 0;
}

// The strings of a list's entry in one block: name, argument pointers, arguments.
static int copy_strings(const Spawn__V1__ProcessInfo *process, struct decode_listed *listed)
{
	size_t size = process->name.len + 1 + (process->n_argv + 1) * sizeof(char *);
	for (size_t i = 0; i < process->n_argv; i++)
		size += process->argv[i].len + 1;
	char **argv = calloc(1, size);
	if (!argv)
		return -1;
	char *at = (char *)(argv + process->n_argv + 1);
	for (size_t i = 0; i < process->n_argv; i++) {
		argv[i] = at;
		if (process->argv[i].len)
			memcpy(at, process->argv[i].data, process->argv[i].len);
		at += process->argv[i].len + 1;
	}
	if (process->name.len)
		memcpy(at, process->name.data, process->name.len);
	listed->block = argv;
	listed->info.name = at;
	listed->info.argv = (const char *const *)argv;
	listed->info.n_argv = process->n_argv;
	return 0;
}

int decode_listed(const Spawn__V1__ProcessInfo *process, struct decode_listed *ret_listed,
    struct spawnd_error *err)
{
	struct decode_listed listed = {
	    .info = {.state = decode_state((int)process->state),
	        .rung_reached = process->rung_reached,
	        .next_rung_ms = process->next_rung_ms,
	        .started_unix_ms = process->started_unix_ms,
	        .age_ms = process->age_ms,
	        .on_owner_lost = decode_on_owner_lost((int)process->on_owner_lost),
	        .owner_lost = !!process->owner_lost,
	        .blocked = decode_blocked((int)process->blocked)}};
	listed.info.process = (struct spawnd_process){.id = process->process_id,
	    .session_id = process->session_id,
	    .request_id = process->spawn_request_id,
	    .pid = process->pid};
	if (decode_ladder(
	        process->ladder, process->n_ladder, listed.info.ladder, &listed.info.n_rungs, err) < 0)
		return -1;
	if (process->exit && decode_exit(process->exit, &listed.exit, err) < 0)
		return -1;
	listed.info.exit = listed.exit;
	if (copy_strings(process, &listed) < 0) {
		spawnd_exit_free(listed.exit);
		return error_memory(err);
	}
	*ret_listed = listed;
	return 0;
}

void decode_listed_free(struct decode_listed *listed)
{
	free(listed->block);
	spawnd_exit_free(listed->exit);
}
