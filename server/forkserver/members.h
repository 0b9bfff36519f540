// Passes over the members of a tree: who is alive, and a signal to each.
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

struct root;

struct members_seen {
	uint32_t serial, start;
};

struct members {
	struct walk walk;
	struct members_seen *seen; // by pid: which act or kill loop has met it
	uint32_t next_serial;
};

// Who was alive just before a pass acted.
struct members_report {
	bool diagnoses;   // also why they do not end
	uint32_t blocked; // enum link_blocked
	uint32_t n_alive;
	struct link_member members[LINK_MEMBERS_MAX];
};

// What one pass does and finds.
struct members_pass {
	struct slot *slot;
	uint32_t serial; // of members_new_serial: those met before under it are not signalled again
	int signal;      // 0: only looks
	bool then_continue;
	enum link_scope scope;
	struct members_report *report; // NULL: nobody wants to know who was alive
	uint32_t found, fresh, hit;    // alive; of these not met before; of these signalled
};

// 0 or negative errno.
int members_open(struct members *members);

uint32_t members_new_serial(struct root *root);

// Parents before children. KILL goes to each at every pass, other signals only to the fresh.
void members_pass(struct root *root, struct members_pass *pass);

// Signals every member once; for the end of the server.
void members_signal_all(struct root *root, struct slot *slot, int signal);

// How many are alive now.
uint32_t members_count(struct root *root, struct slot *slot);
