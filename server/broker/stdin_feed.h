// Standard input: feeds parked writes to the root, piece by piece. The root keeps no byte; what it
// did not take is sent again when it has room. Clauses: docs/spec/09-stream.md.
#pragma once

#include "server/link/messages.h"

struct process;

// Goes on with the parked writes in the order of their offsets.
void stdin_feed_pump(struct process *process);

void stdin_feed_state(struct process *process, const struct link_stdin_state *message);
