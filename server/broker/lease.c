// The lease's rules: connections hold a local one, requests renew the others.
#include "server/broker/lease.h"

static uint64_t due_from(const struct lease *lease, uint64_t now_ms)
{
	return lease->lease_ms > LEASE_NEVER - now_ms ? LEASE_NEVER : now_ms + lease->lease_ms;
}

static enum lease_end end(struct lease *lease, enum lease_end why)
{
	if (lease->ended != LEASE_HELD)
		return LEASE_HELD;
	lease->ended = (uint8_t)why;
	lease->due_ms = LEASE_NEVER;
	return why;
}

void lease_open(struct lease *lease, uint64_t now_ms, uint64_t lease_ms, bool local)
{
	struct lease fresh = {.lease_ms = lease_ms ? lease_ms : LEASE_DEFAULT_MS, .local = local};
	fresh.due_ms = due_from(&fresh, now_ms);
	*lease = fresh;
}

void lease_connection_joined(struct lease *lease)
{
	lease->connections++;
	if (lease->local)
		lease->due_ms = LEASE_NEVER;
}

void lease_connection_left(struct lease *lease, uint64_t now_ms)
{
	if (lease->connections == 0)
		return;
	lease->connections--;
	if (lease->local && lease->connections == 0 && lease->ended == LEASE_HELD)
		lease->due_ms = due_from(lease, now_ms);
}

void lease_renewed(struct lease *lease, uint64_t now_ms)
{
	bool held_by_connection = lease->local && lease->connections > 0;
	if (lease->ended == LEASE_HELD && !held_by_connection)
		lease->due_ms = due_from(lease, now_ms);
}

enum lease_end lease_owner_died(struct lease *lease)
{
	return lease->local ? end(lease, LEASE_OWNER_DIED) : LEASE_HELD;
}

enum lease_end lease_closed(struct lease *lease)
{
	return end(lease, LEASE_CLOSED);
}

enum lease_end lease_tick(struct lease *lease, uint64_t now_ms)
{
	if (lease->due_ms == LEASE_NEVER || now_ms < lease->due_ms)
		return LEASE_HELD;
	return end(lease, LEASE_RAN_OUT);
}
