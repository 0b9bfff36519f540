// The broker's one thread: epoll, and who watches which descriptor.
#include "server/broker/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "server/common/clock.h"
#include "server/common/fd.h"

#define EVENTS_A_TURN 64

struct watch {
	void (*ready)(void *user, uint32_t events); // NULL: nobody watches
	void *user;
	uint32_t generation; // an event collected for an earlier watch of this number is stale
};

struct loop {
	int epoll_fd;
	struct watch *watches; // by descriptor
	size_t capacity;
};

int loop_create(struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (!loop)
		return -ENOMEM;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		int error = -errno;
		free(loop);
		return error;
	}
	*ret_loop = loop;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	fd_close(&loop->epoll_fd);
	free(loop->watches);
	free(loop);
}

static int make_room(struct loop *loop, size_t index)
{
	if (index < loop->capacity)
		return 0;
	size_t capacity = loop->capacity ? loop->capacity : 64;
	while (capacity <= index)
		capacity *= 2;
	struct watch *watches = reallocarray(loop->watches, capacity, sizeof(*watches));
	if (!watches)
		return -ENOMEM;
	memset(watches + loop->capacity, 0, (capacity - loop->capacity) * sizeof(*watches));
	loop->watches = watches;
	loop->capacity = capacity;
	return 0;
}

static struct watch *find_watch(struct loop *loop, int fd)
{
	if (fd < 0 || (size_t)fd >= loop->capacity || !loop->watches[fd].ready)
		return NULL;
	return &loop->watches[fd];
}

static int control(struct loop *loop, int operation, int fd, uint32_t events)
{
	uint64_t generation = loop->watches[fd].generation;
	struct epoll_event event = {.events = events, .data.u64 = generation << 32 | (uint32_t)fd};
	return epoll_ctl(loop->epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events,
    void (*ready)(void *user, uint32_t events), void *user)
{
	if (fd < 0)
		return -EBADF;
	if (find_watch(loop, fd))
		return -EEXIST;
	int r = make_room(loop, (size_t)fd);
	if (r < 0)
		return r;
	loop->watches[fd].generation++;
	r = control(loop, EPOLL_CTL_ADD, fd, events);
	if (r < 0)
		return r;
	loop->watches[fd].ready = ready;
	loop->watches[fd].user = user;
	return 0;
}

int loop_change_fd(struct loop *loop, int fd, uint32_t events)
{
	if (!find_watch(loop, fd))
		return -ENOENT;
	return control(loop, EPOLL_CTL_MOD, fd, events);
}

void loop_remove_fd(struct loop *loop, int fd)
{
	struct watch *watch = find_watch(loop, fd);
	if (!watch)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	watch->ready = NULL;
	watch->user = NULL;
	watch->generation++;
}

static int wait_time(uint64_t until_ms)
{
	uint64_t now = now_ms();
	if (until_ms == UINT64_MAX)
		return -1;
	if (until_ms <= now)
		return 0;
	return until_ms - now < INT_MAX ? (int)(until_ms - now) : INT_MAX;
}

int loop_turn(struct loop *loop, uint64_t until_ms)
{
	struct epoll_event events[EVENTS_A_TURN];
	// Not epoll_wait, which endpoint_calls.c keeps for nng.
	int n = epoll_pwait(loop->epoll_fd, events, EVENTS_A_TURN, wait_time(until_ms), NULL);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct watch *watch = find_watch(loop, (int)(uint32_t)events[i].data.u64);
		if (watch && watch->generation == events[i].data.u64 >> 32)
			watch->ready(watch->user, events[i].events);
	}
	return 0;
}
