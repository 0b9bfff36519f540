// Collects the dead: leaders at once, adopted orphans by number, and finds out when a tree is
// empty.
//
// A tree whose leader is reaped is empty when no child of this process has its tag: each living
// member's topmost ancestor below this process is an adopted orphan. The list of this process's own
// children only grows while it is read (only this process reaps), so one reading of it, begun after
// the reap, settles every such tree.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/forkserver/slots.h"
#include "server/forkserver/walk.h"

struct root;

// A child of this process that it did not start.
struct orphan {
	pid_t pid;
	struct slot *owner; // NULL: of unknown origin
	uint32_t place;     // in the table
	LIST_ENTRY(orphan) of_owner;
};

struct reaper {
	int children_fd;
	struct walk children;
	struct orphan *by_pid;   // memory is touched only where a pid was an orphan's
	struct orphan **orphans; // those there are, dense
	uint32_t n_orphans;
	uint32_t *role_of;  // by pid: 0 nobody's; else REAP_LEADER, or 1 + place of an orphan
	uint32_t scan;      // number of the last reading of the children
	bool children_died; // SIGCHLD came
	bool scan_wanted;
	uint64_t scan_after_us;       // earliest time of the next one: at most a fifth of all time
	uint64_t scan_latest_us;      // while trees wait: look again by then
	struct slot_queue leaderless; // trees that may become empty
	struct slot_queue retries;    // dead leaders that cannot be collected yet
};

// 0 or negative errno.
int reap_open(struct reaper *reaper);

// The slot's process has been cloned.
void reap_know_leader(struct root *root, struct slot *slot);

// The slot's pidfd became readable.
void reap_on_leader(struct root *root, struct slot *slot);

// Reads the list of children now: adopts whom it does not know, and tells which trees are empty.
void reap_scan(struct root *root);

// Collects the dead, then reads the list: what an act on trees needs before it.
void reap_sweep(struct root *root);

// Does what is due.
void reap_tick(struct root *root);
uint64_t reap_next_us(const struct root *root);

// Forgets the slot in every list here.
void reap_forget(struct root *root, struct slot *slot);
