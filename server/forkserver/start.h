// Starts processes without ever waiting: the child runs towards exec by itself and tells by a pipe
// how far it is.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/forkserver/child.h"
#include "server/forkserver/slots.h"
#include "server/link/messages.h"

// Descriptors that a starting child needs lie at low reserved numbers, in one of a few sets, since
// it takes along only what lies low. It needs them for microseconds; the rest of a start may hang
// for long, so more starts than sets can be under way.
#define START_SETS     16
#define START_SET_FDS  5 // 0, 1, 2, cancel notice, status
#define START_JOBS_MAX 96

struct root;

struct start_job {
	struct child_job child; // shared with the child until exec or death
	void *stack;
	struct slot *slot; // NULL: free
	int status_fd;     // reading end of the status pipe
	int set;           // of staging descriptors; -1: released
	uint64_t deadline_us;
	bool gave_up; // killed for its slowness; its slot has failed already
	TAILQ_ENTRY(start_job) queue;
};

TAILQ_HEAD(start_job_queue, start_job);

struct starter {
	int null_fd; // /dev/null, low
	int sets[START_SETS][START_SET_FDS];
	bool set_used[START_SETS];
	unsigned first_stray;
	struct start_job jobs[START_JOBS_MAX];
	uint32_t n_jobs;
	struct start_job_queue running; // in the order of their deadlines
	struct slot_queue waiting;
};

// Reserves the low descriptors: call before any other descriptor is opened. 0 or negative errno.
int start_open(struct starter *starter);

// Carries out LINK_START; fd stays the caller's. 0: begun, or waiting for a place; else a negative
// errno for LINK_REFUSED, and nothing has been done.
int start_order(struct root *root, const struct link_start *order, int fd);

// Something came by a status pipe.
void start_on_status(struct root *root, uint32_t job, uint32_t generation);

// The process of a start that is not over is dead (or is about to be reaped).
void start_on_death(struct root *root, struct slot *slot);

// Begins what waits; kills what takes too long.
void start_tick(struct root *root);
uint64_t start_next_us(const struct root *root);
