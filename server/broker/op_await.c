// AwaitExit and Release.
#include "server/broker/call.h"
#include "server/broker/decode.h"
#include "server/broker/exits.h"
#include "server/broker/op_all.h"
#include "server/broker/proctable.h"
#include "server/broker/reply.h"
#include "server/broker/reply_info.h"
#include "server/broker/reply_record.h"
#include "server/common/clock.h"
#include "spawn/v1/await.pb-c.h"

#define RETRY_AFTER_MS 250u // when too many calls are parked

static void answer(struct call *call, struct process *process, uint64_t retry_after_ms)
{
	struct record record;
	Spawn__V1__AwaitExitResponse response = SPAWN__V1__AWAIT_EXIT_RESPONSE__INIT;
	response.process_id =
	    process->phase == PROCESS_STARTING || process->fail_stage ? 0 : process->id;
	response.done = exits_holds(process, call->await.leader);
	if (response.done) {
		reply_record_fill(&record, process);
		response.exit = &record.message;
	} else {
		response.retry_after_ms = retry_after_ms;
		if (process->ladder.unreaped)
			response.blocked = (Spawn__V1__Blocked)process->blocked;
	}
	reply_ok(call, &response.base);
}

void op_await_finish(struct call *call, struct process *process)
{
	answer(call, process, 0);
}

static void hold_over(void *user, uint64_t now)
{
	(void)now;
	struct call *call = user;
	op_await_finish(call, call->process);
}

void op_await_exit(struct call *call, const ProtobufCMessage *message)
{
	const Spawn__V1__AwaitExitRequest *request = (const void *)message;
	struct refusal refusal;
	struct process *process = decode_target(call, request->target, NULL, &refusal);
	if (process && (unsigned)request->until > SPAWN__V1__UNTIL__UNTIL_TREE_EMPTY) {
		refuse_field(&refusal, "until", 0, "LEADER_EXIT or TREE_EMPTY");
		process = NULL;
	}
	if (!process) {
		reply_refusal(call, &refusal);
		return;
	}
	call->await.leader = request->until == SPAWN__V1__UNTIL__UNTIL_LEADER_EXIT;
	uint64_t hold_ms = call_hold_ms(call, request->hold_ms, INFO_MAX_HOLD_MS);
	if (hold_ms == 0 || exits_holds(process, call->await.leader))
		answer(call, process, 0);
	else if (!call_count_parked(call) ||
	         call_park(call, process, PARK_AWAIT, now_ms() + hold_ms, hold_over))
		answer(call, process, RETRY_AFTER_MS);
}

void op_release(struct call *call, const ProtobufCMessage *message)
{
	const Spawn__V1__ReleaseRequest *request = (const void *)message;
	struct refusal refusal;
	struct process *process = decode_target(call, request->target, NULL, &refusal);
	if (process && process_is_alive(process)) {
		refuse(&refusal, REFUSAL_STATE, "its tree is not empty: cancel and await it first");
		process = NULL;
	}
	if (!process) {
		reply_refusal(call, &refusal);
		return;
	}
	process_release(process);
	Spawn__V1__ReleaseResponse response = SPAWN__V1__RELEASE_RESPONSE__INIT;
	reply_ok(call, &response.base);
}
