// Builds a launch file: what the broker sends with LINK_START.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/link/launch.h"

// Bytes without NUL inside; not NUL-terminated. The caller owns them.
struct launch_bytes {
	const void *data;
	size_t size;
};

struct launch_variable {
	struct launch_bytes name, value;
};

struct launch_input_stdio {
	enum launch_stdio_kind kind;
	struct launch_bytes path; // FILE
	bool truncate;            // FILE, output
	uint64_t ring_bytes;      // PIPE, output: a power of two, 64 KiB to 64 MiB
	uint32_t policy;          // PIPE, output: enum link_policy
};

struct launch_input {
	const struct launch_bytes *argv; // at least one
	size_t n_argv;
	const struct launch_variable *env;
	size_t n_env;
	const struct launch_bytes *candidates; // absolute paths, 1 to LAUNCH_CANDIDATES_MAX
	size_t n_candidates;
	struct launch_bytes cwd; // absolute
	uint32_t umask;
	struct launch_input_stdio stdio[3];
	bool has_identity;
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t n_groups;
	const struct launch_rlimit *rlimits;
	size_t n_rlimits;
	bool allow_new_privileges;
	bool looked_up;     // the candidates come from PATH: there may be none
	bool cancel_notice; // the caller has put SPAWND_CANCEL_FD=3 into env
};

// Writes the sealed memory file. Does not block; any thread. 0, *ret_fd owned by the caller and
// close-on-exec; -EINVAL: a count, value or byte that launch_map would refuse; -E2BIG: over
// LAUNCH_SIZE_MAX; else negative errno of making the file.
int launch_build(const struct launch_input *input, int *ret_fd);
