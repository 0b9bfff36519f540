// A child's environment, and the paths at which its program is looked for in it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "server/broker/refusal.h"
#include "server/link/launch_build.h"
#include "spawn/v1/spawn.pb-c.h"

struct spawn_environment {
	struct launch_variable *variables; // they borrow from the request and from text
	size_t n_variables;
	struct launch_bytes *candidates;
	size_t n_candidates;
	char **texts; // owned strings that the above point into
	size_t n_texts;
};

// uid: who the child runs as. False: refusal is filled in, nothing is held. (SPN-11, SPN-18,
// SPN-20)
bool decode_environment(const Spawn__V1__SpawnRequest *request, uid_t uid, bool cancel_notice,
    struct spawn_environment *ret_environment, struct refusal *refusal);

void decode_environment_free(struct spawn_environment *environment);
