// Output: serves reads from the rings. What was copied from a ring that drops its oldest bytes
// counts only once the root has confirmed that it was not overwritten meanwhile. Clauses:
// docs/spec/09-stream.md.
#pragma once

#include <stdint.h>

#include "server/link/messages.h"

struct call;
struct process;

// Serves the parked read, or asks the root for what it needs.
void streams_read(struct call *call);

// The owner wants no byte below offset any more.
void streams_release(struct process *process, uint32_t stream, uint64_t offset);

void streams_state(struct process *process, const struct link_stream_state *message);

// The rings exist: reads that came before can be served.
void streams_started(struct process *process);

// The process has ended: reads of a start that failed end.
void streams_ended(struct process *process);

// Nobody may release bytes any more: writers do not wait. (STR-5)
void streams_owner_lost(struct process *process);
