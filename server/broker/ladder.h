// The cancel ladder of one process as a pure step function: (state, event, time) to (state, what to
// do). No clock, no system call, no allocation. One ladder, whoever climbs: clients ask for rungs,
// and the server is the net beneath them. Clauses: docs/spec/06-ladder.md.
//
// Times are absolute milliseconds of one monotonic clock, never 0. A rung is *reached* when it was
// asked for and *acted* when the root has carried it out; the broker sends every rung to the root
// at once, and the root answers in order.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LADDER_RUNGS_MAX    8u
#define LADDER_LAST         255u // "the last rung", in a Cancel
#define LADDER_FOREVER      UINT64_MAX
#define LADDER_WAIT_MAX_MS  86400000u
#define LADDER_TAKEOVER_MS  2000u
#define LADDER_KILL_WAIT_MS 2000u // of the KILL that is added

enum ladder_action { LADDER_SIGNAL = 1, LADDER_CLOSE_STDIN, LADDER_CANCEL_NOTICE };
enum ladder_scope { LADDER_LEADER = 1, LADDER_GROUP, LADDER_TREE };

struct ladder_rung {
	uint8_t action;   // enum ladder_action
	uint8_t signal;   // with LADDER_SIGNAL
	uint8_t scope;    // enum ladder_scope
	uint64_t wait_ms; // LADDER_FOREVER, or at most LADDER_WAIT_MAX_MS
};

// Why the climb began; the first cause stays.
enum ladder_cause {
	LADDER_NO_CAUSE = 0,
	LADDER_CANCEL,
	LADDER_OWNER_LOST,
	LADDER_DEADLINE,
	LADDER_SHUTDOWN,
	LADDER_LEADER_GONE,
};

struct ladder {
	uint8_t n_rungs;
	struct ladder_rung rungs[LADDER_RUNGS_MAX];
	uint8_t reached; // highest rung asked for, from 1; 0: no climb
	uint8_t acted;   // highest rung that the root has carried out
	uint8_t cause;   // enum ladder_cause
	bool net;        // the server climbs alone: the stored waits alone, no takeover time
	bool leader_gone;
	bool tree_empty;      // the climb is over; nothing acts any more
	bool unreaped;        // the last rung's wait is over and the tree is not empty
	uint64_t wait_ms;     // in force for the rung reached
	uint64_t takeover_ms; // in force for the rung reached: 0 or LADDER_TAKEOVER_MS
	uint64_t base_ms;     // since when wait_ms counts: first answer written, or acted; 0: not yet
	uint64_t due_ms;      // when the server climbs on; LADDER_FOREVER: never
	uint64_t acted_ms;    // when the rung reached was carried out; 0: not yet
	bool stopping;        // the server shuts down: no client's wait is longer than the stored one
};

// What the caller has to do after an event.
struct ladder_output {
	uint8_t act;          // carry out this rung now; 0: none
	uint8_t skipped_from; // journal rungs [skipped_from, act) as skipped; 0: none
	bool by_net;          // the rung is the server's own
	bool unreaped;        // the last wait ended just now: diagnose
};

enum ladder_fault {
	LADDER_OK = 0,
	LADDER_TOO_MANY, // more than 8 with the KILL that is added
	LADDER_BAD_ACTION,
	LADDER_BAD_SIGNAL, // not 1 to 64, or set without LADDER_SIGNAL
	LADDER_BAD_SCOPE,  // or not LEADER for close stdin and cancel notice
	LADDER_BAD_WAIT,
	LADDER_EARLY_KILL, // KILL on a rung that is not the last
	LADDER_NO_STDIN,   // close stdin without a pipe there
};

// Fills in ladder from n rungs as asked for: empty means the default ladder; KILL on TREE is added
// where missing. *ret_index is the rung at fault, from 0. ladder is untouched on a fault.
enum ladder_fault ladder_init(struct ladder *ladder, const struct ladder_rung *rungs, size_t n,
    bool stdin_is_pipe, size_t *ret_index);

// True where a rung closes the cancel notice: the child then gets SPAWND_CANCEL_FD.
bool ladder_has_cancel_notice(const struct ladder *ladder);

// A client asks for a rung (LADDER_LAST: the last). A rung that is not above the one reached joins:
// it acts nothing and can only bring the deadline nearer. rung must be 1 to n_rungs or LADDER_LAST.
// The rung acts even where nobody is left that it reaches.
struct ladder_output ladder_cancel(
    struct ladder *ladder, uint64_t now_ms, uint32_t rung, uint64_t wait_ms, bool delegate);

// The root has carried out a rung. Until an answer is written, or where the server climbs alone,
// the wait counts from here, so that an answer that is never written stalls nothing.
void ladder_acted(struct ladder *ladder, uint64_t now_ms, uint32_t rung);

// An answer to a Cancel that climbed to this rung (output.act) or joined at it was written to its
// connection. The first one after the rung acted sets the base from which the rung's wait counts;
// others, and those of other rungs, change nothing. Not to be called for an answer that got lost.
void ladder_answered(struct ladder *ladder, uint64_t now_ms, uint32_t rung);

// The client that climbs is known to be gone (the last of them, where several joined): the wait
// that is left, without takeover time; in place of an unlimited wait the stored one, from now.
void ladder_climber_gone(struct ladder *ladder, uint64_t now_ms);

enum ladder_owner_policy { LADDER_OWNER_CANCEL, LADDER_OWNER_KILL, LADDER_OWNER_KEEP };

// The session has ended. KEEP: only a climb that is under way goes on by the net.
struct ladder_output ladder_owner_lost(
    struct ladder *ladder, uint64_t now_ms, enum ladder_owner_policy policy);

// run_ms is over: climbs only where no climb is under way.
struct ladder_output ladder_deadline(struct ladder *ladder, uint64_t now_ms);

// The server shuts down; impatient: at once to the last rung.
struct ladder_output ladder_shutdown(struct ladder *ladder, uint64_t now_ms, bool impatient);

// The leader was reaped. cancel_tree: where members may be left and the rung reached did not reach
// them (scope LEADER, or none), the server climbs at once to the next GROUP or TREE rung. Call it
// only when the tree was not empty at the reap. From now on the server's own climbs skip the rungs
// of scope LEADER.
struct ladder_output ladder_leader_gone(struct ladder *ladder, uint64_t now_ms, bool cancel_tree);

// The tree is empty: the climb is over.
void ladder_tree_empty(struct ladder *ladder);

// Time has come to due_ms (call it early: it does nothing).
struct ladder_output ladder_tick(struct ladder *ladder, uint64_t now_ms);
