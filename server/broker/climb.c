// Carries out ladders: rungs to the root, entries into the journal, deadlines into the heap.
#include "server/broker/climb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/broker/exits.h"
#include "server/broker/keepsake.h"
#include "server/broker/proctable.h"
#include "server/common/clock.h"
#include "server/common/log.h"

#define ACT_AGAIN_MS 20u // after the root had no room for a rung

static void plan(struct process *process)
{
	deadlines_set(&process->broker->deadlines, &process->climb_due,
	    process->ladder.tree_empty ? DEADLINE_NEVER : process->ladder.due_ms);
}

// The journal's entry of a rung, made when first asked for. NULL where there is no memory: then the
// journal lacks it, and the climb goes on.
static struct journal_entry *entry_of(struct process *process, uint32_t rung)
{
	struct journal_entry **entry = &process->journal[rung - 1];
	if (!*entry) {
		*entry = calloc(1, sizeof **entry);
		if (*entry)
			(*entry)->rung = rung;
	}
	return *entry;
}

static void journal_skipped(struct process *process, uint32_t from, uint32_t to, bool by_net)
{
	for (uint32_t rung = from; rung < to; rung++) {
		struct journal_entry *entry = entry_of(process, rung);
		if (!entry)
			continue;
		entry->skipped = true;
		entry->by_net = by_net;
		entry->at_ms = now_ms();
	}
}

static void send_rung(struct process *process, uint32_t rung)
{
	const struct ladder_rung *what = &process->ladder.rungs[rung - 1];
	struct link_act act = {
	    .header.kind = LINK_ACT,
	    .process_id = process->id,
	    .serial = ++process->broker->act_serial,
	    .rung = rung,
	    .action = what->action,
	    .signal = what->signal,
	    .scope = what->scope,
	};
	act.keepsake_size = (uint32_t)keepsake_of_process(process, act.keepsake);
	broker_send(process->broker, &act);
}

static void look_at_members(struct process *process)
{
	struct link_look look = {.header.kind = LINK_LOOK,
	    .process_id = process->id,
	    .serial = ++process->broker->act_serial};
	broker_send(process->broker, &look);
}

// Does what the ladder has decided, and plans when to look at it again.
static void carry_out(struct process *process, struct ladder_output output)
{
	if (output.skipped_from)
		journal_skipped(process, output.skipped_from, output.act, output.by_net);
	if (output.act) {
		struct journal_entry *entry = entry_of(process, output.act);
		if (entry) {
			entry->by_net = output.by_net;
			entry->at_ms = now_ms();
		}
		send_rung(process, output.act);
	}
	if (process->ladder.reached && process->journal[process->ladder.reached - 1])
		process->journal[process->ladder.reached - 1]->wait_ms = process->ladder.wait_ms;
	if (output.unreaped) {
		log_warning("process %016llx has not ended although its last rung's wait is over",
		    (unsigned long long)process->id);
		look_at_members(process);
		exits_unreaped(process);
	}
	plan(process);
}

void climb_due(void *user, uint64_t now)
{
	struct process *process = user;
	carry_out(process, ladder_tick(&process->ladder, now));
}

void climb_cancel(
    struct process *process, uint64_t session_id, uint32_t rung, uint64_t wait_ms, bool delegate)
{
	struct ladder_output output =
	    ladder_cancel(&process->ladder, now_ms(), rung, wait_ms, delegate);
	if (output.act)
		process->climber_session = session_id; // who joins is not waited for
	carry_out(process, output);
}

// Who was alive just before this rung acted was left by the one that had acted before it.
static void journal_left(
    struct process *process, uint32_t rung, uint32_t n_alive, const struct link_member *members)
{
	while (rung > 0 && (!process->journal[rung - 1] || process->journal[rung - 1]->skipped))
		rung--;
	if (rung == 0)
		return;
	struct journal_entry *entry = process->journal[rung - 1];
	entry->left_count = n_alive;
	entry->n_left = n_alive < LINK_MEMBERS_MAX ? n_alive : LINK_MEMBERS_MAX;
	memcpy(entry->left, members, entry->n_left * sizeof *members);
}

static void rung_acted(struct process *process, const struct link_acted *message)
{
	const struct ladder_rung *what = &process->ladder.rungs[message->rung - 1];
	if (what->action == LADDER_SIGNAL && message->hit)
		process->rung_signals |= UINT64_C(1) << (what->signal - 1);
	struct journal_entry *entry = process->journal[message->rung - 1];
	if (entry) {
		entry->at_ms = message->at_ms;
		entry->hit = message->hit;
	}
	journal_left(process, message->rung - 1, message->n_alive, message->members);
	ladder_acted(&process->ladder, now_ms(), message->rung);
	plan(process);
	exits_rung_acted(process);
}

// The root had no room for the rung: it has not acted and must not count as if it had.
static void plan_again(struct process *process, uint32_t rung)
{
	if (rung == process->ladder.reached)
		deadlines_set(&process->broker->deadlines, &process->act_due, now_ms() + ACT_AGAIN_MS);
}

void climb_again_due(void *user, uint64_t now)
{
	struct process *process = user;
	(void)now;
	if (process_is_alive(process) && process->ladder.acted < process->ladder.reached)
		send_rung(process, process->ladder.reached);
}

void climb_acted(struct process *process, const struct link_acted *message)
{
	if (message->rung == 0)
		exits_signal_sent(process, message);
	else if (message->error == EAGAIN)
		plan_again(process, message->rung);
	else if (message->rung <= process->ladder.n_rungs && process_is_alive(process))
		rung_acted(process, message);
}

void climb_members(struct process *process, const struct link_members *message)
{
	if (!process_is_alive(process))
		return;
	process->blocked = message->blocked;
	if (process->ladder.acted)
		journal_left(process, process->ladder.acted, message->n_alive, message->members);
}

uint64_t climb_token(const struct process *process, uint32_t rung)
{
	return (process->id & UINT32_MAX) << 8 | rung;
}

void climb_answered(struct broker *broker, uint64_t token, uint64_t at_ms)
{
	struct process *process = process_find(broker, broker->hello.epoch << 32 | token >> 8);
	if (!process || !process_is_alive(process))
		return;
	ladder_answered(&process->ladder, at_ms, (uint32_t)(token & 0xff));
	plan(process);
}

void climb_owner_lost(struct process *process)
{
	static const enum ladder_owner_policy policies[] = {
	    [OWNER_LOST_CANCEL] = LADDER_OWNER_CANCEL,
	    [OWNER_LOST_KILL] = LADDER_OWNER_KILL,
	    [OWNER_LOST_KEEP] = LADDER_OWNER_KEEP,
	};
	if (!process_is_alive(process))
		return;
	carry_out(
	    process, ladder_owner_lost(&process->ladder, now_ms(), policies[process->on_owner_lost]));
	keepsake_send_process(process);
}

void climb_climber_gone(struct process *process)
{
	if (!process_is_alive(process))
		return;
	ladder_climber_gone(&process->ladder, now_ms());
	plan(process);
}

void climb_shutdown(struct process *process, bool impatient)
{
	carry_out(process, ladder_shutdown(&process->ladder, now_ms(), impatient));
}

void climb_leader_gone(struct process *process)
{
	carry_out(
	    process, ladder_leader_gone(&process->ladder, now_ms(), !process->keep_on_leader_exit));
}

// What was asked for but came too late never acted: it is no part of the record, which is final.
static void forget_unacted(struct process *process)
{
	for (uint32_t rung = process->ladder.acted; rung < LADDER_RUNGS_MAX; rung++) {
		free(process->journal[rung]);
		process->journal[rung] = NULL;
	}
	process->ladder.reached = process->ladder.acted;
}

void climb_tree_empty(struct process *process)
{
	forget_unacted(process);
	ladder_tree_empty(&process->ladder);
	plan(process);
}

static void run_time_over(void *user, uint64_t now)
{
	struct process *process = user;
	carry_out(process, ladder_deadline(&process->ladder, now));
}

void climb_start_run_time(struct process *process)
{
	if (!process->run_ms)
		return;
	uint64_t now = now_ms();
	deadline_init(&process->run_due, run_time_over, process);
	deadlines_set(&process->broker->deadlines, &process->run_due,
	    process->run_ms < DEADLINE_NEVER - now ? now + process->run_ms : DEADLINE_NEVER);
}

uint64_t climb_send_signal(struct process *process, uint32_t signal, uint32_t scope)
{
	struct link_act act = {
	    .header.kind = LINK_ACT,
	    .process_id = process->id,
	    .serial = ++process->broker->act_serial,
	    .action = LINK_ACTION_SIGNAL,
	    .signal = signal,
	    .scope = scope,
	};
	process->call_signals |= UINT64_C(1) << (signal - 1);
	broker_send(process->broker, &act);
	return act.serial;
}
