// The root: one process, one thread, the parent of every child. This struct is all of its state;
// each part belongs to the file of its name.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "server/forkserver/broker_keeper.h"
#include "server/forkserver/contain.h"
#include "server/forkserver/kill_loop.h"
#include "server/forkserver/members.h"
#include "server/forkserver/outbox.h"
#include "server/forkserver/pipes.h"
#include "server/forkserver/priority.h"
#include "server/forkserver/reap.h"
#include "server/forkserver/rings.h"
#include "server/forkserver/slots.h"
#include "server/forkserver/start.h"
#include "server/forkserver/stop.h"
#include "server/forkserver/tree.h"
#include "server/link/messages.h"

#define ROOT_NEVER UINT64_MAX // a time that does not come

// What the root needs to know from the command line and the guard.
struct root_setup {
	const char *broker_path;
	char **broker_argv; // NULL-terminated
	pid_t guard_pid;
	int guard_pidfd;      // readable once the guard is dead
	int guard_channel;    // what is written here the guard passes on to the service manager
	struct rlimit nofile; // as this server was started with
};

struct root {
	const struct root_setup *setup;
	pid_t pid;
	uint64_t epoch; // 32 bits
	uint64_t started_ms;
	uint32_t last_number; // highest process number used
	int epoll_fd, signal_fd;
	uint64_t now_us; // of this turn

	bool configured;
	struct link_config config;
	uint32_t max_processes, alive; // alive: slots whose process or tree is not known to be gone
	uint32_t fds_used, fds_max;    // descriptors held for processes
	uint64_t own_hard_limit;       // of RLIMIT_LOCKS
	int own_oom_adj;

	struct contain contain;
	struct slots slots;
	struct rings rings;
	struct starter starter;
	struct reaper reaper;
	struct members members;
	struct kill_loop kill_loop;
	struct trees trees;
	struct priority priority;
	struct pipes pipes;
	struct outbox outbox;
	struct keeper keeper;
	struct stop stop;
};

// Runs the server; returns the exit status.
int root_run(const struct root_setup *setup);

// Makes the tables whose size the configuration decides. 0 or negative errno.
int root_configure(struct root *root, const struct link_config *config);

static inline uint64_t root_now_ms(const struct root *root)
{
	return root->now_us / 1000;
}

// Takes a descriptor of the slot's out of the loop, closes it and counts it. Harmless on -1.
void root_close_fd(struct root *root, struct slot *slot, int *fd);

// Releases all that the slot holds and forgets it.
void root_forget(struct root *root, struct slot *slot);
