// Encodes and distributes answers.
#include "server/broker/reply.h"

#include <stdlib.h>
#include <string.h>

#include "server/broker/call.h"
#include "server/broker/errmap.h"
#include "server/broker/sessions.h"
#include "server/common/log.h"
#include "spawn/v1/envelope.pb-c.h"

// What a Status needs, beside each other, so that its pointers stay valid.
struct status_parts {
	Spawn__V1__Status status;
	Spawn__V1__StartFailed start_failed;
	Spawn__V1__SessionExpired session_expired;
	Spawn__V1__EpochChanged epoch_changed;
	Spawn__V1__AlreadyExists already_exists;
	Spawn__V1__Limit limit;
	Spawn__V1__Field field;
	Spawn__V1__Unsupported unsupported;
};

#define PROTOCOL_MAJOR 1u

#define DETAIL(parts, case_name, member, type)                                                     \
	do {                                                                                           \
		type##__init(&(parts)->member);                                                            \
		(parts)->status.detail_case = SPAWN__V1__STATUS__DETAIL_##case_name;                       \
		(parts)->status.member = &(parts)->member;                                                 \
	} while (0)

static void fill_limit(struct status_parts *parts, const struct refusal *refusal)
{
	DETAIL(parts, LIMIT, limit, spawn__v1__limit);
	parts->limit.name = (char *)refusal->name;
	parts->limit.max = refusal->value;
}

// Adds what a program needs to go on.
static void fill_detail(struct status_parts *parts, const struct refusal *refusal)
{
	switch (refusal->kind) {
	case REFUSAL_UNDECODABLE:
	case REFUSAL_FIELD:
	case REFUSAL_DENIED:
		if (!refusal->name[0])
			break;
		DETAIL(parts, FIELD, field, spawn__v1__field);
		parts->field.path = (char *)refusal->name;
		break;
	case REFUSAL_TOO_LARGE:
	case REFUSAL_LIMIT:
	case REFUSAL_BELOW_FLOOR:
	case REFUSAL_PAST_END:
		fill_limit(parts, refusal);
		break;
	case REFUSAL_VERSION:
		DETAIL(parts, UNSUPPORTED, unsupported, spawn__v1__unsupported);
		parts->unsupported.major_min = parts->unsupported.major_max = PROTOCOL_MAJOR;
		break;
	case REFUSAL_TARGET_EPOCH:
	case REFUSAL_SESSION_EPOCH:
		DETAIL(parts, EPOCH_CHANGED, epoch_changed, spawn__v1__epoch_changed);
		parts->epoch_changed.epoch = refusal->value;
		break;
	case REFUSAL_SESSION_EXPIRED:
		DETAIL(parts, SESSION_EXPIRED, session_expired, spawn__v1__session_expired);
		break;
	case REFUSAL_NAME_TAKEN:
		DETAIL(parts, ALREADY_EXISTS, already_exists, spawn__v1__already_exists);
		parts->already_exists.process_id = refusal->value;
		break;
	case REFUSAL_START_FAILED:
		DETAIL(parts, START_FAILED, start_failed, spawn__v1__start_failed);
		parts->start_failed.stage = (Spawn__V1__StartStage)refusal->stage;
		parts->start_failed.errno_code = refusal->error;
		break;
	default:
		break;
	}
}

// NULL where there is no memory.
static struct answer *encode(const Spawn__V1__Response *response)
{
	size_t size = spawn__v1__response__get_packed_size(response);
	struct answer *answer = malloc(sizeof *answer + size);
	if (!answer)
		return NULL;
	answer->size = spawn__v1__response__pack(response, answer->bytes);
	return answer;
}

static void finish_all(struct call *call, const struct answer *answer)
{
	while (call) {
		struct call *next = call->join_next;
		call->cancel_token = answer->cancel_token;
		call_finish(call, answer->bytes, answer->size);
		call = next;
	}
}

// Keeps the answer, or frees the id where nothing was done; then everybody gets it.
static void settle(struct call *call, struct answer *answer, bool recorded)
{
	struct session *session = session_find(call->broker, call->session_id);
	struct request_entry *entry =
	    session && call->recorded ? requests_find(&session->requests, call->request_id) : NULL;
	if (!entry) {
		finish_all(call, answer);
		free(answer);
	} else if (recorded) {
		entry->joined = NULL;
		requests_finish(entry, answer);
		finish_all(call, answer);
	} else {
		requests_forget(&session->requests, call->request_id);
		finish_all(call, answer);
		free(answer);
	}
}

// Without memory for an answer there is none: the client repeats, and finds the id pending no more.
static void give_up(struct call *call)
{
	log_error("no memory for an answer");
	struct session *session = session_find(call->broker, call->session_id);
	if (session && call->recorded && requests_find(&session->requests, call->request_id))
		requests_forget(&session->requests, call->request_id);
	while (call) {
		struct call *next = call->join_next;
		call_abandon(call);
		call = next;
	}
}

static void send(struct call *call, Spawn__V1__Response *response, bool recorded)
{
	call_unpark(call);
	response->request_id = call->request_id;
	response->epoch = call->broker->hello.epoch;
	struct answer *answer = encode(response);
	if (answer) {
		answer->cancel_token = call->cancel_token;
		settle(call, answer, recorded);
	} else {
		give_up(call);
	}
}

void reply_ok(struct call *call, const ProtobufCMessage *payload)
{
	Spawn__V1__Status status = SPAWN__V1__STATUS__INIT;
	Spawn__V1__Response response = SPAWN__V1__RESPONSE__INIT;
	response.status = &status;
	response.payload.len = protobuf_c_message_get_packed_size(payload);
	response.payload.data = malloc(response.payload.len + 1);
	if (!response.payload.data) {
		call_unpark(call);
		give_up(call);
		return;
	}
	protobuf_c_message_pack(payload, response.payload.data);
	uint8_t *packed = response.payload.data;
	send(call, &response, true);
	free(packed);
}

void reply_refusal(struct call *call, const struct refusal *refusal)
{
	struct errmap_entry entry = errmap(refusal->kind);
	struct status_parts parts;
	spawn__v1__status__init(&parts.status);
	parts.status.code = (Spawn__V1__Code)entry.code;
	parts.status.message = (char *)refusal->message;
	fill_detail(&parts, refusal);
	Spawn__V1__Response response = SPAWN__V1__RESPONSE__INIT;
	response.status = &parts.status;
	send(call, &response, entry.recorded);
}

void reply_again(struct call *call, const void *answer)
{
	const struct answer *kept = answer;
	call->cancel_token = kept->cancel_token; // the first one written may be this
	call_finish(call, kept->bytes, kept->size);
}
