// A call of the current session, from begin to end: attempts, sessions that end, servers that
// restart, answers that say "later". Blocks the calling thread.
#pragma once

#include "clients/c/src/call.h"
#include "clients/c/src/client_state.h"

struct invocation {
	const char *method; // "Spawn"
	const ProtobufCMessage *payload;
	bool recorded;        // a recorded method (IDS-4)
	bool once;            // may not be carried out twice: never repeated under another id
	uint64_t hold_ms;     // how long the server may park it
	uint64_t deadline_us; // no later: else SPAWND_E_INDETERMINATE or SPAWND_E_UNREACHABLE
	uint32_t epoch;       // of the handles in the payload; 0: it has none
};

// What a failed call leaves behind.
struct invoke_trace {
	struct session *session; // a reference (session_drop); NULL where it never got that far
	uint64_t request_id;
	bool indeterminate; // it may have been carried out, and its id still holds the floor
};

// 0 and the answer with status OK (decode_free), or -1. ret_trace may be NULL: then an id whose
// call is indeterminate is settled too.
int invoke(struct use *use, const struct invocation *invocation, Spawn__V1__Response **ret_response,
    struct invoke_trace *ret_trace, struct spawnd_error *err);

// What an answer means, beyond its status.
enum invoke_meaning {
	INVOKE_OK,
	INVOKE_RESTARTED,    // another epoch answers: nothing of the old one is left (IDN-6)
	INVOKE_SESSION_OVER, // nothing was done, and nothing will be in this session
	INVOKE_LATER,        // nothing was done; retry_after is given
	INVOKE_ERROR,
};
enum invoke_meaning invoke_meaning(
    const struct session *session, const Spawn__V1__Response *response);

// Milliseconds that an answer of meaning LATER asks to wait.
uint64_t invoke_retry_after_ms(const Spawn__V1__Response *response);

// The terms of a call in this session.
struct call_terms invoke_terms(
    struct use *use, struct session *session, const char *method, bool recorded, uint64_t hold_ms);

// Errors that several places report in the same words. All return -1.
int invoke_lost(struct spawnd_error *err);
int invoke_unreachable(const struct spawnd_client *client, struct spawnd_error *err);
int invoke_indeterminate(struct spawnd_error *err, const char *method);
int invoke_failed(enum call_outcome outcome, const char *method, struct spawnd_error *err);
