// The climb of one process's ladder, told on standard error and hurried by Ctrl-C.
#pragma once

#include "clients/spawnctl/countdown.h"

struct climb {
	spawnd_client *client;
	const struct spawnd_process *process;
	struct countdown *countdown;
	int hurry_fds[2]; // a pipe: each byte climbs one rung at once
};

// Returns 0 or a negative errno. client and process may still be filled in before climb_run.
int climb_init(struct climb *climb, struct countdown *countdown);
void climb_clear(struct climb *climb);

// One rung higher at once, if the climb is on, or as soon as it is. From any thread; never blocks.
void climb_hurry(struct climb *climb);

// Climbs until the process has ended; spawnd_stop's contract. Blocks.
int climb_run(struct climb *climb, struct spawnd_exit **ret_exit, struct spawnd_error *err);
