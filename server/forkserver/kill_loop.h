// KILL on a tree: passes over its members until nobody is left, within the turns of the event loop.
#pragma once

#include <stdint.h>

#include "server/forkserver/slots.h"

struct root;

struct kill_loop {
	struct slot_queue trees;
};

void kill_loop_open(struct kill_loop *loop);

// Begins it, or has its next pass come at once.
void kill_loop_begin(struct root *root, struct slot *slot);

// A process was adopted into the slot's tree.
void kill_loop_on_new_member(struct slot *slot);

// Makes the passes that are due, at most a turn's worth.
void kill_loop_tick(struct root *root);
uint64_t kill_loop_next_us(const struct root *root);

// The tree is empty, or of no interest any more.
void kill_loop_forget(struct root *root, struct slot *slot);
