// The ladder's invariants, written down a second time and naively.
#include "server/tests/ladder_watch.h"

#include <stddef.h>
#include <string.h>

static uint64_t plus(uint64_t a, uint64_t b)
{
	uint64_t sum;
	return __builtin_add_overflow(a, b, &sum) ? LADDER_FOREVER : sum;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t promised_ms(const struct watch *watch)
{
	if (watch->ended || watch->reported || watch->since_ms == 0)
		return LADDER_FOREVER;
	return plus(plus(watch->since_ms, watch->wait_ms), watch->margin_ms);
}

uint32_t watch_unacted(const struct watch *watch)
{
	return watch->sent ? (uint32_t)__builtin_ctz(watch->sent) + 1 : 0;
}

// The rung to which the server itself goes from here.
static uint32_t next_alone(const struct ladder *ladder, const struct watch *watch)
{
	for (uint32_t rung = watch->reached + 1u; rung <= ladder->n_rungs; rung++)
		if (!watch->leader_gone || ladder->rungs[rung - 1].scope != LADDER_LEADER)
			return rung;
	return 0;
}

// The rung that the event must act, by the clauses; 0: none.
static uint32_t rung_owed(const struct ladder *ladder, const struct watch *watch, uint64_t now_ms,
    const struct watch_event *event)
{
	uint32_t last = ladder->n_rungs;
	if (watch->ended)
		return 0;
	switch (event->kind) {
	case WATCH_TICK:
		return now_ms >= promised_ms(watch) && promised_ms(watch) != LADDER_FOREVER
		           ? next_alone(ladder, watch)
		           : 0;
	case WATCH_CANCEL: {
		uint32_t rung = event->rung == LADDER_LAST ? last : event->rung;
		return rung > watch->reached && rung <= last ? rung : 0;
	}
	case WATCH_OWNER_LOST:
		if (event->rung == LADDER_OWNER_KILL && watch->reached < last)
			return last;
		return event->rung == LADDER_OWNER_CANCEL && watch->reached == 0 ? next_alone(ladder, watch)
		                                                                 : 0;
	case WATCH_SHUTDOWN:
		if (event->flag && watch->reached < last)
			return last;
		return watch->reached == 0 ? next_alone(ladder, watch) : 0;
	case WATCH_DEADLINE:
		return watch->reached == 0 ? next_alone(ladder, watch) : 0;
	case WATCH_LEADER_GONE: {
		struct watch gone = *watch;
		gone.leader_gone = true;
		bool heard =
		    watch->reached > 0 && (ladder->rungs[watch->reached - 1].scope == LADDER_GROUP ||
		                              ladder->rungs[watch->reached - 1].scope == LADDER_TREE);
		return event->flag && !heard && !watch->leader_gone ? next_alone(ladder, &gone) : 0;
	}
	default:
		return 0;
	}
}

static uint8_t cause_owed(const struct watch_event *event)
{
	switch (event->kind) {
	case WATCH_CANCEL:
		return LADDER_CANCEL;
	case WATCH_OWNER_LOST:
		return LADDER_OWNER_LOST;
	case WATCH_DEADLINE:
		return LADDER_DEADLINE;
	case WATCH_SHUTDOWN:
		return LADDER_SHUTDOWN;
	case WATCH_LEADER_GONE:
		return LADDER_LEADER_GONE;
	default:
		return LADDER_NO_CAUSE;
	}
}

static struct ladder_output step(
    struct ladder *ladder, uint64_t now_ms, const struct watch_event *event)
{
	struct ladder_output nothing = {0};
	switch (event->kind) {
	case WATCH_TICK:
		return ladder_tick(ladder, now_ms);
	case WATCH_CANCEL:
		return ladder_cancel(ladder, now_ms, event->rung, event->wait_ms, event->flag);
	case WATCH_OWNER_LOST:
		return ladder_owner_lost(ladder, now_ms, (enum ladder_owner_policy)event->rung);
	case WATCH_DEADLINE:
		return ladder_deadline(ladder, now_ms);
	case WATCH_SHUTDOWN:
		return ladder_shutdown(ladder, now_ms, event->flag);
	case WATCH_LEADER_GONE:
		return ladder_leader_gone(ladder, now_ms, event->flag);
	case WATCH_ACTED:
		ladder_acted(ladder, now_ms, event->rung);
		return nothing;
	case WATCH_ANSWERED:
		ladder_answered(ladder, now_ms, event->rung);
		return nothing;
	case WATCH_CLIMBER_GONE:
		ladder_climber_gone(ladder, now_ms);
		return nothing;
	case WATCH_TREE_EMPTY:
		ladder_tree_empty(ladder);
		return nothing;
	default:
		return nothing;
	}
}

static const char *check_output(const struct ladder *before, const struct ladder *after,
    const struct watch *watch, uint32_t owed, const struct watch_event *event,
    struct ladder_output output)
{
	if (output.act != owed)
		return output.act ? "a rung acts that nothing asked for"
		                  : "a rung that is due does not act";
	if (after->reached != (output.act ? output.act : before->reached))
		return "the rung reached is not the one that acts";
	if (output.act && output.act <= watch->reached)
		return "a rung acts twice, or after a higher one";
	uint8_t skipped = output.act > watch->reached + 1u ? (uint8_t)(watch->reached + 1u) : 0;
	if (output.skipped_from != skipped)
		return "skipped rungs are not reported rightly";
	if (output.act && output.by_net != (event->kind != WATCH_CANCEL))
		return "the rung is put down to the wrong side";
	if (before->cause != LADDER_NO_CAUSE && after->cause != before->cause)
		return "the cause of the climb changed";
	if (before->reached == 0 && after->cause != (output.act ? cause_owed(event) : LADDER_NO_CAUSE))
		return "the climb has the wrong cause";
	bool unreaped_owed = event->kind == WATCH_TICK && watch->reached == before->n_rungs && !owed &&
	                     after->unreaped && !before->unreaped;
	if (output.unreaped != unreaped_owed || (output.unreaped && watch->reported))
		return "unreaped is said wrongly";
	return NULL;
}

static void remember_climb(struct watch *watch, const struct ladder *ladder, uint32_t rung,
    const struct watch_event *event)
{
	bool by_client = event->kind == WATCH_CANCEL;
	uint64_t stored_ms = ladder->rungs[rung - 1].wait_ms;
	watch->reached = (uint8_t)rung;
	watch->sent |= (uint8_t)(1u << (rung - 1));
	watch->acted = watch->started = false;
	watch->alone = !by_client;
	watch->since_ms = 0;
	watch->wait_ms = by_client ? event->wait_ms : stored_ms;
	if (watch->stopping)
		watch->wait_ms = lesser(watch->wait_ms, stored_ms);
	watch->margin_ms = by_client && !event->flag && !watch->stopping ? LADDER_TAKEOVER_MS : 0;
}

static void remember_takeover(struct watch *watch, const struct ladder *ladder, uint64_t now_ms)
{
	if (watch->reached == 0)
		return;
	uint64_t stored_ms = ladder->rungs[watch->reached - 1].wait_ms;
	watch->alone = true;
	watch->margin_ms = 0;
	if (watch->acted)
		watch->started = true;
	if (watch->wait_ms == LADDER_FOREVER && stored_ms != LADDER_FOREVER) {
		watch->wait_ms = stored_ms;
		watch->since_ms = watch->acted ? now_ms : 0;
	}
}

static void remember_acted(struct watch *watch, uint64_t now_ms, uint32_t rung)
{
	watch->sent &= (uint8_t) ~(1u << (rung - 1));
	if (rung != watch->reached)
		return;
	watch->acted = true;
	watch->started = watch->alone;
	watch->since_ms = now_ms;
}

static void remember(struct watch *watch, const struct ladder *ladder, uint64_t now_ms,
    const struct watch_event *event, uint32_t acts)
{
	if (watch->ended)
		return;
	watch->leader_gone |= event->kind == WATCH_LEADER_GONE;
	watch->stopping |= event->kind == WATCH_SHUTDOWN;
	watch->ended = event->kind == WATCH_TREE_EMPTY;
	if (acts) {
		remember_climb(watch, ladder, acts, event);
		return;
	}
	uint32_t rung = event->rung == LADDER_LAST ? ladder->n_rungs : event->rung;
	bool takes_over = event->kind == WATCH_CLIMBER_GONE || event->kind == WATCH_OWNER_LOST ||
	                  event->kind == WATCH_SHUTDOWN;
	if (takes_over) {
		remember_takeover(watch, ladder, now_ms);
	} else if (event->kind == WATCH_CANCEL && rung == watch->reached) {
		watch->wait_ms = lesser(watch->wait_ms, event->wait_ms);
		watch->margin_ms = event->flag ? 0 : watch->margin_ms;
	} else if (event->kind == WATCH_ACTED && (watch->sent >> (rung - 1) & 1)) {
		remember_acted(watch, now_ms, rung);
	} else if (event->kind == WATCH_ANSWERED && rung == watch->reached && watch->acted &&
	           !watch->started) {
		watch->started = true;
		watch->since_ms = now_ms;
	}
}

static const char *check_due(const struct ladder *before, const struct ladder *after,
    const struct watch *watch, uint64_t now_ms)
{
	uint64_t promised = promised_ms(watch);
	if (after->due_ms > now_ms || promised > now_ms)
		if (after->due_ms != promised)
			return after->due_ms < promised ? "the net would climb too early"
			                                : "the net would climb too late";
	bool same_rung = before->reached == after->reached && !after->tree_empty && !after->unreaped;
	if (same_rung && before->base_ms != 0 && after->due_ms > before->due_ms)
		return "a grace started again";
	return NULL;
}

static bool are_same_rungs(const struct ladder *a, const struct ladder *b)
{
	bool same = a->n_rungs == b->n_rungs;
	for (size_t i = 0; same && i < a->n_rungs; i++)
		same = a->rungs[i].action == b->rungs[i].action &&
		       a->rungs[i].signal == b->rungs[i].signal && a->rungs[i].scope == b->rungs[i].scope &&
		       a->rungs[i].wait_ms == b->rungs[i].wait_ms;
	return same;
}

const char *watch_step(
    struct ladder *ladder, struct watch *watch, uint64_t now_ms, const struct watch_event *event)
{
	struct ladder before = *ladder;
	uint32_t owed = rung_owed(ladder, watch, now_ms, event);
	bool end_owed = event->kind == WATCH_TICK && promised_ms(watch) != LADDER_FOREVER &&
	                now_ms >= promised_ms(watch) && watch->reached == ladder->n_rungs;
	struct ladder_output output = step(ladder, now_ms, event);
	const char *violated = check_output(&before, ladder, watch, owed, event, output);
	if (violated)
		return violated;
	if (output.unreaped != end_owed)
		return "the end of the last wait is not said when it comes";
	if (!are_same_rungs(&before, ladder))
		return "the stored rungs changed";
	watch->reported |= output.unreaped;
	remember(watch, ladder, now_ms, event, output.act);
	if (ladder->tree_empty != watch->ended)
		return "the end of the tree is not kept";
	return check_due(&before, ladder, watch, now_ms);
}

static uint64_t waits_above(const struct ladder *ladder, uint32_t rung)
{
	uint64_t sum = 0;
	for (; rung < ladder->n_rungs; rung++)
		sum = plus(sum, ladder->rungs[rung].wait_ms);
	return sum;
}

const char *watch_stalled_client(struct ladder ladder, struct watch watch, uint64_t now_ms)
{
	if (watch.reached == 0 || watch.ended || watch.reported)
		return ladder.due_ms == LADDER_FOREVER ? NULL : "a deadline without a climb";
	uint64_t here =
	    watch.acted ? promised_ms(&watch) : plus(now_ms, plus(watch.wait_ms, watch.margin_ms));
	uint64_t bound = plus(here > now_ms ? here : now_ms, waits_above(&ladder, watch.reached));
	if (bound == LADDER_FOREVER)
		return NULL; // an unlimited wait was asked for
	for (unsigned int turns = 0; turns <= LADDER_RUNGS_MAX && !watch.reported; turns++) {
		while (watch_unacted(&watch)) {
			struct watch_event acted = {.kind = WATCH_ACTED, .rung = watch_unacted(&watch)};
			const char *violated = watch_step(&ladder, &watch, now_ms, &acted);
			if (violated)
				return violated;
		}
		if (ladder.due_ms == LADDER_FOREVER)
			return "a client that stalls stalls the ladder";
		now_ms = ladder.due_ms > now_ms ? ladder.due_ms : now_ms;
		const char *violated =
		    watch_step(&ladder, &watch, now_ms, &(struct watch_event){.kind = WATCH_TICK});
		if (violated)
			return violated;
	}
	if (!watch.reported)
		return "the ladder does not come to its end";
	return now_ms <= bound ? NULL : "the climb takes longer than its waits";
}
