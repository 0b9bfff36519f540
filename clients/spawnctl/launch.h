// What a process is started with: from the command line and spawnctl's own surroundings to the
// library's spawn options.
#pragma once

#include "clients/spawnctl/options.h"

struct launch {
	struct spawnd_spawn_options spawn; // borrows from the fields below and from struct options
	const char **env;
	char *cwd, *program, *stdout_path, *stderr_path;
};

// Fills in everything but stdio of run. on_owner_lost is what holds where the command line does not
// say. Returns 0, or a negative errno with what it was about in *ret_about (a static string).
int launch_make(struct launch *launch, const struct options *options,
    const char *const *environment, int on_owner_lost, const char **ret_about);
void launch_clear(struct launch *launch);

// The environment: of the one given each well-formed entry (the first of a name), then the
// additions, of which the last of a name wins. NULL-terminated; the array is malloc'ed, its strings
// are borrowed. NULL: no memory.
const char **launch_merge_env(
    const char *const *environment, const char *const *additions, size_t n_additions);

// path, where it is absolute, else base and path. malloc'ed; NULL: no memory.
char *launch_join_path(const char *base, const char *path);
