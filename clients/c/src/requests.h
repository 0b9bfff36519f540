// The request ids of one session, and its floor: below it every id is settled. Thread-safe.
// Clauses: docs/spec/03-exactly-once.md (IDS-1, IDS-3, IDS-11).
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct requests {
	pthread_mutex_t lock; // guards all below
	uint64_t next;        // the id that is given out next
	uint64_t announced;   // the highest floor that was given out
	uint64_t *unsettled;  // recorded ids that may still be sent, ascending
	size_t n_unsettled, capacity;
};

void requests_init(struct requests *requests);
void requests_free(struct requests *requests);

// Gives out an id that was never given out before and the floor to send with it. recorded: the id
// holds the floor until requests_settle. 0 or -ENOMEM.
int requests_take(struct requests *requests, bool recorded, uint64_t *ret_id, uint64_t *ret_floor);

// The id will not be sent again, and the outcome of its call is known or of no interest: the floor
// may pass it. An id that is not held changes nothing.
void requests_settle(struct requests *requests, uint64_t id);

// The id lies below a floor that was given out: it must not be sent again.
bool requests_is_passed(struct requests *requests, uint64_t id);
