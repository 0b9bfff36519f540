// The first process of the server: the parent of the root.
#include "server/forkserver/guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/common/cleanup.h"
#include "server/common/log.h"
#include "server/common/os.h"
#include "server/forkserver/remains.h"
#include "server/forkserver/walk.h"

#define SPARED_MAX       256
#define REMAINS_LIMIT_MS 10000u

// Children that this process had before it became a guard: whoever executed it from a shell may
// have left some. They are nobody's business here.
static struct {
	pid_t pids[SPARED_MAX];
	int n;
} earlier;

int guard_prepare(void)
{
	struct walk children;
	int r = walk_open(&children);
	if (r < 0)
		return r;
	CLEANUP_FD int fd = walk_open_own_children();
	if (fd < 0)
		return fd;
	walk_begin(&children);
	walk_add_own_children(&children, fd);
	for (uint32_t i = 0; i < children.n && earlier.n < SPARED_MAX; i++)
		earlier.pids[earlier.n++] = children.entries[i].pid;
	walk_close(&children);
	return os_become_subreaper();
}

static void forward(int signals, int root_pidfd)
{
	struct signalfd_siginfo info;
	while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		os_pidfd_signal(root_pidfd, (int)info.ssi_signo);
}

static int open_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

// Ends as the root ended, without a second core file.
static int end_like(const struct os_exit *end)
{
	struct rlimit none = {0, 0};
	sigset_t set;
	if (end->code_kind == CLD_EXITED)
		return end->status;
	setrlimit(RLIMIT_CORE, &none);
	signal(end->status, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, end->status);
	kill(getpid(), end->status);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return 128 + end->status;
}

static int wait_for_root(int root_pidfd, int signals, struct notify *notify)
{
	struct pollfd fds[3] = {
	    {.fd = root_pidfd, .events = POLLIN},
	    {.fd = signals, .events = POLLIN},
	    {.fd = notify->fd, .events = POLLIN},
	};
	for (;;) {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			forward(signals, root_pidfd);
		if (fds[2].revents && notify_pass_on(notify) < 0)
			fds[2].fd = -1;
		if (fds[0].revents)
			return 0;
	}
}

int guard_run(pid_t root_pid, struct notify *notify)
{
	struct os_exit end = {.code_kind = CLD_EXITED, .status = 1};
	CLEANUP_FD int root_pidfd = os_pidfd_open(root_pid);
	CLEANUP_FD int signals = open_signals();
	if (root_pidfd < 0 || signals < 0) {
		log_error("the guard cannot watch the root");
		kill(root_pid, SIGKILL);
	} else {
		wait_for_root(root_pidfd, signals, notify);
	}
	// A tracer may hold the dead root back; then its status is lost, not this process's time.
	for (int tries = 0; tries < 100; tries++) {
		if (root_pidfd >= 0 && os_reap_pidfd(root_pidfd, &end) == 0 && end.pid != 0)
			break;
		poll(NULL, 0, 10);
	}
	if (end.code_kind != CLD_EXITED)
		log_error("the root was ended by signal %d: what it leaves is killed", end.status);
	int left = remains_kill(earlier.pids, earlier.n, REMAINS_LIMIT_MS);
	if (left != 0)
		log_error("%d processes could not be ended", left);
	return end_like(&end);
}
