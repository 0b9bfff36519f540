// Maps and checks a launch file: what the root runs a child from.
#pragma once

#include <stddef.h>

#include "server/link/launch.h"

// A checked launch: every pointer leads to a NUL-terminated string inside the mapping.
struct launch_map {
	void *base;
	size_t size;
	const struct launch *launch;
	char **argv, **env, **candidates; // NULL-terminated: argv and env
	const char *cwd;
	const char *paths[3]; // of FILE descriptors, else NULL
};

// Maps the file privately, checks all of it and turns its offsets into pointers. The descriptor
// stays the caller's and may be closed at once. Never crashes, whatever the file holds. 0;
// -EBADMSG: not sealed, or a size, count, offset or value out of range; else negative errno.
int launch_map(int fd, struct launch_map *ret_map);

// Checks and resolves a launch that lies in memory of the caller's own (base aligned to 8). The
// pure part of launch_map.
int launch_resolve(void *base, size_t size, struct launch_map *ret_map);

// Releases what launch_map made; harmless on one that is zero.
void launch_unmap(struct launch_map *map);
