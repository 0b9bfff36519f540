// The session that calls are made in, and its replacement when it is over or its server was
// restarted. Clauses: docs/spec/04-session.md (SES-8, IDN-6).
#pragma once

#include "clients/c/src/limits.h"
#include "clients/c/src/requests.h"
#include "spawnd/client.h"

#include <stdbool.h>
#include <stdint.h>

struct spawnd_client;
struct use;

struct session {
	unsigned n_references; // guarded by the client's lock, as is over
	bool over;             // a later call opens another
	uint64_t id;
	uint32_t epoch;
	uint64_t lease_ms;
	struct limits limits;
	struct requests requests;
};

// The current session, opened where there is none or it is over. One thread opens, others wait for
// it. Blocks until deadline_us. The caller owns a reference. 0, or -1 with *err filled in.
int session_get(
    struct use *use, uint64_t deadline_us, struct session **ret_session, struct spawnd_error *err);

// Another reference; and one less, the last frees it.
struct session *session_hold(struct spawnd_client *client, struct session *session);
void session_drop(struct spawnd_client *client, struct session *session);

// A server's answer shows that this session is over: the next call opens another.
void session_mark_over(struct spawnd_client *client, struct session *session);

// Asks the server to end the session; waits at most until deadline_us. For spawnd_close.
void session_close(struct use *use, struct session *session, uint64_t deadline_us);
