// Spawnctl's own standard input, carried to the process.
#pragma once

#include "clients/spawnctl/run.h"

struct input;

// Begins to carry. Returns 0 or a negative errno.
int run_input_start(struct run *run, struct input **ret_input);

// The process has ended: no call of the library is under way or begins any more when it returns.
// The thread itself may stay in a read of its standard input until spawnctl exits. NULL does
// nothing.
void run_input_end(struct input *input);
