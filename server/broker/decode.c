// Targets, ladders, digests.
#include "server/broker/decode.h"

#include <string.h>

#include <sodium.h>

#include "server/broker/call.h"
#include "server/broker/proctable.h"

_Static_assert(REQUESTS_DIGEST_BYTES == crypto_generichash_BYTES, "one digest size");

// Unknown and foreign look the same; an earlier server's ids say so. (IDN-5)
static void refuse_target(const struct broker *broker, uint64_t id, struct refusal *refusal)
{
	if (id >> 32 == broker->hello.epoch) {
		refuse(refusal, REFUSAL_NOT_FOUND, "no such process");
		return;
	}
	refuse(refusal, REFUSAL_TARGET_EPOCH, "no such process: the server was restarted since");
	refusal->value = broker->hello.epoch;
}

static struct process *find_by_id(const struct call *call, uint64_t id, struct refusal *refusal)
{
	struct process *process = process_find(call->broker, id);
	if (process && process->name.uid == call->uid && !process->fail_stage)
		return process;
	refuse_target(call->broker, id, refusal);
	return NULL;
}

static struct process *find_by_key(const struct call *call, const Spawn__V1__SpawnKey *spawn,
    struct link_key *key, struct refusal *refusal)
{
	*key = (struct link_key){
	    spawn->session_id ? spawn->session_id : call->session_id, spawn->request_id};
	if (key->request_id == 0) {
		refuse_field(refusal, "target.spawn.request_id", 0, "0 names no Spawn");
		*key = (struct link_key){0};
		return NULL;
	}
	struct process *process = process_find_key(call->broker, key);
	if (process && process->name.uid == call->uid)
		return process;
	if (process || key->session_id >> 32 != call->broker->hello.epoch) {
		refuse_target(call->broker, key->session_id, refusal);
		*key = (struct link_key){0};
		return NULL;
	}
	refuse(refusal, REFUSAL_NOT_FOUND, "no such process");
	return NULL;
}

struct process *decode_target(const struct call *call, const Spawn__V1__Target *target,
    struct link_key *ret_key, struct refusal *refusal)
{
	struct link_key unused;
	struct link_key *key = ret_key ? ret_key : &unused;
	*key = (struct link_key){0};
	if (target && target->by_case == SPAWN__V1__TARGET__BY_PROCESS_ID)
		return find_by_id(call, target->process_id, refusal);
	if (target && target->by_case == SPAWN__V1__TARGET__BY_SPAWN)
		return find_by_key(call, target->spawn, key, refusal);
	refuse_field(refusal, "target", 0, "name a process by its id or by its Spawn");
	return NULL;
}

bool decode_scope(int wire, uint8_t *ret_scope)
{
	switch (wire) {
	case SPAWN__V1__SCOPE__SCOPE_LEADER:
		*ret_scope = LADDER_LEADER;
		return true;
	case SPAWN__V1__SCOPE__SCOPE_GROUP:
		*ret_scope = LADDER_GROUP;
		return true;
	case SPAWN__V1__SCOPE__SCOPE_TREE:
		*ret_scope = LADDER_TREE;
		return true;
	default:
		return false;
	}
}

// What is not known becomes 0, which ladder_init refuses.
static uint8_t decode_action(int wire)
{
	switch (wire) {
	case SPAWN__V1__ACTION__ACTION_SIGNAL:
		return LADDER_SIGNAL;
	case SPAWN__V1__ACTION__ACTION_CLOSE_STDIN:
		return LADDER_CLOSE_STDIN;
	case SPAWN__V1__ACTION__ACTION_CANCEL_NOTICE:
		return LADDER_CANCEL_NOTICE;
	default:
		return 0;
	}
}

static void refuse_ladder(enum ladder_fault fault, size_t index, struct refusal *refusal)
{
	static const struct {
		const char *path, *why;
	} faults[] = {
	    [LADDER_TOO_MANY] = {"ladder", "more than 8 rungs, the added KILL included"},
	    [LADDER_BAD_ACTION] = {"ladder[%zu].action", "not a known action"},
	    [LADDER_BAD_SIGNAL] = {"ladder[%zu].signal", "1 to 64 with ACTION_SIGNAL, else 0"},
	    [LADDER_BAD_SCOPE] = {"ladder[%zu].scope", "not a scope of this action"},
	    [LADDER_BAD_WAIT] = {"ladder[%zu].wait_ms", "at most 86,400,000, or 2^64-1"},
	    [LADDER_EARLY_KILL] = {"ladder[%zu].signal", "KILL is for the last rung, on TREE, alone"},
	    [LADDER_NO_STDIN] = {"ladder[%zu].action", "standard input is not a PIPE"},
	};
	refuse_field(refusal, faults[fault].path, index, faults[fault].why);
}

bool decode_ladder(Spawn__V1__Rung *const *rungs, size_t n, bool stdin_is_pipe,
    struct ladder *ret_ladder, struct refusal *refusal)
{
	struct ladder_rung asked[LADDER_RUNGS_MAX];
	if (n > LADDER_RUNGS_MAX) {
		refuse_ladder(LADDER_TOO_MANY, 0, refusal);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		asked[i] = (struct ladder_rung){
		    .action = decode_action((int)rungs[i]->action),
		    .signal = (uint8_t)(rungs[i]->signal <= 64 ? rungs[i]->signal : 255),
		    .wait_ms = rungs[i]->wait_ms,
		};
		decode_scope((int)rungs[i]->scope, &asked[i].scope);
	}
	size_t index = 0;
	enum ladder_fault fault = ladder_init(ret_ladder, asked, n, stdin_is_pipe, &index);
	if (fault != LADDER_OK)
		refuse_ladder(fault, index, refusal);
	return fault == LADDER_OK;
}

bool decode_wait_is_valid(uint64_t wait_ms)
{
	return wait_ms == LADDER_FOREVER || wait_ms <= LADDER_WAIT_MAX_MS;
}

// Reads a varint; moves *at behind it. The caller has seen these bytes decode as a message.
static uint64_t read_varint(const uint8_t **at, const uint8_t *end)
{
	uint64_t value = 0;
	for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
		uint8_t byte = *(*at)++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	return value;
}

bool decode_method_is_whole(const uint8_t *envelope, size_t size, const char *method)
{
	enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5, METHOD_FIELD = 1 };
	const uint8_t *at = envelope, *end = envelope + size;
	uint64_t method_size = 0;
	while (at < end) {
		uint64_t tag = read_varint(&at, end);
		uint64_t length = 0;
		if ((tag & 7) == VARINT)
			read_varint(&at, end);
		else if ((tag & 7) == FIXED64)
			length = 8;
		else if ((tag & 7) == FIXED32)
			length = 4;
		else if ((tag & 7) == BYTES)
			length = read_varint(&at, end);
		if (tag >> 3 == METHOD_FIELD)
			method_size = length; // the last one counts
		if (length > (uint64_t)(end - at))
			return false;
		at += length;
	}
	return method_size == strlen(method);
}

void decode_digest(
    const char *method, const void *payload, size_t size, uint8_t ret_digest[REQUESTS_DIGEST_BYTES])
{
	crypto_generichash_state state;
	crypto_generichash_init(&state, NULL, 0, REQUESTS_DIGEST_BYTES);
	crypto_generichash_update(&state, (const uint8_t *)method, strlen(method) + 1);
	crypto_generichash_update(&state, payload, size);
	crypto_generichash_final(&state, ret_digest, REQUESTS_DIGEST_BYTES);
}
