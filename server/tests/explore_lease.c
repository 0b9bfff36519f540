// Explores a lease, local and not, through every sequence of events until no new state is found,
// beside a naive account of who holds it and since when nobody does.
#include <stdio.h>
#include <stdlib.h>

#include "server/broker/lease.h"
#include "server/tests/explore_set.h"

#define STEP_MS         1000u
#define LEASE_STEPS     3u
#define NOW_MS          100000u
#define CONNECTIONS_MAX 3u

enum event { JOINED, LEFT, RENEWED, OWNER_DIED, CLOSED, TICK, PASS, EVENTS };

struct state {
	uint8_t connections, ended, due;      // of the lease; due in steps from now, or NEVER
	uint8_t held_by, idle_steps, is_over; // of the account
};
#define NEVER 255u

static const char *const names[] = {
    "joined", "left", "renewed", "owner died", "closed", "tick", "1,000 ms pass"};

static struct explore_set states;

static void print_event(uint32_t event)
{
	fprintf(stderr, "  %s\n", names[event]);
}

static void fail(uint32_t item, uint32_t event, bool local, const char *violated)
{
	fprintf(stderr, "explore_lease: %s (%s)\n", violated, local ? "local" : "remote");
	explore_trace(&states, item, print_event);
	print_event(event);
	exit(1);
}

static struct lease unpack(const struct state *from, bool local)
{
	return (struct lease){
	    .lease_ms = LEASE_STEPS * STEP_MS,
	    .due_ms = from->due == NEVER ? LEASE_NEVER : NOW_MS + from->due * STEP_MS,
	    .connections = from->connections,
	    .local = local,
	    .ended = from->ended,
	};
}

static uint8_t steps_until(uint64_t due_ms, uint64_t now_ms)
{
	if (due_ms == LEASE_NEVER)
		return NEVER;
	return due_ms <= now_ms ? 0 : (uint8_t)((due_ms - now_ms) / STEP_MS);
}

static enum lease_end step(struct lease *lease, enum event event)
{
	switch (event) {
	case JOINED:
		lease_connection_joined(lease);
		return LEASE_HELD;
	case LEFT:
		lease_connection_left(lease, NOW_MS);
		return LEASE_HELD;
	case RENEWED:
		lease_renewed(lease, NOW_MS);
		return LEASE_HELD;
	case OWNER_DIED:
		return lease_owner_died(lease);
	case CLOSED:
		return lease_closed(lease);
	case TICK:
		return lease_tick(lease, NOW_MS);
	default:
		return LEASE_HELD;
	}
}

// What the clauses say: SES-4 to SES-7.
static enum lease_end account(struct state *state, enum event event, bool local)
{
	enum lease_end end = LEASE_HELD;
	bool held = local && state->held_by > 0;
	switch (event) {
	case JOINED:
		state->held_by++;
		break;
	case LEFT:
		state->held_by--;
		if (local && state->held_by == 0)
			state->idle_steps = 0;
		break;
	case RENEWED:
		state->idle_steps = 0;
		break;
	case OWNER_DIED:
		end = local ? LEASE_OWNER_DIED : LEASE_HELD;
		break;
	case CLOSED:
		end = LEASE_CLOSED;
		break;
	case TICK:
		end = !held && state->idle_steps >= LEASE_STEPS ? LEASE_RAN_OUT : LEASE_HELD;
		break;
	default:
		if (!held && state->idle_steps < LEASE_STEPS)
			state->idle_steps++;
	}
	if (state->is_over)
		return LEASE_HELD;
	state->is_over = end != LEASE_HELD;
	return end;
}

static const char *check(const struct lease *lease, const struct state *state, uint64_t now_ms)
{
	bool held = lease->local && state->held_by > 0;
	uint8_t until = steps_until(lease->due_ms, now_ms);
	if (state->is_over && until != NEVER)
		return "an ended lease has a deadline";
	if (!state->is_over && held && until != NEVER)
		return "a held lease has a deadline";
	if (!state->is_over && !held && until != LEASE_STEPS - state->idle_steps)
		return "the lease runs out at another time than the account's";
	if ((lease->ended != LEASE_HELD) != state->is_over)
		return "the end is not kept";
	return NULL;
}

static void try_event(uint32_t item, const struct state *from, enum event event, bool local)
{
	struct state to = *from;
	struct lease lease = unpack(from, local);
	enum lease_end end = step(&lease, event);
	uint64_t now_ms = event == PASS ? NOW_MS + STEP_MS : NOW_MS;
	if (end != account(&to, event, local))
		fail(item, event, local, "the lease ends otherwise than the account");
	const char *violated = check(&lease, &to, now_ms);
	if (violated)
		fail(item, event, local, violated);
	if (lease.connections != to.held_by)
		fail(item, event, local, "connections are miscounted");
	to.connections = (uint8_t)lease.connections;
	to.ended = lease.ended;
	to.due = steps_until(lease.due_ms, now_ms);
	explore_add(&states, &to, item, event);
}

static uint64_t explore(bool local)
{
	uint64_t n_transitions = 0;
	struct lease lease;
	lease_open(&lease, NOW_MS, LEASE_STEPS * STEP_MS, local);
	struct state from = {.due = steps_until(lease.due_ms, NOW_MS)};
	explore_start(&states, &from);
	for (size_t i = 0; i < states.n; i++) {
		explore_get(&states, i, &from);
		for (enum event event = JOINED; event < EVENTS; event++) {
			bool possible = event == JOINED ? from.held_by < CONNECTIONS_MAX
			                : event == LEFT ? from.held_by > 0
			                                : true;
			if (!possible)
				continue;
			try_event((uint32_t)i, &from, event, local);
			n_transitions++;
		}
	}
	return n_transitions;
}

int main(void)
{
	explore_init(&states, sizeof(struct state));
	uint64_t n_transitions = explore(true);
	size_t n_states = states.n;
	n_transitions += explore(false);
	n_states += states.n;
	printf("explore_lease: %zu states, %llu transitions\n", n_states,
	    (unsigned long long)n_transitions);
	explore_close(&states);
	return 0;
}
