// The event loop: waits, then serves in this order: link, exits, starts, trees, pipes, timers.
#pragma once

#include <stdint.h>

struct root;
struct slot;

enum loop_kind {
	LOOP_LINK = 1,
	LOOP_SIGNALS,
	LOOP_GUARD,
	LOOP_BROKER,
	LOOP_LEADER, // of a slot
	LOOP_STATUS, // of a start job
	LOOP_STDOUT, // of a slot
	LOOP_STDERR,
	LOOP_STDIN,
};

// What an event says about itself: its kind and whom it is for.
uint64_t loop_tag(enum loop_kind kind, uint32_t generation, uint32_t index);
uint64_t loop_slot_tag(const struct root *root, enum loop_kind kind, const struct slot *slot);

// events: EPOLLIN and the like. 0 or negative errno.
int loop_watch(struct root *root, int fd, uint32_t events, uint64_t tag);
int loop_change(struct root *root, int fd, uint32_t events, uint64_t tag);
void loop_unwatch(struct root *root, int fd);

// Runs until the server has stopped; returns its exit status.
int loop_run(struct root *root);
