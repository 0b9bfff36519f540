// The climb's step function: single rules, and every history within small bounds.
#include "clients/c/src/stop_machine.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000)

static struct stop_machine machine;
static uint64_t now;

static struct stop_actions step(enum stop_event_kind kind, uint8_t rung, uint8_t reached)
{
	struct stop_event event = {.kind = kind, .rung = rung, .reached = reached, .at_us = now};
	return stop_step(&machine, &event, now);
}

static struct stop_actions at(uint64_t ms)
{
	now = ms * MS;
	return step(STOP_TIME, 0, 0);
}

// Three rungs of 400, 300 and 200 ms; the first has been asked for at 0.
static void begin(void)
{
	static const uint64_t waits[] = {400 * MS, 300 * MS, 200 * MS};
	stop_machine_init(&machine, 3, waits);
	cr_assert_eq(at(0).send_rung, 1);
}

TestSuite(stop, .init = begin);

Test(stop, the_wait_counts_from_the_answer)
{
	step(STOP_RUNG_LEFT, 1, 0);
	now = 150 * MS;
	step(STOP_RUNG_TAKEN, 1, 1);
	cr_assert_eq(at(549).send_rung, 0);
	cr_assert_eq(at(550).send_rung, 2);
}

Test(stop, without_an_answer_the_wait_begins_after_the_window)
{
	step(STOP_RUNG_LEFT, 1, 0);
	cr_assert_eq(at(2399).send_rung, 0);
	cr_assert_eq(at(2400).send_rung, 2);
}

Test(stop, a_late_answer_changes_nothing)
{
	step(STOP_RUNG_LEFT, 1, 0);
	now = 2200 * MS;
	step(STOP_RUNG_TAKEN, 1, 1);
	cr_assert_eq(at(2399).send_rung, 0);
	cr_assert_eq(at(2400).send_rung, 2);
}

Test(stop, a_second_answer_changes_nothing)
{
	step(STOP_RUNG_TAKEN, 1, 1);
	now = 300 * MS;
	step(STOP_RUNG_TAKEN, 1, 1);
	cr_assert_eq(at(400).send_rung, 2);
}

Test(stop, refused_waits_and_climbs)
{
	now = 10 * MS;
	step(STOP_RUNG_DECLINED, 1, 0);
	cr_assert_eq(at(409).send_rung, 0);
	cr_assert_eq(at(410).send_rung, 2);
}

Test(stop, nothing_is_sent_above_what_has_not_left)
{
	step(STOP_HURRY, 0, 0);
	cr_assert_eq(at(1000000).send_rung, 0);
	cr_assert_eq(step(STOP_RUNG_LEFT, 1, 0).send_rung, 2, "the hurry is remembered");
}

Test(stop, a_hurry_is_one_rung)
{
	step(STOP_RUNG_LEFT, 1, 0);
	cr_assert_eq(step(STOP_HURRY, 0, 0).send_rung, 2);
	cr_assert_eq(step(STOP_RUNG_LEFT, 2, 0).send_rung, 0);
	step(STOP_HURRY, 0, 0);
	cr_assert_eq(machine.rung, 3);
	step(STOP_RUNG_LEFT, 3, 0);
	cr_assert_not(step(STOP_HURRY, 0, 0).over, "nothing is above the last");
}

Test(stop, somebody_else_has_climbed_higher)
{
	now = 20 * MS;
	cr_assert_eq(step(STOP_RUNG_TAKEN, 1, 3).send_rung, 0);
	cr_assert_eq(machine.rung, 3);
	cr_assert_not(at(219).over);
	cr_assert(at(220).over);
	cr_assert_eq(machine.outcome, STOP_UNREAPED);
}

Test(stop, a_nearer_wait_only_comes_nearer)
{
	step(STOP_RUNG_TAKEN, 1, 1);
	struct stop_event nearer = {.kind = STOP_RUNG_NEARER, .rung = 1, .wait_us = 100 * MS};
	now = nearer.at_us = 50 * MS;
	stop_step(&machine, &nearer, now);
	nearer.wait_us = 9000 * MS;
	stop_step(&machine, &nearer, now);
	cr_assert_eq(at(149).send_rung, 0);
	cr_assert_eq(at(150).send_rung, 2);
}

Test(stop, exit_ends_it_at_any_time)
{
	cr_assert(step(STOP_EXIT_SEEN, 0, 0).over);
	cr_assert_eq(machine.outcome, STOP_EXITED);
	cr_assert_eq(at(100000).send_rung, 0);
}

Test(stop, without_limit_is_never)
{
	static const uint64_t waits[] = {STOP_NEVER, 300 * MS};
	stop_machine_init(&machine, 2, waits);
	at(0);
	step(STOP_RUNG_LEFT, 1, 0);
	step(STOP_RUNG_TAKEN, 1, 1);
	now = STOP_NEVER - 1;
	cr_assert_eq(step(STOP_TIME, 0, 0).send_rung, 0);
}

Test(stop, the_ladder_may_turn_out_longer)
{
	static const uint64_t waits[] = {1 * MS, 2 * MS, 3 * MS, 4 * MS};
	stop_machine_set_ladder(&machine, 4, waits);
	cr_assert_eq(machine.wait_us[0], 400 * MS, "what was asked for stays");
	cr_assert_eq(machine.wait_us[3], 4 * MS);
	machine.rung = 4;
	stop_machine_set_ladder(&machine, 2, waits);
	cr_assert_eq(machine.n_rungs, 4, "not below what has acted");
}

/* ---- every history ----------------------------------------------------------------------
 *
 * Time goes in ticks from 0 to TICKS; the window is 2 ticks. At each tick any sequence of events
 * may come, each as often as the world allows it. Beside the machine a witness remembers what has
 * happened and judges every action. States seen before are not gone into again. */

#define TICKS     7
#define WINDOW    2
#define MAX_RUNGS 3
#define NO_WAIT   9 // a wait without limit

struct witness {
	uint8_t n_rungs, waits[MAX_RUNGS];
	uint8_t tick, rung;
	uint8_t left_at, answered_at, nearer_at; // 1 + tick; 0: not yet
	uint8_t hurries, ended;
};

struct state {
	struct stop_machine machine;
	struct witness witness;
};

static struct state *seen;
static size_t n_seen, capacity;
static unsigned *table;
static size_t table_size;

static size_t place_of(const struct state *state)
{
	uint64_t value = 1469598103934665603u;
	const unsigned char *bytes = (const unsigned char *)state;
	for (size_t i = 0; i < sizeof *state; i++)
		value = (value ^ bytes[i]) * 1099511628211u;
	size_t place = (value ^ value >> 29) & (table_size - 1);
	// Bytes between members may differ: then a state counts twice, and nothing is missed.
	// NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
	while (table[place] && memcmp(&seen[table[place] - 1], state, sizeof *state) != 0)
		place = (place + 1) & (table_size - 1);
	return place;
}

static void grow_table(void)
{
	table_size = table_size ? table_size * 2 : 1 << 16;
	free(table);
	table = calloc(table_size, sizeof *table);
	for (size_t i = 0; i < n_seen; i++)
		table[place_of(&seen[i])] = (unsigned)i + 1;
}

static void note(const struct state *state)
{
	if (n_seen * 2 >= table_size)
		grow_table();
	size_t place = place_of(state);
	if (table[place])
		return;
	if (n_seen == capacity) {
		capacity = capacity ? capacity * 2 : 1 << 14;
		seen = realloc(seen, capacity * sizeof *seen);
	}
	seen[n_seen++] = *state;
	table[place] = (unsigned)n_seen;
}

static unsigned sooner(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

// The tick at which the rung's time is over, by what has happened: never before, never after.
static unsigned due(const struct witness *witness)
{
	unsigned wait = witness->waits[witness->rung - 1], tick = 255;
	if (witness->nearer_at)
		tick = witness->nearer_at - 1u;
	if (witness->answered_at && wait != NO_WAIT)
		tick = sooner(tick, witness->answered_at - 1u + wait);
	if (witness->left_at && wait != NO_WAIT)
		tick = sooner(tick, witness->left_at - 1u + WINDOW + wait);
	return tick;
}

static void judge(struct state *state, struct stop_actions actions)
{
	struct witness *witness = &state->witness;
	bool has_left = witness->left_at || witness->answered_at || witness->nearer_at;
	bool is_due = due(witness) <= witness->tick;
	if (actions.send_rung) {
		cr_assert_not(witness->ended, "a rung after the end");
		cr_assert_eq(actions.send_rung, witness->rung + 1, "one rung at a time");
		cr_assert(has_left, "a rung before the one below it has left");
		cr_assert(is_due || witness->hurries, "a rung too early");
		if (!is_due)
			witness->hurries--;
		witness->rung = actions.send_rung;
		witness->left_at = witness->answered_at = witness->nearer_at = 0;
	} else if (state->machine.outcome == STOP_UNREAPED && !witness->ended) {
		cr_assert_eq(witness->rung, witness->n_rungs, "unreaped below the last rung");
		cr_assert(is_due, "unreaped too early");
		witness->ended = 1;
	} else if (!witness->ended) {
		cr_assert_not(has_left && is_due, "a rung too late");
		if (has_left && witness->rung == witness->n_rungs)
			witness->hurries = 0;
		cr_assert_not(has_left && witness->hurries, "a hurry without effect");
	}
	cr_assert_eq(actions.over, witness->ended != 0);
}

static void happen(const struct state *from, struct stop_event event)
{
	struct state state = *from;
	struct witness *witness = &state.witness;
	uint8_t stamp = (uint8_t)(witness->tick + 1);
	event.at_us = witness->tick;
	switch (event.kind) {
	case STOP_RUNG_LEFT:
		witness->left_at = stamp;
		break;
	case STOP_RUNG_TAKEN:
	case STOP_RUNG_DECLINED:
		if (event.reached > witness->rung) { // somebody else has climbed
			witness->rung = event.reached;
			witness->left_at = witness->nearer_at = 0;
		}
		witness->answered_at = stamp;
		break;
	case STOP_RUNG_NEARER:
		witness->nearer_at = stamp + 1; // a wait of one tick
		event.wait_us = 1;
		break;
	case STOP_HURRY:
		witness->hurries++;
		break;
	case STOP_EXIT_SEEN:
		witness->ended = 1;
		break;
	default:
		break;
	}
	struct stop_actions actions = stop_step(&state.machine, &event, witness->tick);
	judge(&state, actions);
	note(&state);
}

static void go_on_from(const struct state *state)
{
	const struct witness *witness = &state->witness;
	uint8_t rung = witness->rung;
	if (witness->tick < TICKS) {
		struct state later = *state;
		later.witness.tick++;
		happen(&later, (struct stop_event){.kind = STOP_TIME});
	}
	if (!witness->left_at && !witness->answered_at)
		happen(state, (struct stop_event){.kind = STOP_RUNG_LEFT, .rung = rung});
	if (!witness->answered_at) {
		for (uint8_t reached = rung; reached <= witness->n_rungs; reached++)
			happen(state,
			    (struct stop_event){.kind = STOP_RUNG_TAKEN, .rung = rung, .reached = reached});
		happen(state, (struct stop_event){.kind = STOP_RUNG_DECLINED, .rung = rung});
	}
	if (!witness->nearer_at)
		happen(state, (struct stop_event){.kind = STOP_RUNG_NEARER, .rung = rung});
	if (witness->hurries < 2)
		happen(state, (struct stop_event){.kind = STOP_HURRY});
	happen(state, (struct stop_event){.kind = STOP_EXIT_SEEN});
}

static void explore(uint8_t n_rungs, const uint8_t *waits)
{
	struct state first;
	uint64_t wait_us[MAX_RUNGS];
	memset(&first, 0, sizeof first);
	for (int i = 0; i < n_rungs; i++) {
		first.witness.waits[i] = waits[i];
		wait_us[i] = waits[i] == NO_WAIT ? STOP_NEVER : waits[i];
	}
	stop_machine_init(&first.machine, n_rungs, wait_us);
	first.machine.window_us = WINDOW;
	first.witness.n_rungs = n_rungs;
	first.witness.rung = 1;
	struct stop_event time = {.kind = STOP_TIME};
	cr_assert_eq(stop_step(&first.machine, &time, 0).send_rung, 1, "the first rung comes first");
	size_t begun = n_seen;
	note(&first);
	for (size_t i = begun; i < n_seen; i++) {
		struct state state = seen[i]; // seen may move
		if (!state.witness.ended)
			go_on_from(&state);
	}
}

Test(explore, every_history_of_small_ladders, .timeout = 300)
{
	static const uint8_t choices[] = {0, 1, 3, NO_WAIT};
	unsigned n_ladders = 0;
	for (unsigned code = 0; code < 4 * 4 * 4; code++)
		for (uint8_t n = 1; n <= MAX_RUNGS; n++) {
			uint8_t waits[] = {choices[code % 4], choices[code / 4 % 4], choices[code / 16]};
			if ((n < 3 && code >= 16) || (n < 2 && code >= 4))
				continue;
			explore(n, waits);
			n_ladders++;
		}
	printf("stop machine: %zu states of %u ladders\n", n_seen, n_ladders);
	cr_assert_gt(n_seen, 10000);
	free(seen);
	free(table);
}
