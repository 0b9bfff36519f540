// One `spawnctl run`: what its threads share.
#pragma once

#include "clients/spawnctl/climb.h"
#include "clients/spawnctl/options.h"

// Until when which interrupt means what; see run_interrupt.c.
enum run_phase { RUN_CONNECTING, RUN_SPAWNING, RUN_LIVING, RUN_ENDED };

struct run {
	const struct options *options;
	spawnd_client *client;         // set before LIVING
	struct spawnd_process process; // set before LIVING
	struct countdown countdown;
	struct climb climb;

	pthread_mutex_t lock;   // guards everything below
	pthread_cond_t changed; // of anything below
	enum run_phase phase;
	bool stop_wanted; // the climb shall begin, or has begun
	bool climbing;    // climb_thread was started
	pthread_t climb_thread;
	bool climb_failed; // it ended without a record: climb_error
	struct spawnd_error climb_error;
	bool await_failed; // await_error
	struct spawnd_error await_error;
	struct spawnd_exit *record; // NULL: not had yet
	int outputs_open;           // output streams that are not written out yet
	bool pipe_broken;           // nobody reads spawnctl's own output any more
	int gave_up_signal;         // a signal after the end: the output that is left is not waited for
};

int run_init(struct run *run, const struct options *options);
void run_clear(struct run *run);

// Begins the climb, once; from any thread, in any phase.
void run_stop(struct run *run);

// The process has been started: run_stop acts from now on, also for what was wanted before.
void run_living(struct run *run);

// What a signal to spawnctl does. user is a struct run.
void run_interrupted(void *user, int signal);

// Waits, on the calling thread, until the record is had or cannot be had. Returns false where the
// climb is over and the process has not ended.
bool run_wait_end(struct run *run);

// Waits until all output has been written, or a signal says not to; returns that signal, else 0.
int run_wait_outputs(struct run *run);
