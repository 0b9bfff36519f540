// What must be known before a climb: the ladder, or that the process has ended already.
#pragma once

#include "clients/c/src/client_state.h"

struct stop_ladder {
	struct spawnd_rung rungs[SPAWND_RUNGS_MAX];
	size_t n_rungs;
	bool certain; // the server's own; else the default one, until a Cancel's answer tells
};

// Fills in *ret_ladder, or *ret_exit (spawnd_exit_free) where the process has ended; asks the
// server where the client does not remember. 0, or -1 with an error that ends the stop. (LAD-7,
// LAD-8)
int stop_learn(struct use *use, const struct spawnd_process *process,
    struct stop_ladder *ret_ladder, struct spawnd_exit **ret_exit, struct spawnd_error *err);
