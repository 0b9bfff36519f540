// One call: its attempts, all with the same request id and bytes, until the first valid answer of
// any of them. Belongs to one thread, which steps it; nothing blocks but call_withdraw.
#pragma once

#include "clients/c/src/call_nng.h"
#include "clients/c/src/decode.h"
#include "clients/c/src/requests.h"
#include "clients/c/src/wake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_SLOTS_MAX 6

struct call_terms {
	const char *method;         // without the service's path, for example "Spawn"; static storage
	struct requests *requests;  // NULL: no session; request_id is given
	uint64_t session_id;        // 0 with OpenSession
	uint64_t request_id;        // used where requests is NULL
	bool recorded;              // the server keeps its answer; the id holds the floor
	uint64_t hold_us;           // the server may park it so long: later attempts wait as long too
	uint64_t timeout_ms;        // of the envelope
	const char *access_token;   // NULL: none
	uint64_t max_message_bytes; // more is not sent
	struct call_socket *socket; // outlives the call
	struct wake *wake;          // of the thread that steps it
};

struct call {
	struct call_terms terms;
	uint64_t request_id; // of the latest attempt
	uint64_t floor;
	uint8_t *payload, *bytes;
	size_t payload_size, size;
	struct call_slot *slots[CALL_SLOTS_MAX];
	uint64_t slot_ids[CALL_SLOTS_MAX];
	bool slot_noted[CALL_SLOTS_MAX];
	size_t n_slots;
	unsigned n_sent, n_lost;
	uint64_t first_sent_us; // 0: nothing has left yet
	uint64_t next_us;       // the next attempt
	uint64_t stranded_us;   // since when no attempt has been with the server; CLOCK_NEVER: one is
	bool live, withdrawn;
};

enum call_outcome {
	CALL_PENDING,
	CALL_ANSWERED,
	CALL_BROKEN, // the connection broke under it again and again
	CALL_CLOSED, // the socket is closed
	CALL_NO_MEMORY,
};

struct call_answer {
	Spawn__V1__Response *response; // decode_free
	uint64_t received_us;
};

// Encodes the request and takes its id. 0, -EMSGSIZE (over max_message_bytes; nothing was taken)
// or -ENOMEM. Nothing is sent before call_step.
int call_start(struct call *call, const struct call_terms *terms, const ProtobufCMessage *payload);

// Sends what is due and takes in what has come. With ANSWERED, *ret_answer is filled in, and the
// other attempts are dropped.
enum call_outcome call_step(struct call *call, uint64_t now_us, struct call_answer *ret_answer);

// When call_step has something to do of itself; CLOCK_NEVER where only an event can bring it on.
uint64_t call_due_us(const struct call *call);

// True where the call has been without a connection for so long: no attempt is with the server.
bool call_is_stranded(const struct call *call, uint64_t patience_us, uint64_t now_us);

// When call_is_stranded may become true; CLOCK_NEVER while an attempt is with the server.
uint64_t call_stranded_us(const struct call *call, uint64_t patience_us);

// After an answer that means "nothing was done, ask later": goes on with the same id.
void call_again(struct call *call, uint64_t not_before_us);

// No attempt shall leave any more: true where any has left. An answer that is there already can
// still be had by call_step. Waits for nng, a few microseconds as a rule and 1 s at most.
bool call_withdraw(struct call *call);

// The outcome of a recorded call is known or of no interest: its id may fall below the floor.
void call_settle(struct call *call);

// Drops all attempts and frees what the call holds, not its id. A call that is not live: nothing.
void call_end(struct call *call);
