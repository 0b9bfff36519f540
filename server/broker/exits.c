// Takes in starts and ends, and wakes who waits for them.
#include "server/broker/exits.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "server/broker/call.h"
#include "server/broker/climb.h"
#include "server/broker/op_all.h"
#include "server/broker/proctable.h"
#include "server/broker/refusal.h"
#include "server/broker/reply.h"
#include "server/broker/shutdown.h"
#include "server/broker/streams.h"
#include "server/link/launch.h"

bool exits_holds(const struct process *process, bool leader)
{
	return process->phase == PROCESS_ENDED || (leader && process->phase == PROCESS_LEADER_EXITED);
}

// Answers every parked call whose wait is over in the present state.
static void wake(struct process *process)
{
	struct call *call, *next;
	DL_FOREACH_SAFE2(process->parked, call, next, park_next)
	{
		bool ended = process->phase == PROCESS_ENDED;
		if (call->park == PARK_SPAWN && ended)
			op_spawn_finish(call, process);
		else if (call->park == PARK_CANCEL && (ended || process->ladder.acted >= call->rung))
			op_cancel_finish(call, process);
		else if (call->park == PARK_AWAIT && exits_holds(process, call->await.leader))
			op_await_finish(call, process);
	}
}

static struct call *parked_spawn(const struct process *process)
{
	struct call *call;
	DL_FOREACH2(process->parked, call, park_next)
	{
		if (call->park == PARK_SPAWN)
			return call;
	}
	return NULL;
}

static void refuse_spawn(struct refusal *refusal, const struct process *process, int error)
{
	const struct link_hello *hello = &process->broker->hello;
	switch (error) {
	case EAGAIN:
		refuse_limit(refusal, REFUSAL_LIMIT, "max_processes", hello->max_processes,
		    "no room for another process");
		break;
	case ENOSPC:
		refuse_limit(refusal, REFUSAL_LIMIT, "max_ring_bytes", 0, "no room for an output ring");
		break;
	case EPERM:
		refuse(refusal, REFUSAL_DENIED,
		    "identity: the server's configuration does not allow this uid or gid");
		snprintf(refusal->name, sizeof refusal->name, "identity");
		break;
	case ESTALE:
		refuse(refusal, REFUSAL_CANCELLED, "this Spawn was cancelled before it came");
		break;
	default:
		refuse(refusal, REFUSAL_INTERNAL, "the root refused the launch: %s", strerror(error));
		break;
	}
}

// Nothing is left of the start: the process has never been. Cancels that waited for it hear the
// same.
static void undo_start(struct process *process, const struct refusal *refusal)
{
	struct refusal gone;
	refuse(&gone, REFUSAL_NOT_FOUND, "no such process: its start was refused");
	struct call *call, *next;
	DL_FOREACH_SAFE2(process->parked, call, next, park_next)
	{
		bool asked = call->park == PARK_CANCEL || call->park == PARK_SPAWN;
		reply_refusal(call, asked ? refusal : &gone);
	}
	struct broker *broker = process->broker;
	process_discard(process);
	shutdown_step(broker);
}

void exits_start_refused(struct process *process, const struct link_refused *message)
{
	struct refusal refusal;
	refuse_spawn(&refusal, process, message->error);
	undo_start(process, &refusal);
}

// The system had no room for the start before the child's own steps: it may have later. (SPN-16)
static bool is_want_of_room(const struct link_start_failed *message)
{
	bool before_child = message->stage == LAUNCH_PREPARE || message->stage == LAUNCH_CLONE;
	int error = message->error;
	return before_child && (error == EAGAIN || error == ENOMEM || error == EMFILE ||
	                           error == ENFILE || error == ENOSPC);
}

void exits_started(struct process *process, const struct link_started *message)
{
	process->phase = PROCESS_RUNNING;
	process->pid = message->pid;
	process->started_ms = message->started_ms;
	process->started_unix_ms = message->started_unix_ms;
	process->broker->n_started++;
	for (uint32_t i = 0; i < LINK_STREAMS; i++)
		process->streams[i].ring = message->rings[i];
	climb_start_run_time(process);
	struct call *spawn = parked_spawn(process);
	if (spawn && !op_spawn_holds(spawn, process))
		op_spawn_finish(spawn, process);
	streams_started(process);
}

void exits_start_failed(struct process *process, const struct link_start_failed *message)
{
	struct broker *broker = process->broker;
	if (is_want_of_room(message)) {
		struct link_drop drop = {.header.kind = LINK_DROP, .process_id = process->id};
		broker_send(broker, &drop);
		struct refusal refusal;
		refuse_limit(&refusal, REFUSAL_LIMIT, "max_processes", broker->hello.max_processes,
		    strerror(message->error));
		undo_start(process, &refusal);
		return;
	}
	process->fail_stage = (int)message->stage;
	process->fail_error = message->error;
	process->started_ms = process->tree_empty_ms = message->at_ms;
	climb_tree_empty(process);
	process_ended(process);
	wake(process);
	streams_ended(process);
	process_retain(process);
	shutdown_step(broker);
}

static uint32_t cause_of_climb(const struct process *process)
{
	static const uint8_t causes[] = {
	    [LADDER_NO_CAUSE] = EXIT_ITSELF,
	    [LADDER_CANCEL] = EXIT_CANCEL,
	    [LADDER_OWNER_LOST] = EXIT_OWNER_LOST,
	    [LADDER_DEADLINE] = EXIT_DEADLINE,
	    [LADDER_SHUTDOWN] = EXIT_SERVER_SHUTDOWN,
	    [LADDER_LEADER_GONE] = EXIT_LEADER_GONE,
	};
	return process->ladder.acted ? causes[process->ladder.cause] : EXIT_ITSELF;
}

// A death by a signal is the climb's only where a rung sent that signal. (EXT-4)
static uint32_t cause_of(const struct process *process)
{
	if (process->exit.code_kind == CLD_EXITED || process->exit.code_kind == LINK_STATUS_LOST)
		return cause_of_climb(process);
	uint64_t bit = UINT64_C(1) << (process->exit.status - 1);
	if (process->rung_signals & bit)
		return cause_of_climb(process);
	return process->call_signals & bit ? EXIT_SIGNAL_CALL : EXIT_OUTSIDE_SIGNAL;
}

void exits_leader_exited(struct process *process, const struct link_leader_exited *message)
{
	process->exit = *message;
	process->exit_rung = process->ladder.acted;
	process->exit_cause = cause_of(process);
	process->phase = PROCESS_LEADER_EXITED;
	wake(process);
}

void exits_tree_left(struct process *process)
{
	if (process->phase == PROCESS_LEADER_EXITED)
		climb_leader_gone(process);
}

void exits_tree_empty(struct process *process, const struct link_tree_empty *message)
{
	struct broker *broker = process->broker;
	process->proof = message->proof;
	process->tree_empty_ms = message->at_ms;
	process->blocked = LINK_BLOCKED_NO;
	climb_tree_empty(process);
	process_ended(process);
	wake(process);
	streams_ended(process);
	process_retain(process);
	shutdown_step(broker);
}

void exits_rung_acted(struct process *process)
{
	wake(process);
}

static void refuse_signal(struct call *call)
{
	struct refusal refusal;
	refuse_limit(&refusal, REFUSAL_LIMIT, "max_processes", call->broker->hello.max_processes,
	    "too many signals wait for starts: send it again");
	reply_refusal(call, &refusal);
}

void exits_signal_sent(struct process *process, const struct link_acted *message)
{
	struct call *call, *next;
	DL_FOREACH_SAFE2(process->parked, call, next, park_next)
	{
		if (call->park != PARK_SIGNAL || call->serial != message->serial)
			continue;
		if (message->error == EAGAIN)
			refuse_signal(call);
		else
			op_signal_finish(call, message->hit);
	}
}

void exits_unreaped(struct process *process)
{
	shutdown_step(process->broker);
}

void exits_forget(struct process *process)
{
	struct refusal refusal;
	refuse(&refusal, REFUSAL_NOT_FOUND, "the record was released");
	struct call *call, *next;
	DL_FOREACH_SAFE2(process->parked, call, next, park_next)
	reply_refusal(call, &refusal);
}
