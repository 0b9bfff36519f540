// Acts on the members of a tree: rungs, plain signals, the kill loop, and looks at who is alive.
//
// A signal goes to a child of this process by its pid, which cannot be reused before this process
// reaps it, and to any other member by a pidfd that was opened first and found to name a member
// afterwards. So no signal ever reaches a stranger.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/forkserver/slots.h"
#include "server/forkserver/walk.h"
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
	uint32_t hit, n_alive, blocked;
	int32_t error;
	uint64_t at_ms;
	struct link_member members[LINK_MEMBERS_MAX];
};

struct tree_seen {
	uint32_t serial, start;
};

struct trees {
	struct walk walk;
	struct tree_act *acts; // of this turn, then (not yet due) of later ones
	uint32_t n_acts;
	bool acts_due;
	struct tree_seen *seen; // by pid: which act or kill loop has met it
	uint32_t next_serial;
	struct slot_queue killing;
};

// 0 or negative errno.
int trees_open(struct trees *trees);

// Take LINK_ACT and LINK_LOOK; answered at the next tree_tick, or once the start is over.
void tree_order_act(struct root *root, const struct link_act *order);
void tree_order_look(struct root *root, const struct link_look *order);

// A start is over: what waited for it is due.
void tree_on_started(struct root *root);

// A process was adopted into the slot's tree.
void tree_on_new_member(struct root *root, struct slot *slot);

// Signals every member once; for the end of the server.
void tree_signal_all(struct root *root, struct slot *slot, int signal);

// How many members are alive now.
uint32_t tree_count_alive(struct root *root, struct slot *slot);

// Begins the kill loop.
void tree_kill(struct root *root, struct slot *slot);

// Carries out what is due.
void tree_tick(struct root *root);
uint64_t tree_next_us(const struct root *root);

void tree_forget(struct root *root, struct slot *slot);
