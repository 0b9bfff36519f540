// One climb of one process, shared by all stops of it in a client: the first stop drives it, the
// others watch, and may bring it nearer. (LAD-11)
#pragma once

#include "clients/c/src/client_state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIMB_EVENTS_MAX 96

// One stop that takes part.
struct climb_member {
	struct climb *climb;
	struct wake *wake;
	bool driver;
	size_t n_seen; // of the climb's events
	struct climb_member *next;
};

struct climb {
	struct spawnd_process process; // as its first stop named it
	// Guarded by the client's lock:
	struct climb *next;
	struct climb_member *members;
	struct spawnd_stop_progress events[CLIMB_EVENTS_MAX];
	size_t n_events;
	bool over;
	struct spawnd_error error;  // kind NONE: it ended with record
	struct spawnd_exit *record; // the climb's own; each member takes a copy
	// What members want of the driver:
	unsigned n_hurries;
	uint64_t first_wait_ms, last_wait_ms; // SPAWND_FOREVER: nothing nearer is wanted
};

// Joins the climb of this process or begins one: then member->driver. 0 or -ENOMEM.
int climb_join(
    struct use *use, const struct spawnd_process *process, struct climb_member *ret_member);

// Leaves; the last one frees the climb. Nobody joins a climb that is over.
void climb_leave(struct spawnd_client *client, struct climb_member *member);

// Tells all members, the driver included.
void climb_post(
    struct spawnd_client *client, struct climb *climb, const struct spawnd_stop_progress *progress);

// The driver's last word. Takes over record (NULL with an error).
void climb_finish(struct spawnd_client *client, struct climb *climb, struct spawnd_exit *record,
    const struct spawnd_error *error);

// What a member wants: the next rung now; shorter waits (SPAWND_FOREVER: none).
void climb_hurry(struct spawnd_client *client, struct climb *climb);
void climb_shorten(struct spawnd_client *client, struct climb *climb, uint64_t first_wait_ms,
    uint64_t last_wait_ms);

// For the driver: what was wanted since it last asked.
struct climb_wants {
	unsigned n_hurries;
	uint64_t first_wait_ms, last_wait_ms;
};
struct climb_wants climb_take_wants(struct spawnd_client *client, struct climb *climb);

// Calls progress for what the member has not seen yet, outside all locks. True when the climb is
// over and all was seen.
bool climb_deliver(struct spawnd_client *client, struct climb_member *member,
    const struct spawnd_stop_options *options);
