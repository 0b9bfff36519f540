// What a new process does between clone and exec. It shares its parent's memory, so it uses raw
// system calls alone and writes nothing but its own job record and stack.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "server/link/launch_map.h"

// One start, shared between the parent and its child until exec or death.
struct child_job {
	// Set by the parent before the clone.
	struct launch_map map;
	int sources[3];       // descriptors for 0, 1, 2; -1: a FILE, or a duplicate of 1
	int cancel_source;    // becomes 3; -1: none
	int status_fd;        // close-on-exec pipe; gets one byte when this table is its own
	unsigned first_stray; // every descriptor from here on belongs to the parent alone
	pid_t parent_pid;
	uint64_t tag;         // hard and soft RLIMIT_LOCKS; 0: as inherited
	struct rlimit nofile; // the limit that the parent was started with
	bool set_groups;
	// Set by the child; read by the parent after exec or death.
	volatile uint32_t stage; // enum launch_stage
	volatile int32_t error;  // positive errno; 0: none
};

// Runs the job. Does not return.
void child_run(void *job) __attribute__((noreturn));
