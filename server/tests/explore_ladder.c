// Explores every ladder of up to three rungs, over all scopes and waits, through every sequence of
// events, until no new state is found; each step is checked by ladder_watch.
//
// Without arguments GROUP is left out of ladders of three rungs (to the step functions it is as
// TREE); with "all" nothing is left out.
//
// Time goes in steps of 1,000 ms and waits are 0, 1,000, 2,000 or unlimited. States are kept
// relative to the present: what is longer ago than the longest wait and takeover together (4 steps)
// is over whatever is added to it, so that 5 steps and more are one.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/tests/explore_set.h"
#include "server/tests/ladder_watch.h"

#define STEP_MS   1000u
#define NOW_MS    100000u
#define AGE_MAX   5u
#define UNLIMITED 255u

static const uint64_t waits[] = {0, STEP_MS, 2u * STEP_MS, LADDER_FOREVER};
#define N_WAITS (sizeof(waits) / sizeof(waits[0]))

// Everything that changes in a ladder and its watch; bytes, so that there is no padding.
struct packed {
	uint8_t reached, acted, has_cause, net, leader_gone, tree_empty, unreaped, stopping;
	uint8_t wait, takeover, base, due, acted_at;
	uint8_t sent, w_reached, w_acted, started, alone, ended, w_leader_gone, w_stopping, reported;
	uint8_t since, w_wait, margin;
};

struct run {
	struct ladder rungs; // the ladder at rest
	struct explore_set states;
	bool all;
	uint64_t n_states, n_transitions, n_ladders;
};

static uint8_t pack_span(uint64_t ms)
{
	return ms == LADDER_FOREVER ? UNLIMITED : (uint8_t)(ms / STEP_MS);
}

static uint64_t unpack_span(uint8_t span)
{
	return span == UNLIMITED ? LADDER_FOREVER : (uint64_t)span * STEP_MS;
}

// 0: unset; else 1 + how long ago.
static uint8_t pack_past(uint64_t at_ms, uint64_t now_ms)
{
	if (at_ms == 0)
		return 0;
	uint64_t age = (now_ms - at_ms) / STEP_MS;
	return (uint8_t)(1 + (age < AGE_MAX ? age : AGE_MAX));
}

static uint64_t unpack_past(uint8_t past)
{
	return past ? NOW_MS - (past - 1u) * STEP_MS : 0;
}

static uint8_t pack_due(uint64_t at_ms, uint64_t now_ms)
{
	if (at_ms == LADDER_FOREVER)
		return UNLIMITED;
	return at_ms <= now_ms ? 0 : (uint8_t)((at_ms - now_ms) / STEP_MS);
}

static uint64_t unpack_due(uint8_t due)
{
	return due == UNLIMITED ? LADDER_FOREVER : NOW_MS + due * STEP_MS;
}

static struct packed pack(const struct ladder *l, const struct watch *w, uint64_t now_ms)
{
	return (struct packed){
	    .reached = l->reached,
	    .acted = l->acted,
	    .has_cause = l->cause != LADDER_NO_CAUSE,
	    .net = l->net,
	    .leader_gone = l->leader_gone,
	    .tree_empty = l->tree_empty,
	    .unreaped = l->unreaped,
	    .stopping = l->stopping,
	    .wait = pack_span(l->wait_ms),
	    .takeover = pack_span(l->takeover_ms),
	    .base = pack_past(l->base_ms, now_ms),
	    .due = pack_due(l->due_ms, now_ms),
	    .acted_at = pack_past(l->acted_ms, now_ms),
	    .sent = w->sent,
	    .w_reached = w->reached,
	    .w_acted = w->acted,
	    .started = w->started,
	    .alone = w->alone,
	    .ended = w->ended,
	    .w_leader_gone = w->leader_gone,
	    .w_stopping = w->stopping,
	    .reported = w->reported,
	    .since = pack_past(w->since_ms, now_ms),
	    .w_wait = pack_span(w->wait_ms),
	    .margin = pack_span(w->margin_ms),
	};
}

static void unpack(const struct packed *p, const struct ladder *rungs, struct ladder *ret_ladder,
    struct watch *ret_watch)
{
	*ret_ladder = *rungs;
	ret_ladder->reached = p->reached;
	ret_ladder->acted = p->acted;
	ret_ladder->cause = p->has_cause ? LADDER_SHUTDOWN : LADDER_NO_CAUSE;
	ret_ladder->net = p->net;
	ret_ladder->leader_gone = p->leader_gone;
	ret_ladder->tree_empty = p->tree_empty;
	ret_ladder->unreaped = p->unreaped;
	ret_ladder->stopping = p->stopping;
	ret_ladder->wait_ms = unpack_span(p->wait);
	ret_ladder->takeover_ms = unpack_span(p->takeover);
	ret_ladder->base_ms = unpack_past(p->base);
	ret_ladder->due_ms = unpack_due(p->due);
	ret_ladder->acted_ms = unpack_past(p->acted_at);
	*ret_watch = (struct watch){
	    .sent = p->sent,
	    .reached = p->w_reached,
	    .acted = p->w_acted,
	    .started = p->started,
	    .alone = p->alone,
	    .ended = p->ended,
	    .leader_gone = p->w_leader_gone,
	    .stopping = p->w_stopping,
	    .reported = p->reported,
	    .since_ms = unpack_past(p->since),
	    .wait_ms = unpack_span(p->w_wait),
	    .margin_ms = unpack_span(p->margin),
	};
}

// Events as numbers: kind, rung, wait, flag; PASS is time going on.
#define PASS WATCH_KINDS

static uint32_t number(uint32_t kind, uint32_t rung, uint32_t wait, uint32_t flag)
{
	return kind | rung << 8 | wait << 16 | flag << 24;
}

static struct watch_event event_of(uint32_t numbered)
{
	return (struct watch_event){
	    .kind = (enum watch_kind)(numbered & 0xff),
	    .rung = numbered >> 8 & 0xff,
	    .wait_ms = waits[numbered >> 16 & 0xff],
	    .flag = numbered >> 24 != 0,
	};
}

static void print_event(uint32_t numbered)
{
	static const char *const names[] = {"tick", "cancel", "acted", "answered", "climber gone",
	    "owner lost", "deadline", "shutdown", "leader gone", "tree empty", "1,000 ms pass"};
	struct watch_event event = event_of(numbered);
	fprintf(stderr, "  %s rung %u wait %lld flag %d\n", names[event.kind], event.rung,
	    (long long)event.wait_ms, event.flag);
}

static void fail(const struct run *run, uint32_t item, uint32_t event, const char *violated)
{
	fprintf(stderr, "explore_ladder: %s\nrungs:", violated);
	for (size_t i = 0; i < run->rungs.n_rungs; i++)
		fprintf(stderr, " {scope %u wait %lld}", run->rungs.rungs[i].scope,
		    (long long)run->rungs.rungs[i].wait_ms);
	fprintf(stderr, "\n");
	explore_trace(&run->states, item, print_event);
	print_event(event);
	exit(1);
}

static void try_event(struct run *run, uint32_t item, const struct packed *from, uint32_t numbered)
{
	struct ladder ladder;
	struct watch watch;
	unpack(from, &run->rungs, &ladder, &watch);
	uint64_t now_ms = NOW_MS;
	struct watch_event event = event_of(numbered);
	const char *violated = NULL;
	if ((uint32_t)event.kind == PASS)
		now_ms += STEP_MS;
	else
		violated = watch_step(&ladder, &watch, now_ms, &event);
	run->n_transitions++;
	struct packed to = pack(&ladder, &watch, now_ms);
	if (!violated && explore_add(&run->states, &to, item, numbered))
		violated = watch_stalled_client(ladder, watch, now_ms);
	if (violated)
		fail(run, item, numbered, violated);
}

static void try_cancels(struct run *run, uint32_t item, const struct packed *from)
{
	for (uint32_t rung = 0; rung <= run->rungs.n_rungs + 1u; rung++)
		for (uint32_t wait = 0; wait < N_WAITS; wait++)
			for (uint32_t delegate = 0; delegate < 2; delegate++)
				try_event(run, item, from, number(WATCH_CANCEL, rung, wait, delegate));
	try_event(run, item, from, number(WATCH_CANCEL, LADDER_LAST, 1, 0));
}

static void try_all(struct run *run, uint32_t item, const struct packed *from)
{
	struct watch watch = {.sent = from->sent};
	try_event(run, item, from, PASS);
	try_event(run, item, from, WATCH_TICK);
	if (watch_unacted(&watch))
		try_event(run, item, from, number(WATCH_ACTED, watch_unacted(&watch), 0, 0));
	if (from->acted > 0) // said again
		try_event(run, item, from, number(WATCH_ACTED, from->acted, 0, 0));
	for (uint32_t rung = 1; rung <= run->rungs.n_rungs; rung++)
		try_event(run, item, from, number(WATCH_ANSWERED, rung, 0, 0));
	try_cancels(run, item, from);
	try_event(run, item, from, WATCH_CLIMBER_GONE);
	try_event(run, item, from, WATCH_DEADLINE);
	try_event(run, item, from, WATCH_TREE_EMPTY);
	for (uint32_t policy = LADDER_OWNER_CANCEL; policy <= LADDER_OWNER_KEEP; policy++)
		try_event(run, item, from, number(WATCH_OWNER_LOST, policy, 0, 0));
	for (uint32_t flag = 0; flag < 2; flag++) {
		try_event(run, item, from, number(WATCH_SHUTDOWN, 0, 0, flag));
		try_event(run, item, from, number(WATCH_LEADER_GONE, 0, 0, flag));
	}
}

static void explore(struct run *run, const struct ladder_rung *rungs, size_t n)
{
	size_t index;
	if (ladder_init(&run->rungs, rungs, n, true, &index) != LADDER_OK) {
		fprintf(stderr, "explore_ladder: a right ladder is refused\n");
		exit(1);
	}
	struct watch watch = {0};
	struct packed from = pack(&run->rungs, &watch, NOW_MS);
	explore_start(&run->states, &from);
	for (size_t i = 0; i < run->states.n; i++) {
		explore_get(&run->states, i, &from);
		try_all(run, (uint32_t)i, &from);
	}
	run->n_states += run->states.n;
	run->n_ladders++;
}

// All rungs below KILL, then KILL with each wait.
static void explore_above(struct run *run, struct ladder_rung *rungs, size_t n_below, size_t n)
{
	for (size_t wait = 0; wait < N_WAITS; wait++) {
		if (n == n_below) {
			rungs[n] = (struct ladder_rung){LADDER_SIGNAL, SIGKILL, LADDER_TREE, waits[wait]};
			explore(run, rungs, n + 1);
			continue;
		}
		for (unsigned scope = LADDER_LEADER; scope <= LADDER_TREE; scope++) {
			if (scope == LADDER_GROUP && n_below > 1 && !run->all)
				continue;
			rungs[n] = (struct ladder_rung){LADDER_SIGNAL, SIGTERM, (uint8_t)scope, waits[wait]};
			explore_above(run, rungs, n_below, n + 1);
		}
	}
}

int main(int argc, char **argv)
{
	struct run run = {.all = argc == 2 && strcmp(argv[1], "all") == 0};
	struct ladder_rung rungs[3];
	explore_init(&run.states, sizeof(struct packed));
	for (size_t n_below = 0; n_below < 3; n_below++)
		explore_above(&run, rungs, n_below, 0);
	explore_close(&run.states);
	printf("explore_ladder: %llu ladders, %llu states, %llu transitions\n",
	    (unsigned long long)run.n_ladders, (unsigned long long)run.n_states,
	    (unsigned long long)run.n_transitions);
	return 0;
}
