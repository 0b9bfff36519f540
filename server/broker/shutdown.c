// Carries out the shutdown.
#include "server/broker/shutdown.h"

#include <utlist.h>

#include "server/broker/broker.h"
#include "server/broker/call.h"
#include "server/broker/climb.h"
#include "server/broker/op_all.h"
#include "server/broker/proctable.h"
#include "server/broker/reply.h"
#include "server/common/clock.h"
#include "server/common/log.h"

// nng says that an answer has left when it has taken it over; this is the time that the connections
// get to pass it on. A client that reads later finds the connection closed, and the epoch gone.
#define LINGER_MS 100u

void shutdown_begin(struct broker *broker, uint32_t count)
{
	bool impatient = count > 1;
	log_info(impatient ? "shutting down at once: the last rung for %u processes"
	                   : "shutting down: %u processes are cancelled",
	    broker->n_alive);
	broker->shutdown = count;
	struct process *process, *next;
	DL_FOREACH_SAFE2(broker->alive, process, next, alive_next)
	climb_shutdown(process, impatient);
	shutdown_step(broker);
}

static bool all_over(const struct broker *broker)
{
	const struct process *process;
	DL_FOREACH2(broker->alive, process, alive_next)
	{
		if (!process->ladder.unreaped)
			return false;
	}
	return true;
}

// Answers a parked call with what is known.
static void give_up(struct call *call)
{
	struct process *process = call->process;
	struct refusal refusal;
	switch (call->park) {
	case PARK_SPAWN:
		if (process->phase != PROCESS_STARTING) {
			op_spawn_finish(call, process);
			break;
		}
		refuse(&refusal, REFUSAL_SHUTTING_DOWN, "the server is shutting down");
		reply_refusal(call, &refusal);
		break;
	case PARK_CANCEL:
		op_cancel_finish(call, process);
		break;
	case PARK_SIGNAL:
		op_signal_finish(call, 0);
		break;
	case PARK_AWAIT:
		op_await_finish(call, process);
		break;
	case PARK_OUTPUT:
		op_read_finish(call, NULL, 0, call->output.offset, LINK_EOF_NO);
		break;
	case PARK_STDIN:
		op_write_finish(call, process);
		break;
	case PARK_NONE:
		break;
	}
}

// Those who still wait for a process that does not end hear so.
static void answer_parked(struct broker *broker)
{
	struct process *process, *next_process;
	HASH_ITER(hh_id, broker->processes_by_id, process, next_process)
	{
		// By process: the calls of a connection may end together, as repetitions of one do.
		struct call *call, *next;
		DL_FOREACH_SAFE2(process->parked, call, next, park_next)
		give_up(call);
	}
}

static void stop(void *user, uint64_t now)
{
	(void)now;
	struct broker *broker = user;
	if (broker->finished)
		return;
	broker->finished = true;
	struct link_stopped message = {.header.kind = LINK_STOPPED};
	broker_send(broker, &message);
}

void shutdown_step(struct broker *broker)
{
	if (!broker->shutdown || broker->linger.at_ms != DEADLINE_NEVER || !all_over(broker))
		return;
	answer_parked(broker);
	deadline_init(&broker->linger, stop, broker);
	deadlines_set(&broker->deadlines, &broker->linger, now_ms() + LINGER_MS);
}
