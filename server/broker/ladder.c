// The cancel ladder's rules: which rung acts, and when the server climbs on.
#include "server/broker/ladder.h"

#include <signal.h>

static const struct ladder_rung default_rungs[] = {
    {LADDER_SIGNAL, SIGINT, LADDER_LEADER, 5000},
    {LADDER_SIGNAL, SIGTERM, LADDER_TREE, 2000},
    {LADDER_SIGNAL, SIGKILL, LADDER_TREE, LADDER_KILL_WAIT_MS},
};

static const struct ladder_rung added_kill = {
    LADDER_SIGNAL, SIGKILL, LADDER_TREE, LADDER_KILL_WAIT_MS};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

// Sums never wrap: what is too far away is forever.
static uint64_t later(uint64_t at_ms, uint64_t by_ms)
{
	return by_ms > LADDER_FOREVER - at_ms ? LADDER_FOREVER : at_ms + by_ms;
}

static bool is_kill(const struct ladder_rung *rung)
{
	return rung->action == LADDER_SIGNAL && rung->signal == SIGKILL;
}

static bool is_kill_on_tree(const struct ladder_rung *rung)
{
	return is_kill(rung) && rung->scope == LADDER_TREE;
}

static enum ladder_fault check_rung(const struct ladder_rung *rung, bool stdin_is_pipe)
{
	bool is_signal = rung->action == LADDER_SIGNAL;
	if (!is_signal && rung->action != LADDER_CLOSE_STDIN && rung->action != LADDER_CANCEL_NOTICE)
		return LADDER_BAD_ACTION;
	if (is_signal ? rung->signal < 1 || rung->signal > 64 : rung->signal != 0)
		return LADDER_BAD_SIGNAL;
	if (rung->scope < LADDER_LEADER || rung->scope > LADDER_TREE)
		return LADDER_BAD_SCOPE;
	if (!is_signal && rung->scope != LADDER_LEADER)
		return LADDER_BAD_SCOPE;
	if (rung->wait_ms > LADDER_WAIT_MAX_MS && rung->wait_ms != LADDER_FOREVER)
		return LADDER_BAD_WAIT;
	if (rung->action == LADDER_CLOSE_STDIN && !stdin_is_pipe)
		return LADDER_NO_STDIN;
	return LADDER_OK;
}

static enum ladder_fault check_rungs(
    const struct ladder_rung *rungs, size_t n, bool stdin_is_pipe, size_t *ret_index)
{
	for (size_t i = 0; i < n; i++) {
		enum ladder_fault fault = check_rung(&rungs[i], stdin_is_pipe);
		bool ends_ladder = i == n - 1 && is_kill_on_tree(&rungs[i]);
		if (!fault && is_kill(&rungs[i]) && !ends_ladder)
			fault = LADDER_EARLY_KILL;
		if (fault) {
			*ret_index = i;
			return fault;
		}
	}
	return LADDER_OK;
}

enum ladder_fault ladder_init(struct ladder *ladder, const struct ladder_rung *rungs, size_t n,
    bool stdin_is_pipe, size_t *ret_index)
{
	if (n == 0) {
		rungs = default_rungs;
		n = sizeof(default_rungs) / sizeof(default_rungs[0]);
	}
	if (n > LADDER_RUNGS_MAX) {
		*ret_index = LADDER_RUNGS_MAX;
		return LADDER_TOO_MANY;
	}
	enum ladder_fault fault = check_rungs(rungs, n, stdin_is_pipe, ret_index);
	if (fault)
		return fault;
	bool add_kill = !is_kill_on_tree(&rungs[n - 1]);
	if (add_kill && n == LADDER_RUNGS_MAX) {
		*ret_index = n - 1;
		return LADDER_TOO_MANY;
	}

	struct ladder fresh = {.due_ms = LADDER_FOREVER};
	for (size_t i = 0; i < n; i++)
		fresh.rungs[i] = rungs[i];
	if (add_kill)
		fresh.rungs[n++] = added_kill;
	fresh.n_rungs = (uint8_t)n;
	*ladder = fresh;
	return LADDER_OK;
}

bool ladder_has_cancel_notice(const struct ladder *ladder)
{
	for (size_t i = 0; i < ladder->n_rungs; i++)
		if (ladder->rungs[i].action == LADDER_CANCEL_NOTICE)
			return true;
	return false;
}

static uint64_t stored_wait(const struct ladder *ladder)
{
	return ladder->rungs[ladder->reached - 1].wait_ms;
}

static void note_cause(struct ladder *ladder, enum ladder_cause cause)
{
	if (ladder->cause == LADDER_NO_CAUSE)
		ladder->cause = (uint8_t)cause;
}

// When the server climbs on, as far as known now: an unanswered rung counts from when it acted.
static uint64_t next_climb(const struct ladder *ladder)
{
	uint64_t start_ms = ladder->base_ms ? ladder->base_ms : ladder->acted_ms;
	if (start_ms == 0 || ladder->unreaped || ladder->tree_empty)
		return LADDER_FOREVER;
	return later(later(start_ms, ladder->wait_ms), ladder->takeover_ms);
}

static struct ladder_output climb(struct ladder *ladder, uint32_t rung, bool by_net)
{
	struct ladder_output output = {.act = (uint8_t)rung, .by_net = by_net};
	if (ladder->reached + 1u < rung)
		output.skipped_from = (uint8_t)(ladder->reached + 1u);
	ladder->reached = (uint8_t)rung;
	ladder->net = by_net;
	ladder->wait_ms = stored_wait(ladder);
	ladder->takeover_ms = 0;
	ladder->base_ms = 0;
	ladder->acted_ms = 0;
	ladder->due_ms = LADDER_FOREVER;
	return output;
}

// The server's own climb. A gone leader hears nothing, so that its rungs would be waits for nobody;
// the last rung is on the tree, so that one is always found.
static struct ladder_output climb_alone(struct ladder *ladder)
{
	uint32_t rung = ladder->reached + 1u;
	while (ladder->leader_gone && ladder->rungs[rung - 1].scope == LADDER_LEADER)
		rung++;
	return climb(ladder, rung, true);
}

static void join(struct ladder *ladder, uint64_t wait_ms, bool delegate)
{
	ladder->wait_ms = min_u64(ladder->wait_ms, wait_ms);
	if (delegate)
		ladder->takeover_ms = 0;
	ladder->due_ms = next_climb(ladder);
}

struct ladder_output ladder_cancel(
    struct ladder *ladder, uint64_t now_ms, uint32_t rung, uint64_t wait_ms, bool delegate)
{
	(void)now_ms; // a climb counts from its answer, a join from where its rung began
	struct ladder_output nothing = {0};
	if (rung == LADDER_LAST)
		rung = ladder->n_rungs;
	if (ladder->tree_empty || rung == 0 || rung > ladder->n_rungs)
		return nothing;
	if (rung <= ladder->reached) {
		if (rung == ladder->reached)
			join(ladder, wait_ms, delegate);
		return nothing;
	}
	note_cause(ladder, LADDER_CANCEL);
	struct ladder_output output = climb(ladder, rung, false);
	ladder->wait_ms = ladder->stopping ? min_u64(wait_ms, ladder->wait_ms) : wait_ms;
	ladder->takeover_ms = delegate || ladder->stopping ? 0 : LADDER_TAKEOVER_MS;
	return output;
}

void ladder_acted(struct ladder *ladder, uint64_t now_ms, uint32_t rung)
{
	if (ladder->tree_empty || rung <= ladder->acted || rung > ladder->reached)
		return;
	ladder->acted = (uint8_t)rung;
	if (rung < ladder->reached)
		return;
	ladder->acted_ms = now_ms;
	if (ladder->net)
		ladder->base_ms = now_ms; // no answer will come
	ladder->due_ms = next_climb(ladder);
}

void ladder_answered(struct ladder *ladder, uint64_t now_ms, uint32_t rung)
{
	bool in_force = rung == ladder->reached && rung == ladder->acted;
	if (ladder->tree_empty || rung == 0 || !in_force || ladder->base_ms != 0)
		return;
	ladder->base_ms = now_ms;
	ladder->due_ms = next_climb(ladder);
}

void ladder_climber_gone(struct ladder *ladder, uint64_t now_ms)
{
	if (ladder->tree_empty || ladder->reached == 0)
		return;
	ladder->net = true;
	ladder->takeover_ms = 0;
	bool unlimited = ladder->wait_ms == LADDER_FOREVER && stored_wait(ladder) != LADDER_FOREVER;
	if (unlimited)
		ladder->wait_ms = stored_wait(ladder);
	if (ladder->acted_ms != 0 && (unlimited || ladder->base_ms == 0))
		ladder->base_ms = unlimited ? now_ms : ladder->acted_ms;
	ladder->due_ms = next_climb(ladder);
}

// What is under way goes on by the net; otherwise the climb begins.
static struct ladder_output take_over(
    struct ladder *ladder, uint64_t now_ms, enum ladder_cause cause)
{
	struct ladder_output nothing = {0};
	if (ladder->tree_empty)
		return nothing;
	if (ladder->reached == 0) {
		note_cause(ladder, cause);
		return climb_alone(ladder);
	}
	ladder_climber_gone(ladder, now_ms);
	return nothing;
}

static struct ladder_output kill_now(
    struct ladder *ladder, uint64_t now_ms, enum ladder_cause cause)
{
	if (ladder->tree_empty || ladder->reached == ladder->n_rungs)
		return take_over(ladder, now_ms, cause);
	note_cause(ladder, cause);
	return climb(ladder, ladder->n_rungs, true);
}

struct ladder_output ladder_owner_lost(
    struct ladder *ladder, uint64_t now_ms, enum ladder_owner_policy policy)
{
	struct ladder_output nothing = {0};
	switch (policy) {
	case LADDER_OWNER_CANCEL:
		return take_over(ladder, now_ms, LADDER_OWNER_LOST);
	case LADDER_OWNER_KILL:
		return kill_now(ladder, now_ms, LADDER_OWNER_LOST);
	case LADDER_OWNER_KEEP:
		ladder_climber_gone(ladder, now_ms);
		return nothing;
	}
	return nothing;
}

struct ladder_output ladder_deadline(struct ladder *ladder, uint64_t now_ms)
{
	struct ladder_output nothing = {0};
	if (ladder->reached != 0)
		return nothing;
	return take_over(ladder, now_ms, LADDER_DEADLINE);
}

struct ladder_output ladder_shutdown(struct ladder *ladder, uint64_t now_ms, bool impatient)
{
	ladder->stopping = true;
	return impatient ? kill_now(ladder, now_ms, LADDER_SHUTDOWN)
	                 : take_over(ladder, now_ms, LADDER_SHUTDOWN);
}

struct ladder_output ladder_leader_gone(struct ladder *ladder, uint64_t now_ms, bool cancel_tree)
{
	(void)now_ms; // a rung of the net counts from when it acts
	struct ladder_output nothing = {0};
	if (ladder->tree_empty || ladder->leader_gone)
		return nothing;
	ladder->leader_gone = true;
	bool members_reached =
	    ladder->reached != 0 && ladder->rungs[ladder->reached - 1].scope != LADDER_LEADER;
	if (!cancel_tree || members_reached)
		return nothing;
	note_cause(ladder, LADDER_LEADER_GONE);
	return climb_alone(ladder);
}

void ladder_tree_empty(struct ladder *ladder)
{
	ladder->tree_empty = true;
	ladder->unreaped = false;
	ladder->due_ms = LADDER_FOREVER;
}

struct ladder_output ladder_tick(struct ladder *ladder, uint64_t now_ms)
{
	struct ladder_output output = {0};
	if (ladder->due_ms == LADDER_FOREVER || now_ms < ladder->due_ms)
		return output;
	if (ladder->reached < ladder->n_rungs)
		return climb_alone(ladder);
	ladder->unreaped = true;
	ladder->due_ms = LADDER_FOREVER;
	output.unreaped = true;
	return output;
}
