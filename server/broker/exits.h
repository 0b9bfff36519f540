// What becomes of a process, as the root tells it, and who waits for it. Clauses:
// docs/spec/07-await.md, docs/spec/08-exit.md.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/link/messages.h"

struct process;

// Why the leader ended, as ExitCause of exit.proto has it (same numbers).
enum exit_cause {
	EXIT_ITSELF = 1,
	EXIT_CANCEL,
	EXIT_OWNER_LOST,
	EXIT_DEADLINE,
	EXIT_SERVER_SHUTDOWN,
	EXIT_LEADER_GONE,
	EXIT_OUTSIDE_SIGNAL,
	EXIT_OUT_OF_MEMORY,
	EXIT_SIGNAL_CALL,
};

// The root's word on a start.
void exits_start_refused(struct process *process, const struct link_refused *message);
void exits_started(struct process *process, const struct link_started *message);
void exits_start_failed(struct process *process, const struct link_start_failed *message);

// The root's word on an end.
void exits_leader_exited(struct process *process, const struct link_leader_exited *message);
void exits_tree_left(struct process *process);
void exits_tree_empty(struct process *process, const struct link_tree_empty *message);

// Answers the Cancels that waited for a rung, and the Signal that waited for its serial.
void exits_rung_acted(struct process *process);
void exits_signal_sent(struct process *process, const struct link_acted *message);

// The last wait is over without an end.
void exits_unreaped(struct process *process);

// Does the awaited fact hold?
bool exits_holds(const struct process *process, bool leader);

// The record goes: everybody who waits is told that there is none.
void exits_forget(struct process *process);
