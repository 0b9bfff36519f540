// Acts on the members of a tree.
#include "server/forkserver/tree.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "server/common/cleanup.h"
#include "server/common/clock.h"
#include "server/common/log.h"
#include "server/common/os.h"
#include "server/forkserver/root.h"
#include "server/forkserver/stdin.h"

#define ROUNDS_MAX        16
#define TURN_BUDGET_US    10000u
#define PASS_MAX_US       20000u
#define KILL_WAIT_MAX_MS  1000u
#define BOMB              16u  // new members in one pass: a bomb, not a program
#define STATS_A_KILL_PASS 256u // beyond so many, members are killed without being looked at

// What one pass over a tree does and finds.
struct pass {
	struct slot *slot;
	uint32_t seen_serial;
	int signal; // 0: only looks
	bool then_continue;
	enum link_scope scope;
	struct tree_act *report; // NULL: nobody wants to know who was alive
	uint32_t found, fresh, hit;
};

int trees_open(struct trees *trees)
{
	TAILQ_INIT(&trees->killing);
	trees->seen = mmap(NULL, WALK_PID_MAX * sizeof(struct tree_seen), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	trees->acts = mmap(NULL, TREE_ACTS_MAX * sizeof(struct tree_act), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (trees->seen == MAP_FAILED || trees->acts == MAP_FAILED)
		return -ENOMEM;
	return walk_open(&trees->walk);
}

// --- members ------------------------------------------------------------------------------------

// Was it not met by this act or kill loop before? A reused pid shows by its start time, where that
// is known.
static bool is_fresh(struct root *root, const struct pass *pass, pid_t pid, uint32_t start)
{
	struct tree_seen *seen = &root->trees.seen[(uint32_t)pid % WALK_PID_MAX];
	bool fresh = seen->serial != pass->seen_serial ||
	             (start != 0 && seen->start != 0 && seen->start != start);
	seen->serial = pass->seen_serial;
	seen->start = start;
	return fresh;
}

// Somebody without the tag (privileged programs may change it) is a member by descent: the way up
// must lead to a child of this process that is the leader or an adopted member.
static bool descends(struct root *root, const struct slot *slot, pid_t pid)
{
	struct walk_stat stat;
	for (int depth = 0; depth < 4096 && pid > 1; depth++) {
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

static bool deliver(const struct pass *pass, pid_t pid, int pidfd)
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

static void report(struct tree_act *act, pid_t pid, const struct walk_stat *stat)
{
	if (act->n_alive < LINK_MEMBERS_MAX) {
		struct link_member *member = &act->members[act->n_alive];
		memset(member, 0, sizeof(*member));
		member->pid = (uint32_t)pid;
		member->state = stat->state;
		memcpy(member->comm, stat->comm, sizeof(member->comm));
		walk_read_wchan(pid, member->waits_in, sizeof(member->waits_in));
		if (act->is_look && (act->blocked == LINK_BLOCKED_NO || act->blocked == LINK_BLOCKED_OTHER))
			act->blocked = why_blocked(pid, member);
	}
	act->n_alive++;
}

static bool is_in_scope(const struct pass *pass, pid_t pid, const struct walk_stat *stat)
{
	if (pass->scope == LINK_SCOPE_LEADER)
		return pid == pass->slot->pid && pass->slot->pidfd >= 0;
	return pass->scope == LINK_SCOPE_TREE || stat->group == pass->slot->pid;
}

// One member: looked at, counted, signalled. Looking costs three calls, so a long kill pass omits
// it.
static void visit(struct root *root, struct pass *pass, pid_t pid, bool is_own_child)
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
			report(pass->report, pid, &stat);
		else
			pass->report->n_alive++;
	}
	bool wanted = pass->signal != 0 && (fresh || pass->signal == SIGKILL);
	if (wanted && is_in_scope(pass, pid, &stat) && deliver(pass, pid, pidfd) && fresh)
		pass->hit++;
}

// Those that are children of this process cannot be mistaken and are killed at once, before the
// slow reading of the tree below them: of a bomb they are nearly all.
static void kill_own_children(const struct pass *pass)
{
	const struct orphan *orphan;
	LIST_FOREACH(orphan, &pass->slot->orphans, of_owner)
	kill(orphan->pid, SIGKILL);
	if (pass->slot->state == SLOT_LIVE && pass->slot->pidfd >= 0)
		kill(pass->slot->pid, SIGKILL);
}

// Parents before children. The children of each are read before it is signalled.
static void run_pass(struct root *root, struct pass *pass)
{
	struct walk *walk = &root->trees.walk;
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

// --- the kill loop ------------------------------------------------------------------------------

void tree_kill(struct root *root, struct slot *slot)
{
	if (!slot->killing) {
		slot->killing = true;
		slot->kill_serial = ++root->trees.next_serial;
		TAILQ_INSERT_TAIL(&root->trees.killing, slot, kill_queue);
	}
	slot->kill_next_us = 0;
	slot->kill_wait_ms = 0;
}

void tree_on_new_member(struct root *root, struct slot *slot)
{
	(void)root;
	if (slot->killing)
		slot->kill_next_us = slot->kill_wait_ms = 0;
}

static uint32_t kill_once(struct root *root, struct slot *slot)
{
	struct pass pass = {.slot = slot,
	    .seen_serial = slot->kill_serial,
	    .signal = SIGKILL,
	    .scope = LINK_SCOPE_TREE};
	kill_own_children(&pass);
	run_pass(root, &pass);
	if (pass.fresh > 0) {
		slot->kill_wait_ms = 0;
	} else {
		slot->kill_wait_ms = slot->kill_wait_ms == 0 ? 1 : slot->kill_wait_ms * 2;
		if (slot->kill_wait_ms > KILL_WAIT_MAX_MS)
			slot->kill_wait_ms = KILL_WAIT_MAX_MS;
	}
	slot->kill_next_us = now_us() + slot->kill_wait_ms * 1000ull;
	return pass.fresh;
}

static bool is_kill_due(const struct root *root)
{
	const struct slot *slot;
	TAILQ_FOREACH(slot, &root->trees.killing, kill_queue)
	if (slot->kill_next_us <= root->now_us)
		return true;
	return false;
}

// A slot that has had its pass goes to the end, so that no tree keeps others from theirs.
static void run_kills(struct root *root)
{
	struct slot_queue *killing = &root->trees.killing;
	uint64_t begun_us = now_us();
	uint32_t fresh = 0;
	if (!is_kill_due(root))
		return;
	reap_sweep(root); // whoever was orphaned since is found in its tree
	struct slot *last = TAILQ_LAST(killing, slot_queue), *slot, *next;
	for (slot = TAILQ_FIRST(killing); slot; slot = next) {
		next = slot == last ? NULL : TAILQ_NEXT(slot, kill_queue);
		if (slot->kill_next_us > root->now_us)
			continue;
		fresh += kill_once(root, slot);
		TAILQ_REMOVE(killing, slot, kill_queue);
		TAILQ_INSERT_TAIL(killing, slot, kill_queue);
		if (now_us() - begun_us > TURN_BUDGET_US)
			break;
	}
	if (fresh >= BOMB || fresh == 0)
		priority_want(root, PRIORITY_BOMB, fresh != 0);
}

// --- orders -------------------------------------------------------------------------------------

static struct tree_act *add_act(struct root *root, uint64_t process_id, uint64_t serial)
{
	struct trees *trees = &root->trees;
	if (trees->n_acts == TREE_ACTS_MAX)
		return NULL;
	struct tree_act *act = &trees->acts[trees->n_acts++];
	memset(act, 0, sizeof(*act));
	act->process_id = process_id;
	act->serial = serial;
	trees->acts_due = true;
	return act;
}

static void answer(struct root *root, const struct tree_act *act)
{
	if (act->is_look) {
		struct link_members m = {.header = {.kind = LINK_MEMBERS, .size = sizeof(m)},
		    .process_id = act->process_id,
		    .serial = act->serial,
		    .blocked = act->blocked,
		    .n_alive = act->n_alive};
		memcpy(m.members, act->members, sizeof(m.members));
		outbox_answer(root, &m);
		return;
	}
	struct link_acted m = {.header = {.kind = LINK_ACTED, .size = sizeof(m)},
	    .process_id = act->process_id,
	    .serial = act->serial,
	    .rung = act->rung,
	    .error = act->error,
	    .hit = act->hit,
	    .at_ms = act->at_ms,
	    .n_alive = act->n_alive};
	memcpy(m.members, act->members, sizeof(m.members));
	outbox_answer(root, &m);
}

void tree_order_act(struct root *root, const struct link_act *order)
{
	struct slot *slot = slots_find(&root->slots, order->process_id);
	struct tree_act refused = {.process_id = order->process_id,
	    .serial = order->serial,
	    .rung = order->rung,
	    .at_ms = root_now_ms(root)};
	struct tree_act *act = &refused;
	refused.error = !slot ? ESRCH : 0;
	if (slot && order->rung != 0 && order->rung <= slot->rung)
		refused.error = EALREADY;
	if (refused.error == 0) {
		act = add_act(root, order->process_id, order->serial);
		if (!act) {
			act = &refused;
			refused.error = EAGAIN;
		}
	}
	if (act == &refused) {
		answer(root, &refused);
		return;
	}
	act->rung = order->rung;
	act->action = order->action;
	act->signal = order->signal;
	act->scope = order->scope;
	if (order->rung != 0)
		slot->rung = order->rung;
	if (order->keepsake_size > 0)
		slot_keep(slot, order->keepsake, order->keepsake_size);
}

void tree_order_look(struct root *root, const struct link_look *order)
{
	struct tree_act *act = add_act(root, order->process_id, order->serial);
	if (act) {
		act->is_look = true;
		act->scope = LINK_SCOPE_TREE;
		return;
	}
	struct tree_act nobody = {
	    .process_id = order->process_id, .serial = order->serial, .is_look = true};
	answer(root, &nobody);
}

void tree_on_started(struct root *root)
{
	root->trees.acts_due = root->trees.n_acts > 0;
}

static bool is_starting(const struct slot *slot)
{
	return slot && (slot->state == SLOT_WAITING || slot->state == SLOT_STARTING);
}

static bool is_over(const struct slot *slot)
{
	return !slot || slot->state == SLOT_FAILED || slot->state == SLOT_EMPTY;
}

// STOP, and CONT itself, must not be undone by a CONT behind them; nor is a plain signal a rung.
static bool is_followed_by_cont(const struct tree_act *act)
{
	switch (act->signal) {
	case SIGKILL:
	case SIGCONT:
	case SIGSTOP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		return false;
	default:
		return act->rung != 0;
	}
}

// One pass for an act. Without a signal to send it only counts who is alive.
static void pass_for(struct root *root, struct tree_act *act, struct slot *slot)
{
	struct pass pass = {.slot = slot,
	    .seen_serial = act->seen_serial,
	    .signal = act->action == LINK_ACTION_SIGNAL && !act->is_look ? (int)act->signal : 0,
	    .then_continue = is_followed_by_cont(act),
	    .scope = act->scope,
	    .report = act};
	run_pass(root, &pass);
	act->hit += pass.hit;
	act->again = pass.fresh > 0 && pass.signal != 0 && pass.signal != SIGKILL &&
	             act->scope != LINK_SCOPE_LEADER;
}

static void carry_out(struct root *root, struct tree_act *act)
{
	struct slot *slot = slots_find(&root->slots, act->process_id);
	act->at_ms = now_ms();
	act->seen_serial = ++root->trees.next_serial;
	if (is_over(slot)) {
		act->error = ESRCH;
		return;
	}
	pass_for(root, act, slot);
	if (act->is_look) {
		// Dead, but the status cannot be had yet: only a tracer keeps it back.
		if (act->blocked == LINK_BLOCKED_NO && slot->reap_next_us != 0)
			act->blocked = LINK_BLOCKED_TRACED;
		return;
	}
	if (act->action == LINK_ACTION_CLOSE_STDIN) {
		act->hit = stdin_close(root, slot);
		act->error = act->hit ? 0 : EINVAL;
	} else if (act->action == LINK_ACTION_CANCEL_NOTICE) {
		act->hit = slot->cancel_fd >= 0;
		act->error = act->hit ? 0 : EINVAL;
		root_close_fd(root, slot, &slot->cancel_fd);
	} else if (act->signal == SIGKILL && act->scope == LINK_SCOPE_TREE) {
		tree_kill(root, slot);
	}
}

// Does any of them need to know who was orphaned of late?
static bool needs_scan(const struct root *root, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (root->trees.acts[i].scope != LINK_SCOPE_LEADER)
			return true;
	return false;
}

// Moves what must wait for a start behind what is due; returns how many are due.
static uint32_t sort_due(struct root *root)
{
	static struct tree_act due[TREE_ACTS_MAX], later[TREE_ACTS_MAX];
	struct trees *trees = &root->trees;
	uint32_t n_due = 0, n_later = 0;
	for (uint32_t i = 0; i < trees->n_acts; i++) {
		const struct tree_act *act = &trees->acts[i];
		if (is_starting(slots_find(&root->slots, act->process_id)))
			later[n_later++] = *act;
		else
			due[n_due++] = *act;
	}
	memcpy(trees->acts, due, n_due * sizeof(*due));
	memcpy(trees->acts + n_due, later, n_later * sizeof(*later));
	return n_due;
}

// A member that forked while it was being signalled has a child that was not: passes go on until
// none meets anybody new.
static void repeat(struct root *root, uint32_t first, uint32_t end)
{
	uint64_t begun_us = now_us();
	for (int round = 1; round < ROUNDS_MAX && now_us() - begun_us < TURN_BUDGET_US; round++) {
		bool any = false, scanned = false;
		for (uint32_t i = first; i < end; i++) {
			struct tree_act *act = &root->trees.acts[i];
			struct slot *slot = act->again ? slots_find(&root->slots, act->process_id) : NULL;
			if (!slot)
				continue;
			if (act->n_alive > 1 && !scanned) {
				reap_sweep(root);
				scanned = true;
			}
			pass_for(root, act, slot);
			any = true;
		}
		if (!any)
			return;
	}
}

// Where the acts from first on that are for different processes end. Two for one process go one
// after the other: only the last act that met a member is remembered, and mixed passes would each
// take its members for new ones and signal them again.
static uint32_t end_of_batch(const struct trees *trees, uint32_t first, uint32_t n_due)
{
	uint32_t end = first + 1;
	for (; end < n_due; end++)
		for (uint32_t i = first; i < end; i++)
			if (trees->acts[i].process_id == trees->acts[end].process_id)
				return end;
	return end;
}

static void run_acts(struct root *root)
{
	struct trees *trees = &root->trees;
	if (!trees->acts_due)
		return;
	trees->acts_due = false;
	uint32_t n_due = sort_due(root);
	if (n_due == 0)
		return;
	if (needs_scan(root, n_due))
		reap_sweep(root);
	for (uint32_t first = 0, end; first < n_due; first = end) {
		end = end_of_batch(trees, first, n_due);
		for (uint32_t i = first; i < end; i++)
			carry_out(root, &trees->acts[i]);
		repeat(root, first, end);
	}
	for (uint32_t i = 0; i < n_due; i++) {
		struct tree_act *act = &trees->acts[i];
		if (act->error == 0 && act->hit == 0)
			act->error = ESRCH;
		answer(root, act);
	}
	trees->n_acts -= n_due;
	memmove(trees->acts, trees->acts + n_due, trees->n_acts * sizeof(*trees->acts));
}

void tree_signal_all(struct root *root, struct slot *slot, int signal)
{
	struct pass pass = {.slot = slot,
	    .seen_serial = ++root->trees.next_serial,
	    .signal = signal,
	    .then_continue = true,
	    .scope = LINK_SCOPE_TREE};
	run_pass(root, &pass);
}

uint32_t tree_count_alive(struct root *root, struct slot *slot)
{
	struct pass pass = {.slot = slot, .seen_serial = ++root->trees.next_serial};
	run_pass(root, &pass);
	return pass.found;
}

void tree_tick(struct root *root)
{
	run_acts(root);
	run_kills(root);
}

uint64_t tree_next_us(const struct root *root)
{
	uint64_t next = root->trees.acts_due ? 0 : ROOT_NEVER;
	const struct slot *slot;
	TAILQ_FOREACH(slot, &root->trees.killing, kill_queue)
	if (slot->kill_next_us < next)
		next = slot->kill_next_us;
	return next;
}

void tree_forget(struct root *root, struct slot *slot)
{
	if (slot->killing)
		TAILQ_REMOVE(&root->trees.killing, slot, kill_queue);
	slot->killing = false;
	if (TAILQ_EMPTY(&root->trees.killing))
		priority_want(root, PRIORITY_BOMB, false);
}
