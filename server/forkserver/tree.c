// Orders about the members of a tree: rungs, plain signals, looks.
#include "server/forkserver/tree.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "server/common/clock.h"
#include "server/forkserver/root.h"
#include "server/forkserver/stdin.h"

#define ROUNDS_MAX     16
#define TURN_BUDGET_US 10000u

int trees_open(struct trees *trees)
{
	trees->acts = mmap(NULL, TREE_ACTS_MAX * sizeof(struct tree_act), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return trees->acts == MAP_FAILED ? -ENOMEM : 0;
}

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
		    .blocked = act->report.blocked,
		    .n_alive = act->report.n_alive};
		memcpy(m.members, act->report.members, sizeof(m.members));
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
	    .n_alive = act->report.n_alive};
	memcpy(m.members, act->report.members, sizeof(m.members));
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
		act->is_look = act->report.diagnoses = true;
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
	struct members_pass pass = {.slot = slot,
	    .serial = act->seen_serial,
	    .signal = act->action == LINK_ACTION_SIGNAL && !act->is_look ? (int)act->signal : 0,
	    .then_continue = is_followed_by_cont(act),
	    .scope = act->scope,
	    .report = &act->report};
	members_pass(root, &pass);
	act->hit += pass.hit;
	act->again = pass.fresh > 0 && pass.signal != 0 && pass.signal != SIGKILL &&
	             act->scope != LINK_SCOPE_LEADER;
}

static void carry_out(struct root *root, struct tree_act *act)
{
	struct slot *slot = slots_find(&root->slots, act->process_id);
	act->at_ms = now_ms();
	act->seen_serial = members_new_serial(root);
	if (is_over(slot)) {
		act->error = ESRCH;
		return;
	}
	pass_for(root, act, slot);
	if (act->is_look) {
		// Dead, but the status cannot be had yet: only a tracer keeps it back.
		if (act->report.blocked == LINK_BLOCKED_NO && slot->reap_next_us != 0)
			act->report.blocked = LINK_BLOCKED_TRACED;
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
		kill_loop_begin(root, slot);
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
			if (act->report.n_alive > 1 && !scanned) {
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

void tree_tick(struct root *root)
{
	run_acts(root);
	kill_loop_tick(root);
}

uint64_t tree_next_us(const struct root *root)
{
	uint64_t kills_us = kill_loop_next_us(root);
	return root->trees.acts_due ? 0 : kills_us;
}
