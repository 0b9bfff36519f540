// Passes over the members of a tree.
#include "server/forkserver/members.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "server/common/cleanup.h"
#include "server/common/clock.h"
#include "server/common/os.h"
#include "server/forkserver/root.h"

#define PASS_MAX_US       20000u
#define STATS_A_KILL_PASS 256u // beyond so many, members are killed without being looked at
#define DEPTH_MAX         4096

int members_open(struct members *members)
{
	members->seen = mmap(NULL, WALK_PID_MAX * sizeof(struct members_seen), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (members->seen == MAP_FAILED)
		return -ENOMEM;
	return walk_open(&members->walk);
}

uint32_t members_new_serial(struct root *root)
{
	return ++root->members.next_serial;
}

// Was it not met by this act or kill loop before? A reused pid shows by its start time, where that
// is known.
static bool is_fresh(struct root *root, const struct members_pass *pass, pid_t pid, uint32_t start)
{
	struct members_seen *seen = &root->members.seen[(uint32_t)pid % WALK_PID_MAX];
	bool fresh =
	    seen->serial != pass->serial || (start != 0 && seen->start != 0 && seen->start != start);
	seen->serial = pass->serial;
	seen->start = start;
	return fresh;
}

// Somebody without the tag (privileged programs may change it) is a member by descent: the way up
// must lead to a child of this process that is the leader or an adopted member.
static bool descends(struct root *root, const struct slot *slot, pid_t pid)
{
	struct walk_stat stat;
	for (int depth = 0; depth < DEPTH_MAX && pid > 1; depth++) {
		if (walk_read_stat(pid, &stat) < 0)
			return false;
		if (stat.parent == root->pid) {
			const struct orphan *orphan;
			if (slot->pidfd >= 0 && slot->pid == pid)
				return true;
			LIST_FOREACH(orphan, &slot->orphans, of_owner)
			if (orphan->pid == pid)
				return true;
			return false;
		}
		pid = stat.parent;
	}
	return false;
}

// Opens a member that is not a child of this process. It is verified while the descriptor is open,
// and the process is still there afterwards: so what was verified is what the descriptor names.
static int open_member(struct root *root, const struct slot *slot, pid_t pid)
{
	int pidfd = os_pidfd_open(pid);
	if (pidfd < 0)
		return pidfd;
	struct slot *owner = NULL;
	bool is_member =
	    (contain_owner(root, pid, &owner) == 0 && owner == slot) || descends(root, slot, pid);
	if (is_member && os_pidfd_signal(pidfd, 0) != -ESRCH)
		return pidfd;
	close(pidfd);
	return -ESRCH;
}

static bool deliver(const struct members_pass *pass, pid_t pid, int pidfd)
{
	int r = pidfd >= 0 ? os_pidfd_signal(pidfd, pass->signal)
	                   : (kill(pid, pass->signal) < 0 ? -errno : 0);
	if (r < 0)
		return false;
	if (pass->then_continue) {
		if (pidfd >= 0)
			os_pidfd_signal(pidfd, SIGCONT);
		else
			kill(pid, SIGCONT);
	}
	return true;
}

static uint32_t why_blocked(pid_t pid, const struct link_member *member)
{
	if (strstr(member->waits_in, "freezer") || strstr(member->waits_in, "refrigerator"))
		return LINK_BLOCKED_FROZEN;
	if (member->state == 't' || walk_is_traced(pid))
		return LINK_BLOCKED_TRACED;
	return member->state == 'D' ? LINK_BLOCKED_UNINTERRUPTIBLE : LINK_BLOCKED_OTHER;
}

static void note(struct members_report *report, pid_t pid, const struct walk_stat *stat)
{
	if (report->n_alive < LINK_MEMBERS_MAX) {
		struct link_member *member = &report->members[report->n_alive];
		memset(member, 0, sizeof(*member));
		member->pid = (uint32_t)pid;
		member->state = stat->state;
		memcpy(member->comm, stat->comm, sizeof(member->comm));
		walk_read_wchan(pid, member->waits_in, sizeof(member->waits_in));
		if (report->diagnoses &&
		    (report->blocked == LINK_BLOCKED_NO || report->blocked == LINK_BLOCKED_OTHER))
			report->blocked = why_blocked(pid, member);
	}
	report->n_alive++;
}

static bool is_in_scope(const struct members_pass *pass, pid_t pid, const struct walk_stat *stat)
{
	if (pass->scope == LINK_SCOPE_LEADER)
		return pid == pass->slot->pid && pass->slot->pidfd >= 0;
	return pass->scope == LINK_SCOPE_TREE || stat->group == pass->slot->pid;
}

// One member: looked at, counted, signalled. Looking costs three calls, so a long kill pass omits
// it.
static void visit(struct root *root, struct members_pass *pass, pid_t pid, bool is_own_child)
{
	struct walk_stat stat = {.threads = 0};
	CLEANUP_FD int pidfd = -1;
	bool looks = pass->report || pass->signal != SIGKILL;
	if (pass->signal == SIGKILL && pass->scope == LINK_SCOPE_TREE &&
	    pass->found >= STATS_A_KILL_PASS)
		looks = false;
	if (!is_own_child) {
		pidfd = open_member(root, pass->slot, pid);
		if (pidfd < 0)
			return;
	}
	if (looks && (walk_read_stat(pid, &stat) < 0 || !walk_is_alive(&stat)))
		return;
	pass->found++;
	bool fresh = is_fresh(root, pass, pid, (uint32_t)stat.start_ticks);
	pass->fresh += fresh;
	if (pass->report && fresh) {
		if (looks)
			note(pass->report, pid, &stat);
		else
			pass->report->n_alive++;
	}
	bool wanted = pass->signal != 0 && (fresh || pass->signal == SIGKILL);
	if (wanted && is_in_scope(pass, pid, &stat) && deliver(pass, pid, pidfd) && fresh)
		pass->hit++;
}

// The children of each are read before it is signalled.
void members_pass(struct root *root, struct members_pass *pass)
{
	struct walk *walk = &root->members.walk;
	struct walk_entry entry;
	const struct orphan *orphan;
	walk_begin(walk);
	if (pass->slot->state == SLOT_LIVE && pass->slot->pidfd >= 0)
		walk_add(walk, pass->slot->pid, 0);
	LIST_FOREACH(orphan, &pass->slot->orphans, of_owner)
	walk_add(walk, orphan->pid, 0);
	uint64_t begun_us = now_us();
	while (walk_next(walk, &entry)) {
		visit(root, pass, entry.pid, entry.parent == 0);
		if (walk->next % 64 == 0 && now_us() - begun_us > PASS_MAX_US)
			break; // of a bomb, the rest is met by a later pass
	}
}

void members_signal_all(struct root *root, struct slot *slot, int signal)
{
	struct members_pass pass = {.slot = slot,
	    .serial = members_new_serial(root),
	    .signal = signal,
	    .then_continue = true,
	    .scope = LINK_SCOPE_TREE};
	members_pass(root, &pass);
}

uint32_t members_count(struct root *root, struct slot *slot)
{
	struct members_pass pass = {.slot = slot, .serial = members_new_serial(root)};
	members_pass(root, &pass);
	return pass.found;
}
