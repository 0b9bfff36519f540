// The request table of one session as a pure data structure: which mutating requests were seen,
// what was answered, what is settled. No clock, no system call, no allocation: the caller gives the
// memory. Exactly once, clauses: docs/spec/03-exactly-once.md.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUESTS_UNSETTLED_MAX 4096u
#define REQUESTS_DIGEST_BYTES  32u

enum request_state {
	REQUEST_PENDING = 1, // being carried out; repetitions join it
	REQUEST_DONE,        // answered; repetitions get the same answer
	REQUEST_TOMBSTONE,   // a Spawn that was cancelled before it came
};

struct request_entry {
	uint64_t id;
	uint8_t digest[REQUESTS_DIGEST_BYTES]; // of method and payload
	uint8_t state;                         // enum request_state; 0: free
	void *joined; // PENDING: the caller's list of calls that wait for the answer
	void *answer; // DONE: the caller's answer
};

struct requests {
	uint64_t floor; // ids below it are settled
	size_t n_entries, capacity;
	size_t n_below;                // entries that were PENDING when the floor passed them
	struct request_entry *entries; // open addressing, capacity a power of two
};

enum request_verdict {
	REQUEST_NEW,       // *ret_entry is PENDING now: carry it out
	REQUEST_JOIN,      // *ret_entry is PENDING: wait for its answer
	REQUEST_REPEAT,    // *ret_entry is DONE: answer the same
	REQUEST_CANCELLED, // *ret_entry was a tombstone and is PENDING now: answer CANCELLED
	REQUEST_CONFLICT,  // the id was used with other content
	REQUEST_BELOW_FLOOR,
	REQUEST_FULL, // REQUESTS_UNSETTLED_MAX entries are unsettled
	REQUEST_GROW, // no room: call requests_grow, then again
};

// Starts empty, with floor 1. memory holds capacity entries (a power of two, at least 8), zeroed;
// borrowed until requests_grow hands it back or the table is no longer used.
void requests_init(struct requests *requests, struct request_entry *memory, size_t capacity);

// Moves to larger zeroed memory; returns the old one, for the caller to free. Entry pointers become
// stale.
struct request_entry *requests_grow(
    struct requests *requests, struct request_entry *memory, size_t capacity);

// A mutating request has come (id is not 0).
enum request_verdict requests_begin(struct requests *requests, uint64_t id,
    const uint8_t digest[REQUESTS_DIGEST_BYTES], struct request_entry **ret_entry);

// A Cancel has come for a Spawn of this id that is not in the table. Same verdicts: NEW (the
// tombstone is set), REPEAT (it was set before), BELOW_FLOOR, FULL, GROW; CONFLICT where the id is
// PENDING or DONE.
enum request_verdict requests_bury(
    struct requests *requests, uint64_t id, struct request_entry **ret_entry);

// NULL where the id is not in the table. Valid until the next begin, bury, grow, forget or raise.
struct request_entry *requests_find(const struct requests *requests, uint64_t id);

// The answer is known: PENDING to DONE. The caller then answers what had joined (joined is left as
// it is, for the caller to take).
void requests_finish(struct request_entry *entry, void *answer);

// The PENDING request turned out not to be recorded (nothing was done): the id is free again. Not
// for one that was CANCELLED: its tombstone would be forgotten too.
void requests_forget(struct requests *requests, uint64_t id);

// The client announces a floor; lower ones are ignored. DONE entries and tombstones below it are
// removed: each one's answer is handed to release (NULL for tombstones). PENDING ones stay until
// they are finished, and are removed then by the next raise (to the same floor, too). release must
// not use the table. Returns how many were removed.
size_t requests_raise_floor(struct requests *requests, uint64_t floor,
    void (*release)(void *user, void *answer), void *user);
