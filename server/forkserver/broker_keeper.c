// Starts the broker, watches that it lives and answers, and ends it if it does not.
#include "server/forkserver/broker_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/common/cleanup.h"
#include "server/common/fd.h"
#include "server/common/log.h"
#include "server/common/os.h"
#include "server/forkserver/loop.h"
#include "server/forkserver/notify.h"
#include "server/forkserver/root.h"
#include "server/link/socket.h"

#define LINK_FD     3
#define PING_US     500000u
#define PATIENCE    4u        // pings without an answer, or with the queue full
#define CONFIG_US   30000000u // from its start to its first message
#define EXEC_FAILED 127

// In the new process. What it inherits: standard descriptors, the link, the environment.
static void become_broker(const struct root_setup *setup, int link_fd) __attribute__((noreturn));

static void become_broker(const struct root_setup *setup, int link_fd)
{
	sigset_t none;
	sigemptyset(&none);
	if (link_fd == LINK_FD ? fcntl(LINK_FD, F_SETFD, 0) < 0 : dup2(link_fd, LINK_FD) < 0)
		_exit(EXEC_FAILED);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(setup->broker_path, setup->broker_argv);
	log_error("cannot execute the broker %s: %m", setup->broker_path);
	_exit(EXEC_FAILED);
}

int keeper_start(struct root *root)
{
	struct keeper *keeper = &root->keeper;
	int ends[2];
	int r = link_pair(ends);
	if (r < 0)
		return r;
	CLEANUP_FD int ours = ends[0];
	CLEANUP_FD int theirs = ends[1];
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become_broker(root->setup, theirs);
	keeper->pid = pid;
	keeper->started_us = root->now_us;
	keeper->pidfd = os_pidfd_open(pid);
	if (keeper->pidfd < 0)
		return keeper->pidfd;
	r = loop_watch(root, keeper->pidfd, EPOLLIN, loop_tag(LOOP_BROKER, 0, 0));
	if (r == 0)
		r = loop_watch(root, ours, EPOLLIN, loop_tag(LOOP_LINK, 0, 0));
	if (r == 0)
		outbox_attach(root, fd_steal(&ours));
	return r;
}

void keeper_on_ready(struct root *root, const char *url)
{
	if (root->keeper.ready)
		return;
	root->keeper.ready = true;
	log_info("ready at %s", url);
	notify_ready(root->setup->guard_channel, url);
}

void keeper_on_pong(struct root *root, uint64_t serial)
{
	struct keeper *keeper = &root->keeper;
	if (serial > keeper->sent_serial || serial <= keeper->answered_serial)
		return;
	keeper->answered_serial = serial;
	keeper->unanswered = 0;
}

void keeper_kill(struct root *root, const char *why)
{
	if (root->keeper.pidfd < 0)
		return;
	log_error("the broker is killed: %s", why);
	os_pidfd_signal(root->keeper.pidfd, SIGKILL);
}

void keeper_on_death(struct root *root)
{
	struct keeper *keeper = &root->keeper;
	struct os_exit seen;
	int r = os_reap_pidfd(keeper->pidfd, &seen);
	if (r == 0 && seen.pid == 0)
		return;
	loop_unwatch(root, keeper->pidfd);
	fd_close(&keeper->pidfd);
	keeper->pid = 0;
	keeper->ended = true;
	keeper->refused_to_start =
	    r == 0 && !keeper->ready && seen.code_kind == CLD_EXITED && seen.status != 0;
	keeper->exit_status =
	    r < 0 ? 1 : (seen.code_kind == CLD_EXITED ? seen.status : 128 + seen.status);
	if (root->outbox.fd >= 0)
		loop_unwatch(root, root->outbox.fd);
	fd_close(&root->outbox.fd);
	stop_on_broker_death(root);
}

// Time is counted in pings, each sent half a second of this process's own running time after the
// last: had it been stopped itself, answers would lie unread, but by now this turn has read them.
static void ping(struct root *root)
{
	struct keeper *keeper = &root->keeper;
	const struct outbox *outbox = &root->outbox;
	bool stuck = outbox->blocked_since_us != 0 && outbox->blocked_since_us <= keeper->pinged_us;
	keeper->next_ping_us = root->now_us + PING_US;
	keeper->pinged_us = root->now_us;
	// A broker with many orders on their way answers behind them; whoever orders is alive.
	bool answered = keeper->heard || keeper->sent_serial == keeper->answered_serial;
	keeper->unanswered = answered ? 0 : keeper->unanswered + 1;
	keeper->heard = false;
	keeper->stuck = stuck ? keeper->stuck + 1 : 0;
	if (keeper->unanswered >= PATIENCE || keeper->stuck >= PATIENCE) {
		keeper_kill(root, keeper->stuck >= PATIENCE ? "it does not read" : "it does not answer");
		return;
	}
	root->outbox.ping_serial = ++keeper->sent_serial;
	root->outbox.ping_due = true;
}

void keeper_tick(struct root *root)
{
	struct keeper *keeper = &root->keeper;
	const struct outbox *outbox = &root->outbox;
	if (keeper->pidfd < 0)
		return;
	if (outbox->gone) {
		if (outbox->fd >= 0) { // once: then wait for its death
			loop_unwatch(root, outbox->fd);
			fd_close(&root->outbox.fd);
			if (keeper->ready)
				keeper_kill(root, "its link is of no use any more");
			else // it is about to end, and has said why
				os_pidfd_signal(keeper->pidfd, SIGKILL);
		}
		return;
	}
	if (!root->configured) {
		if (keeper->started_us + CONFIG_US <= root->now_us)
			keeper_kill(root, "it sent no configuration");
		return;
	}
	if (keeper->next_ping_us <= root->now_us)
		ping(root);
}

uint64_t keeper_next_us(const struct root *root)
{
	const struct keeper *keeper = &root->keeper;
	if (keeper->pidfd < 0 || root->outbox.fd < 0)
		return ROOT_NEVER;
	return root->configured ? keeper->next_ping_us : keeper->started_us + CONFIG_US;
}
