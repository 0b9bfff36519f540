// Spawn.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/broker/call.h"
#include "server/broker/decode_spawn.h"
#include "server/broker/exits.h"
#include "server/broker/keepsake.h"
#include "server/broker/op_all.h"
#include "server/broker/proctable.h"
#include "server/broker/reply.h"
#include "server/broker/reply_info.h"
#include "server/broker/reply_record.h"
#include "server/broker/sessions.h"
#include "server/common/clock.h"
#include "server/link/check.h"

static bool check_name(ProtobufCBinaryData name, struct refusal *refusal)
{
	if (name.len > PROCESS_NAME_MAX)
		refuse_field(refusal, "name", 0, "at most 128 bytes");
	else if (name.len && memchr(name.data, 0, name.len))
		refuse_field(refusal, "name", 0, "holds a NUL");
	else
		return true;
	return false;
}

// What depends on the server's state rather than on the request alone.
static bool check_room(
    const struct call *call, const struct process_name *name, struct refusal *refusal)
{
	struct broker *broker = call->broker;
	const struct session *session = session_find(broker, call->session_id);
	const struct process *holder = name->size ? process_find_name(broker, name) : NULL;
	if (holder) {
		refuse(refusal, REFUSAL_NAME_TAKEN, "a live process has this name");
		refusal->value = holder->id;
	} else if (session->n_unreleased >= broker->config->max_unreleased) {
		refuse_limit(refusal, REFUSAL_LIMIT, "max_unreleased", broker->config->max_unreleased,
		    "release ended processes first");
	} else {
		return true;
	}
	return false;
}

// Keeps as much of argv as lists show.
static void keep_argv(struct process *process, const Spawn__V1__SpawnRequest *request)
{
	uint32_t size = 0;
	process->argv = malloc(PROCESS_ARGV_SHOWN);
	if (!process->argv)
		return;
	for (size_t i = 0; i < request->n_argv; i++) {
		size_t piece = request->argv[i].len;
		if (size + piece + 1 > PROCESS_ARGV_SHOWN)
			piece = PROCESS_ARGV_SHOWN - size - 1;
		if (piece)
			memcpy(process->argv + size, request->argv[i].data, piece);
		process->argv[size + piece] = 0;
		size += (uint32_t)piece + 1;
		if (size >= PROCESS_ARGV_SHOWN)
			break;
	}
	process->argv_size = size;
	uint8_t *fitted = realloc(process->argv, size);
	if (fitted)
		process->argv = fitted;
}

static void describe(struct process *process, const Spawn__V1__SpawnRequest *request,
    const struct spawn_order *order)
{
	process->ladder = order->ladder;
	process->on_owner_lost = order->on_owner_lost;
	process->keep_on_leader_exit = order->keep_on_leader_exit;
	process->run_ms = request->run_ms;
	process->stdin_feed.is_pipe = order->is_pipe[0];
	process->stdin_feed.room = order->is_pipe[0];
	for (size_t i = 0; i < LINK_STREAMS; i++) {
		process->streams[i].is_pipe = order->is_pipe[i + 1];
		process->streams[i].policy = order->policy[i + 1];
	}
	keep_argv(process, request);
}

// 0, or -ENOBUFS: the root is far behind.
static int send_start(struct process *process, int launch_fd)
{
	struct link_start start = {
	    .header.kind = LINK_START, .process_id = process->id, .key = process->key};
	start.keepsake_size = (uint32_t)keepsake_of_process(process, start.keepsake);
	int r =
	    forkserver_link_send(process->broker->link, &start, link_message_size(&start), launch_fd);
	return r == -ENOBUFS ? r : 0;
}

static void start(struct call *call, const Spawn__V1__SpawnRequest *request,
    const struct process_name *name, struct spawn_order *order)
{
	struct link_key key = {call->session_id, call->request_id};
	struct process *process;
	struct refusal refusal;
	if (process_add(call->broker, &key, name, &process)) {
		close(order->launch_fd);
		refuse_limit(&refusal, REFUSAL_LIMIT, "memory", 0, "no memory for a process");
		reply_refusal(call, &refusal);
		return;
	}
	describe(process, request, order);
	memcpy(process->digest, call->digest, sizeof process->digest);
	call->spawn_hold_ms = call_hold_ms(call, request->hold_ms, INFO_MAX_SPAWN_HOLD_MS);
	call_park(call, process, PARK_SPAWN, DEADLINE_NEVER, NULL);
	if (send_start(process, order->launch_fd) == 0)
		return;
	struct link_refused refused = {.process_id = process->id, .key = key, .error = EAGAIN};
	exits_start_refused(process, &refused);
}

void op_spawn(struct call *call, const ProtobufCMessage *message)
{
	const Spawn__V1__SpawnRequest *request = (const void *)message;
	struct refusal refusal;
	struct process_name name = {.uid = call->uid};
	struct spawn_order order;
	if (call->broker->shutdown)
		refuse(&refusal, REFUSAL_SHUTTING_DOWN, "the server is shutting down");
	else if (request->nested)
		refuse(&refusal, REFUSAL_UNSUPPORTED, "this server has no nested sessions");
	else if (check_name(request->name, &refusal)) {
		name.size = (uint32_t)request->name.len;
		if (name.size)
			memcpy(name.bytes, request->name.data, name.size);
		if (check_room(call, &name, &refusal) &&
		    decode_spawn(call->broker, request, &order, &refusal)) {
			start(call, request, &name, &order);
			return;
		}
	}
	reply_refusal(call, &refusal);
}

static void hold_over(void *user, uint64_t now)
{
	(void)now;
	struct call *call = user;
	op_spawn_finish(call, call->process);
}

bool op_spawn_holds(struct call *call, struct process *process)
{
	if (call->spawn_hold_ms == 0 || process->ladder.reached || process->call_signals)
		return false;
	call->hold.due = hold_over;
	return deadlines_set(&call->broker->deadlines, &call->hold, now_ms() + call->spawn_hold_ms) ==
	       0;
}

static void answer_failed(struct call *call, const struct process *process)
{
	static const char *const steps[] = {"", "prepare", "clone", "descriptors", "session", "rlimit",
	    "identity", "cwd", "stdin", "stdout", "stderr", "process state", "exec"};
	struct refusal refusal;
	refuse(&refusal, REFUSAL_START_FAILED, "start failed at %s: %s", steps[process->fail_stage],
	    strerror(process->fail_error));
	refusal.stage = process->fail_stage;
	refusal.error = process->fail_error;
	reply_refusal(call, &refusal);
}

void op_spawn_finish(struct call *call, struct process *process)
{
	if (process->fail_stage) {
		answer_failed(call, process);
		return;
	}
	struct record record;
	struct ladder_message ladder;
	Spawn__V1__SpawnResponse response = SPAWN__V1__SPAWN_RESPONSE__INIT;
	reply_record_ladder(&ladder, &process->ladder);
	response.process_id = process->id;
	response.pid = process->pid;
	response.n_ladder = process->ladder.n_rungs;
	response.ladder = ladder.list;
	response.rung_reached = process->ladder.reached;
	response.started_unix_ms = process->started_unix_ms;
	if (!process_is_alive(process)) {
		reply_record_fill(&record, process);
		response.exit = &record.message;
	}
	reply_ok(call, &response.base);
}
