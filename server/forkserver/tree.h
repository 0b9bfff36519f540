// Orders about the members of a tree: rungs, plain signals, and looks at who is alive.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/forkserver/members.h"
#include "server/link/messages.h"

#define TREE_ACTS_MAX 384u // in one turn: the orders of a turn and what waited for starts

struct root;

// One order on its way: carried out with the others of its turn, so that one reading of the root's
// children serves them all.
struct tree_act {
	uint64_t process_id, serial;
	uint32_t rung, action, signal, scope;
	bool is_look;
	bool again; // the last pass met new members
	uint32_t seen_serial;
	uint32_t hit;
	int32_t error;
	uint64_t at_ms;
	struct members_report report;
};

struct trees {
	struct tree_act *acts; // of this turn, then (not yet due) of later ones
	uint32_t n_acts;
	bool acts_due;
};

// 0 or negative errno.
int trees_open(struct trees *trees);

// Take LINK_ACT and LINK_LOOK; answered at the next tree_tick, or once the start is over.
void tree_order_act(struct root *root, const struct link_act *order);
void tree_order_look(struct root *root, const struct link_look *order);

// A start is over: what waited for it is due.
void tree_on_started(struct root *root);

// Carries out what is due.
void tree_tick(struct root *root);
uint64_t tree_next_us(const struct root *root);
