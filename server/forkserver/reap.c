// Collects the dead and finds out when a tree is empty.
#include "server/forkserver/reap.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "server/common/clock.h"
#include "server/common/log.h"
#include "server/common/os.h"
#include "server/forkserver/root.h"
#include "server/forkserver/stdin.h"

#define LEADER        UINT32_MAX
#define STORM         64u // orphans that die between two looks: no program does that
#define ROUNDS_MAX    4
#define SWEEP_US      10000u   // the longest that a turn spends on the dead
#define SCAN_SHARE    4u       // a scan is followed by so many times its duration without one
#define LOOK_AGAIN_US 1000000u // should a notice of death ever be missed
#define UNREADABLE_US 100000u
#define RETRY_MAX_MS  1000u

static void *reserve(size_t bytes)
{
	void *memory = mmap(
	    NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

int reap_open(struct reaper *reaper)
{
	memset(reaper, 0, sizeof(*reaper));
	TAILQ_INIT(&reaper->leaderless);
	TAILQ_INIT(&reaper->retries);
	reaper->role_of = reserve(WALK_PID_MAX * sizeof(uint32_t));
	reaper->by_pid = reserve(WALK_PID_MAX * sizeof(struct orphan));
	reaper->orphans = reserve(WALK_PID_MAX * sizeof(struct orphan *));
	if (!reaper->role_of || !reaper->by_pid || !reaper->orphans)
		return -ENOMEM;
	reaper->children_fd = walk_open_own_children();
	if (reaper->children_fd < 0)
		return reaper->children_fd;
	return walk_open(&reaper->children);
}

void reap_know_leader(struct root *root, struct slot *slot)
{
	if ((uint32_t)slot->pid < WALK_PID_MAX)
		root->reaper.role_of[slot->pid] = LEADER;
}

// --- leaders ------------------------------------------------------------------------------------

static uint64_t to_us(struct timeval time)
{
	return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_usec;
}

static void note_exit(struct slot *slot, const struct os_exit *seen)
{
	const struct rusage *usage = &seen->usage;
	slot->code_kind = seen->code_kind;
	slot->status = seen->status;
	slot->usage = (struct link_usage){.user_us = to_us(usage->ru_utime),
	    .system_us = to_us(usage->ru_stime),
	    .max_rss_kib = (uint64_t)usage->ru_maxrss,
	    .minor_faults = (uint64_t)usage->ru_minflt,
	    .major_faults = (uint64_t)usage->ru_majflt,
	    .in_blocks = (uint64_t)usage->ru_inblock,
	    .out_blocks = (uint64_t)usage->ru_oublock,
	    .voluntary_switches = (uint64_t)usage->ru_nvcsw,
	    .involuntary_switches = (uint64_t)usage->ru_nivcsw};
}

static void retry_later(struct root *root, struct slot *slot)
{
	struct reaper *reaper = &root->reaper;
	if (slot->reap_next_us != 0)
		TAILQ_REMOVE(&reaper->retries, slot, retry_queue);
	slot->reap_wait_ms = slot->reap_wait_ms == 0 ? 1 : slot->reap_wait_ms * 2;
	if (slot->reap_wait_ms > RETRY_MAX_MS)
		slot->reap_wait_ms = RETRY_MAX_MS;
	slot->reap_next_us = root->now_us + slot->reap_wait_ms * 1000ull;
	TAILQ_INSERT_TAIL(&reaper->retries, slot, retry_queue);
}

static void stop_retrying(struct root *root, struct slot *slot)
{
	if (slot->reap_next_us != 0)
		TAILQ_REMOVE(&root->reaper.retries, slot, retry_queue);
	slot->reap_next_us = 0;
}

static void leader_is_gone(struct root *root, struct slot *slot)
{
	struct reaper *reaper = &root->reaper;
	slot->state = SLOT_LEADER_GONE;
	slot->exited_ms = now_ms();
	outbox_mark(root, slot, UNSENT_LEADER_EXITED);
	TAILQ_INSERT_TAIL(&reaper->leaderless, slot, tree_queue);
	reaper->scan_wanted = true;
}

// A readable pidfd does not always mean that the status can be had: a tracer may hold it. The event
// comes once, so that this does not spin.
void reap_on_leader(struct root *root, struct slot *slot)
{
	struct os_exit seen;
	if (slot->pidfd < 0)
		return;
	start_on_death(root, slot); // whatever happened on its way is told first
	int r = os_reap_pidfd(slot->pidfd, &seen);
	if ((r == 0 && seen.pid == 0) || (r < 0 && r != -ECHILD)) {
		retry_later(root, slot);
		return;
	}
	stop_retrying(root, slot);
	if ((uint32_t)slot->pid < WALK_PID_MAX)
		root->reaper.role_of[slot->pid] = 0;
	root_close_fd(root, slot, &slot->pidfd);
	if (r < 0) // code_kind stays LINK_STATUS_LOST
		log_error("the status of process %d is lost: %s", (int)slot->pid, strerror(-r));
	else
		note_exit(slot, &seen);
	if (slot->state == SLOT_LIVE)
		leader_is_gone(root, slot);
	else if (slot->state == SLOT_FAILED && slot->drop_wanted)
		root_forget(root, slot);
}

// --- orphans ------------------------------------------------------------------------------------

// False: whose it is cannot be read now.
static bool adopt(struct root *root, pid_t pid)
{
	struct reaper *reaper = &root->reaper;
	struct orphan *orphan = &reaper->by_pid[pid];
	struct slot *owner;
	if (contain_owner(root, pid, &owner) < 0)
		return false;
	if (owner)
		owner->seen_scan = reaper->scan;
	*orphan = (struct orphan){.pid = pid, .owner = owner, .place = reaper->n_orphans};
	reaper->orphans[reaper->n_orphans++] = orphan;
	reaper->role_of[pid] = 1 + orphan->place;
	if (!owner) {
		contain_spoil(root, pid);
		return true;
	}
	LIST_INSERT_HEAD(&owner->orphans, orphan, of_owner);
	kill_loop_on_new_member(owner);
	return true;
}

static void disown(struct root *root, struct orphan *orphan)
{
	struct reaper *reaper = &root->reaper;
	struct orphan *last = reaper->orphans[--reaper->n_orphans];
	reaper->orphans[orphan->place] = last;
	reaper->role_of[last->pid] = 1 + orphan->place;
	last->place = orphan->place;
	reaper->role_of[orphan->pid] = 0;
	if (orphan->owner)
		LIST_REMOVE(orphan, of_owner);
}

// A tree in which an orphan has died may be empty now, or its children may have come to us. The
// newest come first: of a bomb, those are the dead ones.
static bool reap_orphans(struct root *root)
{
	struct reaper *reaper = &root->reaper;
	uint64_t begun_us = now_us();
	uint32_t reaped = 0;
	for (uint32_t i = reaper->n_orphans; i-- > 0;) {
		struct os_exit seen;
		struct orphan *orphan = reaper->orphans[i];
		int r = os_reap_pid(orphan->pid, &seen);
		if (r == 0 && seen.pid == 0)
			continue;
		reaped++;
		reaper->scan_wanted = true;
		disown(root, orphan);
		if (reaped == STORM)
			priority_want(root, PRIORITY_STORM, true);
		if (i % 64 == 0 && now_us() - begun_us > SWEEP_US)
			break;
	}
	return reaped > 0;
}

static bool is_known(const struct root *root, pid_t pid)
{
	return pid == root->keeper.pid || root->reaper.role_of[pid] != 0;
}

static void tree_is_empty(struct root *root, struct slot *slot)
{
	TAILQ_REMOVE(&root->reaper.leaderless, slot, tree_queue);
	slot->state = SLOT_EMPTY;
	slot->empty_ms = now_ms();
	slot->proof = contain_proof(slot);
	root->alive--;
	kill_loop_forget(root, slot);
	root_close_fd(root, slot, &slot->cancel_fd);
	if (slot->stdin_fd >= 0)
		stdin_close(root, slot);
	outbox_mark(root, slot, UNSENT_TREE_EMPTY);
	pipes_on_tree_empty(root, slot);
}

// Members that are only waiting to be reaped do not count as left.
static void tell_left(struct root *root, struct slot *slot)
{
	slot->left_alive = members_count(root, slot);
	if (slot->left_alive != 0)
		outbox_mark(root, slot, UNSENT_TREE_LEFT);
}

static void settle_trees(struct root *root)
{
	struct slot *slot, *next;
	for (slot = TAILQ_FIRST(&root->reaper.leaderless); slot; slot = next) {
		next = TAILQ_NEXT(slot, tree_queue);
		if (slot->seen_scan != root->reaper.scan)
			tree_is_empty(root, slot);
		else if (slot->left_alive == 0)
			tell_left(root, slot);
	}
}

void reap_scan(struct root *root)
{
	struct reaper *reaper = &root->reaper;
	struct walk *children = &reaper->children;
	uint64_t begun_us = now_us();
	reaper->scan_wanted = false;
	reaper->scan++;
	walk_begin(children);
	if (walk_add_own_children(children, reaper->children_fd) < 0) {
		log_error("cannot read the list of children"); // so it proves no tree empty: once more
		reaper->scan_wanted = true;
		reaper->scan_after_us = reaper->scan_latest_us = begun_us + UNREADABLE_US;
		return;
	}
	for (uint32_t i = 0; i < reaper->n_orphans; i++)
		if (reaper->orphans[i]->owner)
			reaper->orphans[i]->owner->seen_scan = reaper->scan;
	uint32_t before = reaper->n_orphans;
	bool complete = true;
	for (uint32_t i = 0; i < children->n; i++) {
		pid_t pid = children->entries[i].pid;
		if ((uint32_t)pid >= WALK_PID_MAX || is_known(root, pid))
			continue;
		complete &= adopt(root, pid);
		if (reaper->n_orphans == before + STORM)
			priority_want(root, PRIORITY_STORM, true);
	}
	if (reaper->n_orphans < before + STORM)
		priority_want(root, PRIORITY_STORM, false);
	if (complete)
		settle_trees(root);
	else
		reaper->scan_wanted = true; // whoever could not be read may be anybody's member
	uint64_t end_us = now_us();
	reaper->scan_after_us = end_us + SCAN_SHARE * (end_us - begun_us);
	reaper->scan_latest_us = end_us + LOOK_AGAIN_US;
	if (!complete)
		reaper->scan_after_us = end_us + UNREADABLE_US;
}

// Each at most once: whoever still cannot be collected goes to the end of the queue.
static void retry_leaders(struct root *root)
{
	struct slot_queue *retries = &root->reaper.retries;
	struct slot *slot, *next, *last = TAILQ_LAST(retries, slot_queue);
	for (slot = TAILQ_FIRST(retries); slot; slot = next) {
		next = slot == last ? NULL : TAILQ_NEXT(slot, retry_queue);
		if (slot->reap_next_us <= root->now_us || root->reaper.children_died)
			reap_on_leader(root, slot);
	}
}

void reap_sweep(struct root *root)
{
	reap_orphans(root);
	uint32_t known = root->reaper.n_orphans;
	reap_scan(root);
	if (root->reaper.n_orphans > known && reap_orphans(root))
		root->reaper.children_died = true;
}

void reap_tick(struct root *root)
{
	struct reaper *reaper = &root->reaper;
	if (!TAILQ_EMPTY(&reaper->retries))
		retry_leaders(root);
	if (!TAILQ_EMPTY(&reaper->leaderless) && reaper->scan_latest_us <= root->now_us)
		reaper->scan_wanted = reaper->children_died = true;
	if ((!reaper->scan_wanted && !reaper->children_died) || root->now_us < reaper->scan_after_us)
		return;
	for (int round = 0; round < ROUNDS_MAX; round++) {
		bool died = reaper->children_died;
		reaper->children_died = false;
		// Reaping first: whom it takes, no scan needs to look at.
		if (died && reap_orphans(root))
			reaper->children_died = true; // there may be more
		uint32_t adopted_before = reaper->n_orphans;
		reap_scan(root);
		// Whom the scan has just adopted may be what died.
		if (died && reaper->n_orphans > adopted_before)
			reaper->children_died = true;
		if (!reaper->children_died)
			return;
	}
}

uint64_t reap_next_us(const struct root *root)
{
	const struct reaper *reaper = &root->reaper;
	uint64_t next = ROOT_NEVER;
	const struct slot *slot;
	if (reaper->scan_wanted || reaper->children_died)
		next = reaper->scan_after_us;
	else if (!TAILQ_EMPTY(&reaper->leaderless))
		next = reaper->scan_latest_us;
	TAILQ_FOREACH(slot, &reaper->retries, retry_queue)
	if (slot->reap_next_us < next)
		next = slot->reap_next_us;
	return next;
}

void reap_forget(struct root *root, struct slot *slot)
{
	stop_retrying(root, slot);
	if (slot->state == SLOT_LEADER_GONE)
		TAILQ_REMOVE(&root->reaper.leaderless, slot, tree_queue);
	struct orphan *orphan;
	while ((orphan = LIST_FIRST(&slot->orphans))) {
		LIST_REMOVE(orphan, of_owner);
		orphan->owner = NULL;
	}
}
