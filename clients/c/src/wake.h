// What one blocked thread sleeps on: rung by others, with a time limit of the monotonic clock, and
// where wanted together with a descriptor.
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct wake {
	pthread_mutex_t lock; // guards rung
	pthread_cond_t changed;
	bool rung;
	int fd; // eventfd that is rung too, where the thread polls; else -1
};

// polled: the thread will wait with a descriptor of its own. 0 or negative errno (polled alone).
int wake_init(struct wake *wake, bool polled);
void wake_free(struct wake *wake);

// Wakes the thread now, or keeps it from falling asleep the next time. Any thread; never blocks.
void wake_ring(struct wake *wake);

// Sleeps until rung, until_us (CLOCK_NEVER: no limit), or until extra_fd (-1: none; needs polled)
// is readable or broken. True where extra_fd is.
bool wake_wait(struct wake *wake, uint64_t until_us, int extra_fd);
