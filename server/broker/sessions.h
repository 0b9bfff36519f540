// Sessions: who talks, what was answered, what each one owns. Clauses: docs/spec/04-session.md.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/broker/broker.h"
#include "server/broker/lease.h"
#include "server/broker/requests.h"

#define SESSION_CLIENT_MAX 128u

struct session {
	uint64_t id;
	struct broker *broker;
	uid_t uid;
	char client[SESSION_CLIENT_MAX + 1];
	struct lease lease;
	struct deadline due;
	int owner_pidfd;     // of the process that opened it; below 0: unknown
	bool owner_was_gone; // before it could be watched
	struct requests requests;
	uint64_t *buried; // ids whose tombstones the root keeps
	uint32_t n_buried;
	struct process *owned; // processes that it spawned and that are not released
	uint32_t n_unreleased; // ended ones among them
	uint32_t n_parked;
	UT_hash_handle hh;
};

// The answer kept for one recorded request.
struct answer {
	uint64_t cancel_token; // as in struct call: whichever call it is first written to
	size_t size;
	uint8_t bytes[];
};

// Opens one for the process at the connection's other end. 0, -ENOMEM, -EAGAIN too many sessions.
int session_open(struct broker *broker, struct connection *connection, const char *client,
    uint64_t lease_ms, struct session **ret_session);

// NULL: unknown or ended.
struct session *session_find(struct broker *broker, uint64_t id);

// A request of the session came over the connection: it holds the lease from now on. -ENOMEM.
int session_carried(struct session *session, struct connection *connection);

// The connection has closed: it holds no lease any more.
void sessions_connection_lost(struct broker *broker, struct connection *connection);

// Ends it: each of its processes meets its on_owner_lost; what it kept is freed.
void session_end(struct session *session, enum lease_end why);

// requests_begin with memory made as needed. *ret_entry as there. -ENOMEM.
int session_begin_request(struct session *session, uint64_t id,
    const uint8_t digest[REQUESTS_DIGEST_BYTES], enum request_verdict *ret_verdict,
    struct request_entry **ret_entry);
int session_bury_request(struct session *session, uint64_t id, enum request_verdict *ret_verdict);

void session_raise_floor(struct session *session, uint64_t floor);

void sessions_destroy(struct broker *broker);
