// Output pipes: drained into the rings, each by its policy, never waiting for anybody.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/forkserver/slots.h"

#define PIPES_FORCE_MS 100u // after tree-empty, for a pipe that somebody still holds

struct root;

struct pipes {
	struct stream_queue ready, resting; // resting: in the order in which they wake
	struct slot_queue to_force;         // in the order in which their time comes
};

void pipes_open(struct pipes *pipes);

// The first byte that is still in the ring.
uint64_t pipes_tail(const struct stream *stream);

// Begins to drain fd (owned by the slot from now on) into the slot's ring of that stream.
int pipes_begin(struct root *root, struct slot *slot, uint32_t stream, int fd);

// The pipe has something, or its writers are gone.
void pipes_on_ready(struct root *root, struct slot *slot, uint32_t stream);

// One read for each of at most 32 ready pipes.
void pipes_read(struct root *root);

// Wakes what has rested and ends what must end.
void pipes_tick(struct root *root);
uint64_t pipes_next_us(const struct root *root);

// Orders of the broker.
void pipes_watch(struct root *root, struct slot *slot, const struct link_stream_watch *order);
void pipes_consumed(struct root *root, struct slot *slot, uint32_t stream, uint64_t offset);
void pipes_set_policy(struct root *root, struct slot *slot, uint32_t policy);

// The tree is empty: what is left in its pipes is read now; PIPES_FORCE_MS later they end.
void pipes_on_tree_empty(struct root *root, struct slot *slot);

// Closes all pipes of the slot and gives its rings back.
void pipes_release(struct root *root, struct slot *slot);
