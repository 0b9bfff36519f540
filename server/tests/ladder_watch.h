// What must hold of every ladder, whatever happens to it: drives one event at a time and compares
// what the step functions do with what the clauses ask for. Used by the explorer and the fuzzer.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/broker/ladder.h"

enum watch_kind {
	WATCH_TICK,
	WATCH_CANCEL,       // rung, wait_ms, flag: delegate
	WATCH_ACTED,        // rung
	WATCH_ANSWERED,     // rung
	WATCH_CLIMBER_GONE, //
	WATCH_OWNER_LOST,   // rung: enum ladder_owner_policy
	WATCH_DEADLINE,     //
	WATCH_SHUTDOWN,     // flag: impatient
	WATCH_LEADER_GONE,  // flag: cancel_tree
	WATCH_TREE_EMPTY,
	WATCH_KINDS,
};

struct watch_event {
	enum watch_kind kind;
	uint32_t rung;
	uint64_t wait_ms;
	bool flag;
};

// What the watcher remembers by itself; zeroed at the start.
struct watch {
	uint8_t sent;       // bit r-1: rung r was handed out and the root has not answered yet
	uint8_t reached;    // highest rung handed out
	bool acted;         // the rung reached was carried out
	bool started;       // its wait counts from an answer, or for good from when it acted
	bool alone;         // no client climbs
	bool ended;         // the tree is empty
	bool leader_gone;   //
	bool stopping;      //
	bool reported;      // unreaped was said
	uint64_t since_ms;  // its wait counts from here; 0: it does not count yet
	uint64_t wait_ms;   // the shortest one asked for
	uint64_t margin_ms; // time that a living climber has to take over
};

// The lowest rung that the root has still to carry out; 0: none.
uint32_t watch_unacted(const struct watch *watch);

// Steps the ladder and checks it. NULL, or what was violated.
const char *watch_step(
    struct ladder *ladder, struct watch *watch, uint64_t now_ms, const struct watch_event *event);

// From here on nothing happens but time, and the root carries out what it gets: the last rung's
// wait must be over within the waits in force, unless one of them is unlimited. NULL, or what was
// violated. The arguments are copies.
const char *watch_stalled_client(struct ladder ladder, struct watch watch, uint64_t now_ms);
