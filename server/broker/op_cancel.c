// Cancel and Signal.
#include <errno.h>

#include "server/broker/call.h"
#include "server/broker/climb.h"
#include "server/broker/decode.h"
#include "server/broker/op_all.h"
#include "server/broker/proctable.h"
#include "server/broker/reply.h"
#include "server/broker/reply_record.h"
#include "server/broker/sessions.h"
#include "spawn/v1/cancel.pb-c.h"

#define SIGNAL_MAX 64u

void op_cancel_finish(struct call *call, struct process *process)
{
	struct record record;
	struct ladder_message ladder;
	Spawn__V1__CancelResponse response = SPAWN__V1__CANCEL_RESPONSE__INIT;
	reply_record_ladder(&ladder, &process->ladder);
	response.process_id = process->fail_stage ? 0 : process->id;
	response.rung_reached = process->ladder.reached;
	response.n_ladder = process->ladder.n_rungs;
	response.ladder = ladder.list;
	if (process_is_alive(process)) {
		call->cancel_token = climb_token(process, call->rung);
	} else {
		reply_record_fill(&record, process);
		response.exit = &record.message;
	}
	reply_ok(call, &response.base);
}

static void answer_never_started(struct call *call)
{
	Spawn__V1__CancelResponse response = SPAWN__V1__CANCEL_RESPONSE__INIT;
	response.never_started = true;
	reply_ok(call, &response.base);
}

static void keep_tombstone(struct call *call, const struct link_key *key)
{
	struct link_tombstone message = {.header.kind = LINK_TOMBSTONE, .key = *key};
	broker_send(call->broker, &message);
}

// The Spawn is not here: if it still can come, it will start nothing. (IDS-8)
static void cancel_early(struct call *call, const struct link_key *key, struct refusal *refusal)
{
	struct session *session = session_find(call->broker, key->session_id);
	enum request_verdict verdict = REQUEST_CONFLICT;
	int error = 0;
	if (session && session->uid == call->uid)
		error = session_bury_request(session, key->request_id, &verdict);
	if (error || verdict == REQUEST_FULL) {
		refuse_limit(refusal, REFUSAL_LIMIT, "max_unsettled", REQUESTS_UNSETTLED_MAX,
		    "no room for the tombstone of a Spawn");
		reply_refusal(call, refusal);
	} else if (verdict == REQUEST_NEW || verdict == REQUEST_REPEAT) {
		keep_tombstone(call, key);
		answer_never_started(call);
	} else {
		reply_refusal(call, refusal);
	}
}

static bool check_cancel(
    const Spawn__V1__CancelRequest *request, uint32_t n_rungs, struct refusal *refusal)
{
	if (request->rung == 0 || (request->rung > n_rungs && request->rung != LADDER_LAST))
		refuse_field(refusal, "rung", 0, "1 to the number of rungs, or 255 for the last");
	else if (!decode_wait_is_valid(request->wait_ms))
		refuse_field(refusal, "wait_ms", 0, "at most 86,400,000, or 2^64-1");
	else
		return true;
	return false;
}

// A hold of its Spawn ends: somebody wants the process gone. (SPN-10)
static void end_spawn_hold(struct process *process)
{
	if (process->phase != PROCESS_RUNNING && process->phase != PROCESS_LEADER_EXITED)
		return;
	for (struct call *call = process->parked; call; call = call->park_next) {
		if (call->park == PARK_SPAWN) {
			op_spawn_finish(call, process);
			return;
		}
	}
}

static void climb(
    struct call *call, struct process *process, const Spawn__V1__CancelRequest *request)
{
	uint32_t rung = request->rung == LADDER_LAST ? process->ladder.n_rungs : request->rung;
	call->rung = rung;
	end_spawn_hold(process);
	climb_cancel(process, call->session_id, rung, request->wait_ms, request->delegate);
	if (process->ladder.acted >= rung || !process_is_alive(process)) {
		op_cancel_finish(call, process);
		return;
	}
	call_park(call, process, PARK_CANCEL, DEADLINE_NEVER, NULL);
}

void op_cancel(struct call *call, const ProtobufCMessage *message)
{
	const Spawn__V1__CancelRequest *request = (const void *)message;
	struct refusal refusal;
	struct link_key key;
	struct process *process = decode_target(call, request->target, &key, &refusal);
	struct refusal invalid;
	if (!check_cancel(request, process ? process->ladder.n_rungs : LADDER_RUNGS_MAX, &invalid))
		reply_refusal(call, &invalid);
	else if (process && process_is_alive(process))
		climb(call, process, request);
	else if (process)
		op_cancel_finish(call, process);
	else if (key.request_id && refusal.kind == REFUSAL_NOT_FOUND)
		cancel_early(call, &key, &refusal);
	else
		reply_refusal(call, &refusal);
}

void op_signal_finish(struct call *call, uint32_t hit)
{
	Spawn__V1__SignalResponse response = SPAWN__V1__SIGNAL_RESPONSE__INIT;
	response.hit = hit;
	reply_ok(call, &response.base);
}

void op_signal(struct call *call, const ProtobufCMessage *message)
{
	const Spawn__V1__SignalRequest *request = (const void *)message;
	struct refusal refusal;
	uint8_t scope = 0;
	struct process *process = decode_target(call, request->target, NULL, &refusal);
	if (!process) {
		reply_refusal(call, &refusal);
	} else if (request->signal == 0 || request->signal > SIGNAL_MAX) {
		refuse_field(&refusal, "signal", 0, "1 to 64");
		reply_refusal(call, &refusal);
	} else if (!decode_scope((int)request->scope, &scope)) {
		refuse_field(&refusal, "scope", 0, "LEADER, GROUP or TREE");
		reply_refusal(call, &refusal);
	} else if (!process_is_alive(process)) {
		op_signal_finish(call, 0);
	} else {
		end_spawn_hold(process);
		call->serial = climb_send_signal(process, request->signal, scope);
		call_park(call, process, PARK_SIGNAL, DEADLINE_NEVER, NULL);
	}
}
