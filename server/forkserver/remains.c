// Kills and reaps everything that is left below this process.
#include "server/forkserver/remains.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "server/common/clock.h"
#include "server/common/log.h"
#include "server/common/os.h"
#include "server/forkserver/walk.h"

#define WAIT_MAX_MS 100u

static bool is_spared(pid_t pid, const pid_t *spared, int n_spared)
{
	for (int i = 0; i < n_spared; i++)
		if (spared[i] == pid)
			return true;
	return false;
}

static int reap_all(void)
{
	struct os_exit seen = {.pid = 0};
	int reaped = 0;
	while (os_reap_any(&seen) == 0 && seen.pid != 0)
		reaped++;
	return reaped;
}

// A grandchild and below is opened first and verified to be where it was seen: its pid might have
// been reused since.
static void kill_below(pid_t pid, pid_t parent)
{
	struct walk_stat stat;
	int pidfd = os_pidfd_open(pid);
	if (pidfd < 0)
		return;
	if (walk_read_stat(pid, &stat) == 0 && stat.parent == parent)
		os_pidfd_signal(pidfd, SIGKILL);
	close(pidfd);
}

// Parents first, so that fewer are born meanwhile. Returns how many children this process has,
// negative where that cannot be found out.
static int kill_pass(struct walk *walk, int children_fd, const pid_t *spared, int n_spared)
{
	struct walk all = *walk;
	struct walk_entry entry;
	int children = 0;
	walk_begin(&all);
	if (walk_add_own_children(&all, children_fd) < 0) {
		log_error("cannot read the list of children");
		return -1; // not 0: nothing is known
	}
	uint32_t n = all.n, kept = 0;
	for (uint32_t i = 0; i < n; i++)
		if (!is_spared(all.entries[i].pid, spared, n_spared))
			all.entries[kept++] = all.entries[i];
	all.n = kept;
	children = (int)kept;
	// A parent is killed before its children are listed: it can have no more after that, and those
	// that its death sends here are found by the next pass.
	for (uint32_t i = 0; i < kept; i++)
		kill(all.entries[i].pid, SIGKILL);
	while (walk_next(&all, &entry))
		if (entry.parent != 0)
			kill_below(entry.pid, entry.parent);
	return children;
}

static void wait_ms(uint32_t ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&time, NULL);
}

int remains_kill(const pid_t *spared, int n_spared, uint32_t limit_ms)
{
	struct walk walk = {.entries = NULL};
	uint64_t changed_ms = now_ms();
	uint32_t pause_ms = 0;
	int children_fd = walk_open_own_children(), left = 0, before = 0;
	if (children_fd < 0 || walk_open(&walk) < 0) {
		log_error("cannot look for processes that are left");
		return -1;
	}
	while ((left = kill_pass(&walk, children_fd, spared, n_spared)) > 0) {
		int reaped = reap_all();
		if (reaped > 0 || left != before) {
			changed_ms = now_ms();
			pause_ms = 0;
		} else if (now_ms() - changed_ms > limit_ms) {
			break;
		}
		before = left;
		wait_ms(pause_ms);
		pause_ms = pause_ms == 0 ? 1 : (pause_ms < WAIT_MAX_MS ? pause_ms * 2 : WAIT_MAX_MS);
	}
	walk_close(&walk);
	close(children_fd);
	return left;
}
