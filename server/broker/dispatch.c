// Decodes the envelope, finds session and method, keeps exactly-once, calls the operation.
#include "server/broker/dispatch.h"

#include <string.h>

#include "server/broker/call.h"
#include "server/broker/decode.h"
#include "server/broker/op_all.h"
#include "server/broker/reply.h"
#include "server/broker/sessions.h"
#include "server/common/log.h"
#include "spawn/v1/envelope.pb-c.h"
#include "spawn/v1/service.pb-c.h"

#define METHOD_PREFIX    "/spawn.v1.SpawnService/"
#define ACCESS_TOKEN_MAX 64u

struct method {
	const char *name;
	void (*carry_out)(struct call *call, const ProtobufCMessage *request);
	bool recorded;    // carried out once for one request id (IDS-4)
	bool sessionless; // may come without a session
};

static const struct method methods[] = {
    {"OpenSession", op_open_session, false, true},
    {"KeepAlive", op_keep_alive, false, false},
    {"CloseSession", op_close_session, false, false},
    {"Spawn", op_spawn, true, false},
    {"Cancel", op_cancel, true, false},
    {"Signal", op_signal, true, false},
    {"AwaitExit", op_await_exit, false, false},
    {"Release", op_release, true, false},
    {"ReadOutput", op_read_output, false, false},
    {"WriteStdin", op_write_stdin, false, false},
    {"ListProcesses", op_list_processes, false, false},
    {"GetServerInfo", op_get_server_info, false, true},
};

static const struct method *find_method(const char *path)
{
	if (strncmp(path, METHOD_PREFIX, strlen(METHOD_PREFIX)) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		if (strcmp(path + strlen(METHOD_PREFIX), methods[i].name) == 0)
			return &methods[i];
	return NULL;
}

static void refuse_session(const struct broker *broker, uint64_t id, struct refusal *refusal)
{
	if (id >> 32 == broker->hello.epoch || id == 0) {
		refuse(refusal, REFUSAL_SESSION_EXPIRED,
		    id ? "the session is over: open another" : "open a session first");
		return;
	}
	refuse(refusal, REFUSAL_SESSION_EPOCH, "the server was restarted since the session was opened");
	refusal->value = broker->hello.epoch;
}

// The session of the call, held by its connection from now on. False: refusal is filled in.
static bool enter_session(
    struct call *call, const Spawn__V1__Request *envelope, struct refusal *refusal)
{
	struct session *session = session_find(call->broker, envelope->session_id);
	if (!session || session->uid != call->uid) {
		refuse_session(call->broker, envelope->session_id, refusal);
		return false;
	}
	if (session_carried(session, call->connection)) {
		refuse_limit(refusal, REFUSAL_LIMIT, "memory", 0, "no memory for the session");
		return false;
	}
	call->session_id = session->id;
	session_raise_floor(session, envelope->floor);
	return true;
}

// Behind the first call of the same id.
static void join(struct request_entry *entry, struct call *call)
{
	struct call *first = entry->joined;
	call->recorded = true;
	call->join_next = first->join_next;
	first->join_next = call;
}

// What the request table says of the id. True: carry the call out.
static bool begin_once(
    struct call *call, const uint8_t digest[REQUESTS_DIGEST_BYTES], struct refusal *refusal)
{
	struct session *session = session_find(call->broker, call->session_id);
	struct request_entry *entry = NULL;
	enum request_verdict verdict;
	if (session_begin_request(session, call->request_id, digest, &verdict, &entry)) {
		refuse_limit(refusal, REFUSAL_LIMIT, "memory", 0, "no memory for the request");
		return false;
	}
	switch (verdict) {
	case REQUEST_NEW:
		entry->joined = call;
		call->recorded = true;
		return true;
	case REQUEST_CANCELLED:
		entry->joined = call;
		call->recorded = true;
		refuse(refusal, REFUSAL_CANCELLED, "this Spawn was cancelled before it came");
		return false;
	case REQUEST_JOIN:
		join(entry, call);
		refusal->kind = REFUSAL_NONE;
		return false;
	case REQUEST_REPEAT:
		reply_again(call, entry->answer);
		refusal->kind = REFUSAL_NONE;
		return false;
	case REQUEST_CONFLICT:
		refuse_field(refusal, "request_id", 0, "used before with other content");
		return false;
	case REQUEST_BELOW_FLOOR:
		refuse_limit(refusal, REFUSAL_BELOW_FLOOR, "floor", session->requests.floor,
		    "the id is below the floor that was announced");
		return false;
	case REQUEST_FULL:
	case REQUEST_GROW:
		break;
	}
	refuse_limit(refusal, REFUSAL_LIMIT, "max_unsettled", REQUESTS_UNSETTLED_MAX,
	    "too many answers are kept: raise the floor");
	return false;
}

static bool check_once(
    struct call *call, const Spawn__V1__Request *envelope, struct refusal *refusal)
{
	if (call->request_id == 0) {
		refuse_field(refusal, "request_id", 0, "0 is not an id of a recorded method");
		return false;
	}
	decode_digest(envelope->method, envelope->payload.data, envelope->payload.len, call->digest);
	return begin_once(call, call->digest, refusal);
}

// The payload as the method's message; NULL: it is not one.
static ProtobufCMessage *decode_payload(
    const struct method *method, const Spawn__V1__Request *envelope)
{
	const ProtobufCMethodDescriptor *descriptor = protobuf_c_service_descriptor_get_method_by_name(
	    &spawn__v1__spawn_service__descriptor, method->name);
	return protobuf_c_message_unpack(
	    descriptor->input, NULL, envelope->payload.len, envelope->payload.data);
}

static void carry_out(
    struct call *call, const struct method *method, const Spawn__V1__Request *envelope)
{
	struct refusal refusal;
	if (method->recorded && !check_once(call, envelope, &refusal)) {
		if (refusal.kind != REFUSAL_NONE)
			reply_refusal(call, &refusal);
		return;
	}
	ProtobufCMessage *request = decode_payload(method, envelope);
	if (request) {
		method->carry_out(call, request);
		protobuf_c_message_free_unpacked(request, NULL);
		return;
	}
	refuse_field(&refusal, "payload", 0, "not a message of this method");
	refusal.kind = REFUSAL_UNDECODABLE;
	reply_refusal(call, &refusal);
}

static void handle(struct call *call, const Spawn__V1__Request *envelope)
{
	struct refusal refusal;
	const struct method *method = find_method(envelope->method);
	call->request_id = envelope->request_id;
	call->timeout_ms = envelope->timeout_ms;
	if (!method) {
		refuse(&refusal, REFUSAL_METHOD, "no such method");
		reply_refusal(call, &refusal);
	} else if (envelope->access_token.len > ACCESS_TOKEN_MAX) {
		refuse_field(&refusal, "access_token", 0, "at most 64 bytes");
		reply_refusal(call, &refusal);
	} else if (!method->sessionless && !enter_session(call, envelope, &refusal)) {
		reply_refusal(call, &refusal);
	} else {
		carry_out(call, method, envelope);
	}
}

void dispatch(
    struct broker *broker, struct connection *connection, struct endpoint_request *request)
{
	struct call *call = call_create(broker, connection, request);
	if (!call) {
		log_error("no memory for a request");
		endpoint_drop(broker->endpoint, request);
		return;
	}
	size_t size;
	const uint8_t *body = endpoint_request_body(request, &size);
	Spawn__V1__Request *envelope = spawn__v1__request__unpack(NULL, size, body);
	if (envelope && !decode_method_is_whole(body, size, envelope->method))
		envelope->method[0] = 0; // what follows a NUL was lost: no method is called so
	if (envelope) {
		endpoint_request_release_body(broker->endpoint, request); // a parked call needs it no more
		handle(call, envelope);
		spawn__v1__request__free_unpacked(envelope, NULL);
		return;
	}
	struct refusal refusal;
	refuse(&refusal, REFUSAL_UNDECODABLE, "not a Request");
	reply_refusal(call, &refusal);
}
