// What one blocked thread sleeps on.
#include "clients/c/src/wake.h"

#include "clients/c/src/clock.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int wake_init(struct wake *wake, bool polled)
{
	pthread_condattr_t monotonic;
	wake->rung = false;
	wake->fd = -1;
	if (polled) {
		wake->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (wake->fd < 0)
			return -errno;
	}
	pthread_mutex_init(&wake->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&wake->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return 0;
}

void wake_free(struct wake *wake)
{
	if (wake->fd >= 0)
		close(wake->fd);
	pthread_cond_destroy(&wake->changed);
	pthread_mutex_destroy(&wake->lock);
}

void wake_ring(struct wake *wake)
{
	pthread_mutex_lock(&wake->lock);
	if (!wake->rung) {
		wake->rung = true;
		pthread_cond_signal(&wake->changed);
		if (wake->fd >= 0)
			eventfd_write(wake->fd, 1);
	}
	pthread_mutex_unlock(&wake->lock);
}

static void sleep_until(struct wake *wake, uint64_t until_us)
{
	struct timespec until = clock_timespec(until_us == CLOCK_NEVER ? 0 : until_us);
	pthread_mutex_lock(&wake->lock);
	while (!wake->rung) {
		if (until_us == CLOCK_NEVER)
			pthread_cond_wait(&wake->changed, &wake->lock);
		else if (pthread_cond_timedwait(&wake->changed, &wake->lock, &until) == ETIMEDOUT)
			break;
	}
	wake->rung = false;
	pthread_mutex_unlock(&wake->lock);
}

static bool poll_until(struct wake *wake, uint64_t until_us, int extra_fd)
{
	struct pollfd polled[] = {
	    {.fd = wake->fd, .events = POLLIN}, {.fd = extra_fd, .events = POLLIN}};
	uint64_t now_us = clock_now_us();
	struct timespec left = clock_timespec(until_us > now_us ? until_us - now_us : 0);
	eventfd_t rings;
	int n = ppoll(polled, 2, until_us == CLOCK_NEVER ? NULL : &left, NULL);
	pthread_mutex_lock(&wake->lock);
	if (wake->rung)
		eventfd_read(wake->fd, &rings);
	wake->rung = false;
	pthread_mutex_unlock(&wake->lock);
	return n > 0 && polled[1].revents;
}

bool wake_wait(struct wake *wake, uint64_t until_us, int extra_fd)
{
	if (wake->fd >= 0)
		return poll_until(wake, until_us, extra_fd);
	sleep_until(wake, until_us);
	return false;
}
