// The launch file: everything that one child starts with, written by the broker into a sealed
// memory file and checked by the root, which maps it privately and runs the child from it.
//
// Layout: struct launch, then n_argv + 1 + n_env + 1 + n_candidates offsets (uint64_t each; the
// entry after argv and after env is 0), then the NUL-terminated strings. Offsets count from the
// file's start. launch_map turns them into pointers in place, so that starting allocates nothing.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LAUNCH_MAGIC          0x4c4e4157u
#define LAUNCH_VERSION        1u
#define LAUNCH_SIZE_MAX       (4u << 20)
#define LAUNCH_GROUPS_MAX     64u
#define LAUNCH_RLIMITS_MAX    16u
#define LAUNCH_CANDIDATES_MAX 64u // paths tried in order for one program

// The steps of a start; numbers are those of StartStage in status.proto.
enum launch_stage {
	LAUNCH_PREPARE = 1,
	LAUNCH_CLONE,
	LAUNCH_DESCRIPTORS,
	LAUNCH_SESSION,
	LAUNCH_RLIMIT,
	LAUNCH_IDENTITY,
	LAUNCH_CWD,
	LAUNCH_STDIN,
	LAUNCH_STDOUT,
	LAUNCH_STDERR,
	LAUNCH_PROCESS_STATE,
	LAUNCH_EXEC,
};

enum launch_stdio_kind {
	LAUNCH_STDIO_NULL = 1,
	LAUNCH_STDIO_FILE,
	LAUNCH_STDIO_PIPE,
	LAUNCH_STDIO_STDOUT, // descriptor 2 only: a duplicate of descriptor 1
};

struct launch_stdio {
	uint32_t kind;       // enum launch_stdio_kind
	uint32_t truncate;   // FILE for output: 1 cuts it, 0 appends
	uint64_t path;       // FILE: offset of its absolute path; else 0
	uint64_t ring_bytes; // PIPE for output: a power of two, 64 KiB to 64 MiB; else 0
	uint32_t policy;     // PIPE for output: enum link_policy
	uint32_t pad;
};

struct launch_rlimit {
	uint32_t resource;
	uint32_t pad;
	uint64_t soft, hard; // UINT64_MAX: unlimited
};

struct launch {
	uint32_t magic, version;
	uint64_t size; // of the file
	uint32_t n_argv, n_env, n_candidates;
	uint32_t umask;
	uint64_t cwd; // offset of an absolute path
	struct launch_stdio stdio[3];
	uint32_t has_identity, uid, gid, n_groups;
	uint32_t groups[LAUNCH_GROUPS_MAX];
	uint32_t n_rlimits, allow_new_privileges;
	uint32_t cancel_notice; // 1: descriptor 3 is the reading end of the cancel notice
	uint32_t looked_up;     // 1: the candidates come from PATH: one that is missing is passed over
	struct launch_rlimit rlimits[LAUNCH_RLIMITS_MAX];
};
