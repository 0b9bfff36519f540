// The lease of one session as a pure step function: who holds it, when it ends. No clock, no system
// call, no allocation. Clauses: docs/spec/04-session.md.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LEASE_DEFAULT_MS 10000u
#define LEASE_MIN_MS     1000u
#define LEASE_MAX_MS     3600000u
#define LEASE_NEVER      UINT64_MAX

enum lease_end {
	LEASE_HELD = 0,   // it goes on
	LEASE_OWNER_DIED, // the process that opened it is gone (ipc)
	LEASE_RAN_OUT,
	LEASE_CLOSED, // CloseSession
};

struct lease {
	uint64_t lease_ms;
	uint64_t due_ms; // when it runs out unless renewed; LEASE_NEVER while a connection holds it
	uint32_t connections; // open ones that carried the session
	bool local;           // ipc: held by connections; else renewed by requests alone
	uint8_t ended;        // enum lease_end
};

// lease_ms must be 0 (default) or within the bounds; *lease starts with no connection.
void lease_open(struct lease *lease, uint64_t now_ms, uint64_t lease_ms, bool local);

void lease_connection_joined(struct lease *lease);
void lease_connection_left(struct lease *lease, uint64_t now_ms);
void lease_renewed(struct lease *lease, uint64_t now_ms);

// Each returns LEASE_HELD, or why it has ended just now; an ended lease stays ended and answers
// LEASE_HELD.
enum lease_end lease_owner_died(struct lease *lease);
enum lease_end lease_closed(struct lease *lease);
enum lease_end lease_tick(struct lease *lease, uint64_t now_ms);
