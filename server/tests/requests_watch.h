// What must hold of a request table, whatever comes in: steps a table and a naive list of the same
// requests side by side and compares them. Used by the explorer and the fuzzer.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/broker/requests.h"

#define WATCH_IDS      32u
#define WATCH_CAPACITY 64u // room for all ids

enum requests_watch_kind {
	REQUESTS_BEGIN,  // id, content
	REQUESTS_BURY,   // id
	REQUESTS_FINISH, // id; nothing where it is not pending
	REQUESTS_FORGET, // id; nothing where it is not pending, or was cancelled by its tombstone
	REQUESTS_RAISE,  // floor
	REQUESTS_KINDS,
};

struct requests_watch_event {
	enum requests_watch_kind kind;
	uint8_t id; // index into ids
	uint8_t content;
	uint64_t floor;
};

// One id in the naive list.
struct requests_watch_id {
	uint8_t state; // enum request_state; 0: not in the table
	uint8_t content;
	bool buried;   // it was a tombstone once
	bool executed; // it was NEW and that was not taken back
};

struct requests_watch {
	uint8_t n_ids;
	uint64_t ids[WATCH_IDS];
	struct requests_watch_id known[WATCH_IDS];
	uint64_t floor;
	struct requests table;
	struct request_entry memory[2][WATCH_CAPACITY]; // the table's, and the one to grow into
	uint8_t in_use;                                 // which one
};

// ids are different and not 0; capacity is a power of two from 8 to WATCH_CAPACITY.
void requests_watch_init(
    struct requests_watch *watch, const uint64_t *ids, uint8_t n_ids, size_t capacity);

// NULL, or what was violated.
const char *requests_watch_step(
    struct requests_watch *watch, const struct requests_watch_event *event);

// Puts what is known of an id into a slot of the table: a state that was seen before.
void requests_watch_put(struct requests_watch *watch, uint8_t id, size_t slot);
