// ListProcesses and GetServerInfo.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/broker/call.h"
#include "server/broker/decode.h"
#include "server/broker/op_all.h"
#include "server/broker/proctable.h"
#include "server/broker/reply.h"
#include "server/broker/reply_info.h"
#include "server/broker/reply_record.h"
#include "server/common/clock.h"
#include "spawn/v1/inspect.pb-c.h"

#define PAGE_DEFAULT      100u
#define PAGE_MAX          1000u
#define PAGE_MARGIN_BYTES 65536u // for the envelope, and for the entry that goes over
#define ARGV_SHOWN_MAX    256u

// One entry with all that it points to.
struct entry {
	Spawn__V1__ProcessInfo message;
	struct ladder_message ladder;
	struct record record;
	ProtobufCBinaryData argv[ARGV_SHOWN_MAX];
};

static Spawn__V1__ProcessState state_of(const struct process *process)
{
	switch (process->phase) {
	case PROCESS_STARTING:
		return SPAWN__V1__PROCESS_STATE__PROCESS_STATE_STARTING;
	case PROCESS_LEADER_EXITED:
		return SPAWN__V1__PROCESS_STATE__PROCESS_STATE_LEADER_EXITED;
	case PROCESS_ENDED:
		return SPAWN__V1__PROCESS_STATE__PROCESS_STATE_ENDED;
	case PROCESS_RUNNING:
		break;
	}
	return process->ladder.acted ? SPAWN__V1__PROCESS_STATE__PROCESS_STATE_CANCELLING
	                             : SPAWN__V1__PROCESS_STATE__PROCESS_STATE_RUNNING;
}

static size_t split_argv(const struct process *process, ProtobufCBinaryData *argv)
{
	size_t n = 0;
	for (uint32_t at = 0; at < process->argv_size && n < ARGV_SHOWN_MAX;) {
		size_t size = strnlen((const char *)process->argv + at, process->argv_size - at);
		argv[n].data = process->argv + at;
		argv[n++].len = size;
		at += (uint32_t)size + 1;
	}
	return n;
}

static void fill_times(Spawn__V1__ProcessInfo *message, const struct process *process)
{
	uint64_t now = now_ms();
	uint64_t due = process->climb_due.at_ms;
	bool ended = process->phase == PROCESS_ENDED;
	uint64_t end = ended ? process->tree_empty_ms : now;
	message->next_rung_ms = due == DEADLINE_NEVER ? UINT64_MAX : due > now ? due - now : 0;
	message->started_unix_ms = process->started_unix_ms;
	if (process->phase != PROCESS_STARTING && end > process->started_ms)
		message->age_ms = end - process->started_ms;
}

static void fill_entry(struct entry *entry, struct process *process)
{
	Spawn__V1__ProcessInfo *message = &entry->message;
	spawn__v1__process_info__init(message);
	message->process_id = process->fail_stage ? 0 : process->id;
	message->session_id = process->key.session_id;
	message->spawn_request_id = process->key.request_id;
	message->name.data = (uint8_t *)process->name.bytes;
	message->name.len = process->name.size;
	message->n_argv = split_argv(process, entry->argv);
	message->argv = entry->argv;
	message->pid = process->pid;
	message->state = state_of(process);
	reply_record_ladder(&entry->ladder, &process->ladder);
	message->n_ladder = process->ladder.n_rungs;
	message->ladder = entry->ladder.list;
	message->rung_reached = process->ladder.reached;
	message->on_owner_lost = (Spawn__V1__OnOwnerLost)process->on_owner_lost;
	message->owner_lost = process->owner_lost;
	message->blocked = process->ladder.unreaped ? (Spawn__V1__Blocked)process->blocked : 0;
	fill_times(message, process);
	if (process->phase == PROCESS_ENDED) {
		reply_record_fill(&entry->record, process);
		message->exit = &entry->record.message;
	}
}

static bool matches(const struct call *call, const Spawn__V1__ListProcessesRequest *request,
    const struct process *process)
{
	return process->name.uid == call->uid && process->id > request->page_token &&
	       (!request->session_id || process->key.session_id == request->session_id) &&
	       (!request->state || (int)request->state == (int)state_of(process)) &&
	       (!request->name.len ||
	           (process->name.size == request->name.len &&
	               memcmp(process->name.bytes, request->name.data, request->name.len) == 0));
}

// A page under construction.
struct page {
	struct entry *entries;
	Spawn__V1__ProcessInfo **list;
	size_t n, max, bytes, max_bytes;
	uint64_t last_id;
	bool more;
};

// False: the page is full.
static bool add(struct page *page, struct process *process)
{
	if (page->n == page->max) {
		page->more = true;
		return false;
	}
	struct entry *entry = &page->entries[page->n];
	fill_entry(entry, process);
	size_t bytes = spawn__v1__process_info__get_packed_size(&entry->message) + 8;
	if (page->n && page->bytes + bytes > page->max_bytes) {
		page->more = true;
		return false;
	}
	page->bytes += bytes;
	page->list[page->n++] = &entry->message;
	page->last_id = process->id;
	return true;
}

static void fill_page(struct page *page, const struct call *call,
    const Spawn__V1__ListProcessesRequest *request, struct process *target)
{
	if (target) {
		if (matches(call, request, target))
			add(page, target);
		return;
	}
	struct process *process, *next;
	HASH_ITER(hh_id, call->broker->processes_by_id, process, next)
	{
		if (!process->fail_stage && matches(call, request, process) && !add(page, process))
			return;
	}
}

static void answer_page(
    struct call *call, const Spawn__V1__ListProcessesRequest *request, struct process *target)
{
	size_t max = request->page_size ? request->page_size : PAGE_DEFAULT;
	struct page page = {.max = max < PAGE_MAX ? max : PAGE_MAX,
	    .max_bytes = call->broker->config->max_message_bytes - PAGE_MARGIN_BYTES};
	if (target)
		page.max = 1;
	page.entries = calloc(page.max, sizeof *page.entries);
	page.list = calloc(page.max, sizeof *page.list);
	if (page.entries && page.list) {
		fill_page(&page, call, request, target);
		Spawn__V1__ListProcessesResponse response = SPAWN__V1__LIST_PROCESSES_RESPONSE__INIT;
		response.n_processes = page.n;
		response.processes = page.list;
		response.next_page_token = page.more ? page.last_id : 0;
		reply_ok(call, &response.base);
	} else {
		struct refusal refusal;
		refuse_limit(&refusal, REFUSAL_LIMIT, "memory", 0, "no memory for a page");
		reply_refusal(call, &refusal);
	}
	free(page.entries);
	free(page.list);
}

void op_list_processes(struct call *call, const ProtobufCMessage *message)
{
	const Spawn__V1__ListProcessesRequest *request = (const void *)message;
	struct refusal refusal;
	struct process *target = NULL;
	if ((unsigned)request->state > SPAWN__V1__PROCESS_STATE__PROCESS_STATE_ENDED) {
		refuse_field(&refusal, "state", 0, "not a known state");
		reply_refusal(call, &refusal);
		return;
	}
	if (request->target) {
		target = decode_target(call, request->target, NULL, &refusal);
		if (!target) {
			reply_refusal(call, &refusal);
			return;
		}
	}
	answer_page(call, request, target);
}

void op_get_server_info(struct call *call, const ProtobufCMessage *message)
{
	(void)message;
	const struct broker *broker = call->broker;
	struct info_messages info;
	reply_info_fill(&info, broker);
	Spawn__V1__GetServerInfoResponse response = SPAWN__V1__GET_SERVER_INFO_RESPONSE__INIT;
	response.version = (char *)SPAWND_VERSION;
	response.major = INFO_MAJOR;
	response.minor = INFO_MINOR;
	response.epoch = broker->hello.epoch;
	response.uptime_ms = now_ms() - broker->hello.started_ms;
	response.root_pid = broker->hello.root_pid;
	response.broker_pid = (uint32_t)getpid();
	response.guard_pid = broker->hello.guard_pid;
	response.shutting_down = broker->shutdown > 0;
	response.limits = &info.limits;
	response.capabilities = &info.capabilities;
	response.counters = &info.counters;
	reply_ok(call, &response.base);
}
