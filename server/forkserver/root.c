// The root: sets itself up, starts the broker, runs the loop.
#include "server/forkserver/root.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/common/cleanup.h"
#include "server/common/clock.h"
#include "server/common/fd.h"
#include "server/common/log.h"
#include "server/common/os.h"
#include "server/forkserver/loop.h"

#define RESERVED_FDS     256u // for this process itself
#define ARENA_BYTES      (64ull << 30)
#define RECORDS_MIN      1024u
#define RECORDS_MAX      262144u
#define START_TIMEOUT_MS 10000u
#define LONGEST_WAIT_MS  600000u // whatever the broker asks for

void root_close_fd(struct root *root, struct slot *slot, int *fd)
{
	if (*fd < 0)
		return;
	loop_unwatch(root, *fd); // closing alone may leave the registration alive
	fd_close(fd);
	if (slot->fds > 0) {
		slot->fds--;
		root->fds_used--;
	}
}

void root_forget(struct root *root, struct slot *slot)
{
	if (slot->state != SLOT_EMPTY && slot->state != SLOT_FAILED)
		root->alive--;
	pipes_release(root, slot);
	reap_forget(root, slot);
	kill_loop_forget(root, slot);
	root_close_fd(root, slot, &slot->stdin_fd);
	root_close_fd(root, slot, &slot->cancel_fd);
	root_close_fd(root, slot, &slot->pidfd);
	launch_unmap(&slot->launch);
	root->fds_used -= slot->fds;
	slot->fds = 0;
	slots_give(&root->slots, slot);
	tree_on_started(root);
}

static uint32_t bounded(uint32_t value, uint32_t low, uint32_t high)
{
	return value < low ? low : (value > high ? high : value);
}

int root_configure(struct root *root, const struct link_config *config)
{
	uint64_t seed;
	int r = os_random(&seed, sizeof(seed));
	if (r < 0)
		return r;
	root->config = *config;
	if (root->config.start_timeout_ms == 0)
		root->config.start_timeout_ms = START_TIMEOUT_MS;
	root->config.start_timeout_ms = bounded(root->config.start_timeout_ms, 1, LONGEST_WAIT_MS);
	root->config.stop_term_wait_ms = bounded(root->config.stop_term_wait_ms, 0, LONGEST_WAIT_MS);
	uint32_t records = bounded(config->max_records, RECORDS_MIN, RECORDS_MAX);
	r = slots_open(&root->slots, records, seed);
	if (r == 0)
		r = outbox_open(&root->outbox, records);
	if (r == 0)
		r = rings_open(&root->rings, ARENA_BYTES);
	if (r < 0)
		return r;
	uint32_t most = root->fds_max < records ? root->fds_max : records;
	root->max_processes =
	    config->max_processes == 0 || config->max_processes > most ? most : config->max_processes;
	root->configured = true;
	return 0;
}

// Every signal is blocked here for ever, so that none ever reaches a child on its way to exec; what
// matters comes by a descriptor.
static int open_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int read_own_oom_adj(void)
{
	char text[32] = "";
	CLEANUP_FD int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		return atoi(text);
	return 0;
}

static void raise_descriptor_limit(struct root *root)
{
	struct rlimit all = root->setup->nofile;
	all.rlim_cur = all.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &all) < 0)
		all.rlim_cur = root->setup->nofile.rlim_cur;
	uint64_t most = all.rlim_cur > RECORDS_MAX * 4ull ? RECORDS_MAX * 4ull : all.rlim_cur;
	root->fds_max = most > RESERVED_FDS ? (uint32_t)(most - RESERVED_FDS) : 0;
}

static int open_identity(struct root *root)
{
	uint32_t random[2];
	struct rlimit locks;
	int r = os_random(random, sizeof(random));
	if (r < 0)
		return r;
	if (getrlimit(RLIMIT_LOCKS, &locks) < 0)
		return -errno;
	root->pid = getpid();
	root->epoch = random[0] == 0 ? 1 : random[0];
	root->own_oom_adj = read_own_oom_adj();
	contain_open(&root->contain, locks.rlim_max, random[1]);
	return 0;
}

// A session of its own: the terminal's signals come by the guard, once.
static int open_process(struct root *root)
{
	setsid();
	umask(077);
	// Children that switch identity would make this process so anyway, as they share its memory.
	if (geteuid() == 0)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	raise_descriptor_limit(root);
	int r = os_become_subreaper();
	if (r == 0)
		r = open_identity(root);
	return r;
}

static int open_loop(struct root *root)
{
	root->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (root->epoll_fd < 0)
		return -errno;
	root->signal_fd = open_signals();
	if (root->signal_fd < 0)
		return root->signal_fd;
	int r = loop_watch(root, root->signal_fd, EPOLLIN, loop_tag(LOOP_SIGNALS, 0, 0));
	if (r == 0)
		r = loop_watch(root, root->setup->guard_pidfd, EPOLLIN, loop_tag(LOOP_GUARD, 0, 0));
	return r;
}

static int open_all(struct root *root)
{
	int r = open_process(root);
	if (r == 0)
		r = start_open(&root->starter);
	if (r == 0)
		r = open_loop(root);
	if (r == 0)
		r = reap_open(&root->reaper);
	if (r == 0)
		r = members_open(&root->members);
	if (r == 0)
		r = trees_open(&root->trees);
	kill_loop_open(&root->kill_loop);
	priority_open(&root->priority);
	pipes_open(&root->pipes);
	root->outbox.fd = root->keeper.pidfd = root->rings.fd = root->rings.read_only_fd = -1;
	root->started_ms = now_ms();
	root->now_us = now_us();
	if (r == 0)
		r = keeper_start(root);
	if (r == 0 && chdir("/") < 0)
		r = -errno;
	return r;
}

int root_run(const struct root_setup *setup)
{
	static struct root root; // large, and one in a process
	root.setup = setup;
	int r = open_all(&root);
	if (r < 0) {
		log_error("cannot start: %s", strerror(-r));
		return 1;
	}
	return loop_run(&root);
}
