// One request from its receipt to its answer: where it came from, where it waits.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/broker/broker.h"
#include "server/broker/requests.h"

// What a call waits for, in its process's list.
enum park {
	PARK_NONE = 0,
	PARK_SPAWN,  // the start, or the end of its hold
	PARK_CANCEL, // the root has carried the rung out
	PARK_SIGNAL, // the same, for a plain signal
	PARK_AWAIT,
	PARK_OUTPUT,
	PARK_STDIN,
};

struct call_await {
	bool leader; // until LEADER_EXIT
};

struct call_output {
	uint32_t stream; // enum link_stream
	uint64_t offset;
	uint32_t max;
	// What was copied and waits for proof that nothing of it was overwritten.
	uint8_t *data;
	uint32_t taken; // bytes at data; they count in the broker's unproved_bytes
	uint32_t size;  // of them, those that are still good
	uint64_t data_offset;
	uint64_t serial;         // the watch whose answer proves it; 0: none
	bool once;               // answer with what is there, be it nothing
	uint32_t retry_after_ms; // to say where it is nothing
};

struct call_stdin {
	uint64_t offset;
	uint8_t *data;
	uint32_t size;
	bool close;
	bool once; // answer as soon as no more fits, be it nothing
};

struct call {
	struct broker *broker;
	struct connection *connection; // NULL: gone
	struct endpoint_request *wire; // NULL: gone, or answered
	struct call *prev, *next;      // connection->calls
	uint64_t request_id;
	uint64_t session_id;
	uid_t uid;                             // the principal
	uint64_t timeout_ms;                   // 0: none
	bool recorded;                         // its answer goes into its session's request table
	uint64_t cancel_token;                 // its answer starts a rung's wait: which; else 0
	uint8_t digest[REQUESTS_DIGEST_BYTES]; // of a recorded call's content
	uint64_t spawn_hold_ms;                // a Spawn: how long its answer may wait for the exit
	struct call *join_next;                // calls that repeat the same id, behind the first

	enum park park;
	bool counted; // in n_parked of its session and of the broker
	struct process *process;
	struct call *park_prev, *park_next; // process->parked
	struct deadline hold;
	union {
		uint32_t rung;   // PARK_CANCEL
		uint64_t serial; // PARK_SIGNAL
		struct call_await await;
		struct call_output output;
		struct call_stdin stdin_data;
	};
};

// NULL where there is no memory. Owns wire.
struct call *call_create(
    struct broker *broker, struct connection *connection, struct endpoint_request *wire);

// Answers with these bytes, or drops a wire that is gone, and frees the call; it must not be
// parked.
void call_finish(struct call *call, const uint8_t *bytes, size_t size);

// Ends it without an answer; it must not be parked.
void call_abandon(struct call *call);

// Its connection has gone: unrecorded calls end; recorded ones go on without a wire.
void call_connection_lost(struct call *call);

// Puts the call into its process's list until the event, or until at_ms (DEADLINE_NEVER: no limit),
// when due is called with the call. -ENOMEM.
int call_park(struct call *call, struct process *process, enum park park, uint64_t at_ms,
    void (*due)(void *call, uint64_t now_ms));
void call_unpark(struct call *call);

// Counts the call against the limits of parked calls; false: over a limit, and not counted.
bool call_count_parked(struct call *call);

// How long it may be held: hold_ms, cut at max_ms and at the call's own timeout_ms.
uint64_t call_hold_ms(const struct call *call, uint64_t hold_ms, uint64_t max_ms);
