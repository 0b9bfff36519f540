// Deadlines: a binary heap of absolute times, each intrusive in what it belongs to. One timer
// serves them all. No clock; single-threaded. Zeroed: an
// empty heap.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEADLINE_NEVER UINT64_MAX

struct deadline {
	uint64_t at_ms; // DEADLINE_NEVER: not in the heap
	size_t index;   // the heap's own
	void (*due)(
	    void *user, uint64_t now_ms); // called by deadlines_run, when it is no longer in the heap
	void *user;
};

struct deadlines {
	struct deadline **heap;
	size_t n, capacity;
};

void deadlines_close(struct deadlines *deadlines); // frees the heap, not what is in it

// Prepares one; not in any heap yet.
void deadline_init(struct deadline *deadline, void (*due)(void *user, uint64_t now_ms), void *user);

// Sets, moves or (DEADLINE_NEVER) removes one. 0 or -ENOMEM (then it is not in the heap).
int deadlines_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t at_ms);

// The earliest, or DEADLINE_NEVER.
uint64_t deadlines_next(const struct deadlines *deadlines);

// Calls what is due, earliest first; each may set or remove any deadline. At most one call for each
// that was set before: what is set again and due stays for the next run, as deadlines_next shows.
void deadlines_run(struct deadlines *deadlines, uint64_t now_ms);
