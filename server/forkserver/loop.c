// The event loop.
#include "server/forkserver/loop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "server/common/clock.h"
#include "server/common/log.h"
#include "server/forkserver/orders.h"
#include "server/forkserver/root.h"
#include "server/forkserver/stdin.h"

#define EVENTS_A_TURN 256

// Layout of a tag: 8 bits kind, 24 bits generation, 32 bits index.
#define GENERATION_SHIFT 32
#define KIND_SHIFT       56

uint64_t loop_tag(enum loop_kind kind, uint32_t generation, uint32_t index)
{
	return (uint64_t)kind << KIND_SHIFT |
	       (uint64_t)(generation & SLOT_GENERATION_MASK) << GENERATION_SHIFT | index;
}

uint64_t loop_slot_tag(const struct root *root, enum loop_kind kind, const struct slot *slot)
{
	return loop_tag(kind, slot->generation, slots_index(&root->slots, slot));
}

static int control(struct root *root, int operation, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event event = {.events = events, .data.u64 = tag};
	return epoll_ctl(root->epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

int loop_watch(struct root *root, int fd, uint32_t events, uint64_t tag)
{
	return control(root, EPOLL_CTL_ADD, fd, events, tag);
}

int loop_change(struct root *root, int fd, uint32_t events, uint64_t tag)
{
	return control(root, EPOLL_CTL_MOD, fd, events, tag);
}

void loop_unwatch(struct root *root, int fd)
{
	control(root, EPOLL_CTL_DEL, fd, 0, 0);
}

static enum loop_kind kind_of(const struct epoll_event *event)
{
	return (enum loop_kind)(event->data.u64 >> KIND_SHIFT);
}

static uint32_t generation_of(const struct epoll_event *event)
{
	return (uint32_t)(event->data.u64 >> GENERATION_SHIFT) & SLOT_GENERATION_MASK;
}

static void take_signals(struct root *root)
{
	struct signalfd_siginfo info;
	while (read(root->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			root->reaper.children_died = true;
		else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			stop_on_signal(root, (int)info.ssi_signo, info.ssi_pid);
	}
}

static void take_slot_event(struct root *root, const struct epoll_event *event)
{
	struct slot *slot = slots_at(&root->slots, (uint32_t)event->data.u64, generation_of(event));
	if (!slot)
		return; // of a process that is forgotten
	switch (kind_of(event)) {
	case LOOP_LEADER:
		reap_on_leader(root, slot);
		break;
	case LOOP_STDOUT:
		pipes_on_ready(root, slot, LINK_STDOUT);
		break;
	case LOOP_STDERR:
		pipes_on_ready(root, slot, LINK_STDERR);
		break;
	default:
		stdin_on_event(root, slot, event->events);
	}
}

static void take(struct root *root, const struct epoll_event *event)
{
	switch (kind_of(event)) {
	case LOOP_LINK:
		orders_receive(root);
		break;
	case LOOP_SIGNALS:
		take_signals(root);
		break;
	case LOOP_GUARD:
		stop_on_guard_death(root);
		break;
	case LOOP_BROKER:
		keeper_on_death(root);
		break;
	case LOOP_STATUS:
		start_on_status(root, (uint32_t)event->data.u64, generation_of(event));
		break;
	default:
		if (root->configured)
			take_slot_event(root, event);
	}
}

// Which events come first within a turn.
static int rank(const struct epoll_event *event)
{
	switch (kind_of(event)) {
	case LOOP_LINK:
		return 0;
	case LOOP_STATUS: // before the exits: a start that is over is told before its end
		return 1;
	case LOOP_STDOUT:
	case LOOP_STDERR:
	case LOOP_STDIN:
		return 3;
	default:
		return 2;
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_us(const struct root *root)
{
	uint64_t next = earlier(keeper_next_us(root), stop_next_us(root));
	if (root->configured) {
		next = earlier(next, earlier(start_next_us(root), reap_next_us(root)));
		next = earlier(next, earlier(tree_next_us(root), pipes_next_us(root)));
	}
	return next;
}

static int wait_for(struct root *root, struct epoll_event *events)
{
	uint64_t next = next_us(root), now = now_us();
	uint64_t wait_us = next > now ? next - now : 0;
	struct timespec timeout = {
	    .tv_sec = (time_t)(wait_us / 1000000), .tv_nsec = (long)(wait_us % 1000000) * 1000};
	long n = syscall(SYS_epoll_pwait2, root->epoll_fd, events, EVENTS_A_TURN,
	    next == ROOT_NEVER ? NULL : &timeout, NULL, 0);
	root->now_us = now_us();
	return n < 0 ? -errno : (int)n;
}

static void turn(struct root *root, const struct epoll_event *events, int n)
{
	for (int r = 0; r <= 3; r++)
		for (int i = 0; i < n; i++)
			if (rank(&events[i]) == r)
				take(root, &events[i]);
	if (root->configured) {
		start_tick(root);
		reap_tick(root);
		tree_tick(root);
		pipes_tick(root);
		pipes_read(root);
	}
	outbox_flush(root);
	keeper_tick(root);
	stop_tick(root);
}

int loop_run(struct root *root)
{
	struct epoll_event events[EVENTS_A_TURN];
	while (root->stop.stage != STOP_LEAVE) {
		int n = wait_for(root, events);
		if (n < 0 && n != -EINTR) {
			log_error("cannot wait for events: %s", strerror(-n));
			root->stop.exit_status = 1;
			break;
		}
		turn(root, events, n > 0 ? n : 0);
	}
	return stop_finish(root);
}
