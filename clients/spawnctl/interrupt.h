// The thread that takes the signals sent to spawnctl, and keeps the countdown going.
#pragma once

#include <pthread.h>
#include <signal.h>

#include "clients/spawnctl/countdown.h"

struct interrupt {
	pthread_t thread;
	int signal_fd, over_fd;
	struct countdown *countdown;
	void (*caught)(void *user, int signal);
	void *user;
};

// Blocks the signals in the calling thread and all that it starts later, so it comes before every
// other thread, and calls caught, on a thread of its own, for each that arrives: INT, and where
// also_term TERM and HUP. One that is ignored stays so. Returns 0 or a negative errno.
int interrupt_start(struct interrupt *interrupt, int also_term, struct countdown *countdown,
    void (*caught)(void *user, int signal), void *user);

// Ends the thread: caught is not called any more.
void interrupt_stop(struct interrupt *interrupt);
