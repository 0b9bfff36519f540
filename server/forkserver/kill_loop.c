// KILL on a tree: passes over its members until nobody is left.
#include "server/forkserver/kill_loop.h"

#include <signal.h>

#include "server/common/clock.h"
#include "server/forkserver/members.h"
#include "server/forkserver/root.h"

#define TURN_BUDGET_US   10000u
#define KILL_WAIT_MAX_MS 1000u
#define BOMB             16u // new members in one pass: a bomb, not a program

void kill_loop_open(struct kill_loop *loop)
{
	TAILQ_INIT(&loop->trees);
}

void kill_loop_begin(struct root *root, struct slot *slot)
{
	if (!slot->killing) {
		slot->killing = true;
		slot->kill_serial = members_new_serial(root);
		TAILQ_INSERT_TAIL(&root->kill_loop.trees, slot, kill_queue);
	}
	slot->kill_next_us = 0;
	slot->kill_wait_ms = 0;
}

void kill_loop_on_new_member(struct slot *slot)
{
	if (slot->killing)
		slot->kill_next_us = slot->kill_wait_ms = 0;
}

// Those that are children of this process cannot be mistaken and are killed at once, before the
// slow reading of the tree below them: of a bomb they are nearly all.
static void kill_own_children(struct slot *slot)
{
	const struct orphan *orphan;
	LIST_FOREACH(orphan, &slot->orphans, of_owner)
	kill(orphan->pid, SIGKILL);
	if (slot->state == SLOT_LIVE && slot->pidfd >= 0)
		kill(slot->pid, SIGKILL);
}

static uint32_t kill_once(struct root *root, struct slot *slot)
{
	struct members_pass pass = {
	    .slot = slot, .serial = slot->kill_serial, .signal = SIGKILL, .scope = LINK_SCOPE_TREE};
	kill_own_children(slot);
	members_pass(root, &pass);
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
	TAILQ_FOREACH(slot, &root->kill_loop.trees, kill_queue)
	if (slot->kill_next_us <= root->now_us)
		return true;
	return false;
}

// A slot that has had its pass goes to the end, so that no tree keeps others from theirs.
void kill_loop_tick(struct root *root)
{
	struct slot_queue *killing = &root->kill_loop.trees;
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

uint64_t kill_loop_next_us(const struct root *root)
{
	const struct slot *slot;
	uint64_t next = ROOT_NEVER;
	TAILQ_FOREACH(slot, &root->kill_loop.trees, kill_queue)
	if (slot->kill_next_us < next)
		next = slot->kill_next_us;
	return next;
}

void kill_loop_forget(struct root *root, struct slot *slot)
{
	if (slot->killing)
		TAILQ_REMOVE(&root->kill_loop.trees, slot, kill_queue);
	slot->killing = false;
	if (TAILQ_EMPTY(&root->kill_loop.trees))
		priority_want(root, PRIORITY_BOMB, false);
}
