// AwaitExit: the terms of one bounded poll, and what its answer says.
#pragma once

#include "clients/c/src/decode.h"
#include "clients/c/src/invoke.h"

// Polls come no closer to each other, whatever the server does with the hold.
#define AWAIT_INTERVAL_US UINT64_C(20000)

// The longest hold that a poll may ask for: 25 s, and on tcp half the lease, so that the polls keep
// the session alive.
uint64_t await_hold_max_ms(const struct spawnd_client *client, const struct session *session);

struct await_answer {
	bool done;                  // the awaited fact holds, and record says how
	struct spawnd_exit *record; // spawnd_exit_free
	uint64_t retry_after_ms;
	int blocked; // enum spawnd_blocked
};

// 0, or -1 with SPAWND_E_PROTOCOL or MEMORY. An answer "done" without a record, or with one that
// contradicts until (enum spawnd_until), is no answer.
int await_decode(const Spawn__V1__Response *response, int until, struct await_answer *ret_answer,
    struct spawnd_error *err);
