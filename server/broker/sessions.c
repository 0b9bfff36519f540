// The table of sessions, and what their ends set off.
#include "server/broker/sessions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <utlist.h>

#include "server/broker/call.h"
#include "server/broker/climb.h"
#include "server/broker/keepsake.h"
#include "server/broker/proctable.h"
#include "server/broker/refusal.h"
#include "server/broker/reply.h"
#include "server/broker/streams.h"
#include "server/common/clock.h"
#include "server/common/log.h"
#include "server/common/os.h"

#define FIRST_REQUESTS 16u

static const char *const end_words[] = {
    [LEASE_OWNER_DIED] = "the process that opened it has ended",
    [LEASE_RAN_OUT] = "its lease ran out",
    [LEASE_CLOSED] = "it was closed",
};

static void plan_end(struct session *session)
{
	deadlines_set(&session->broker->deadlines, &session->due, session->lease.due_ms);
}

static void lease_due(void *user, uint64_t now)
{
	struct session *session = user;
	enum lease_end why = session->owner_was_gone ? lease_owner_died(&session->lease)
	                                             : lease_tick(&session->lease, now);
	if (why)
		session_end(session, why);
	else
		plan_end(session);
}

static void owner_exited(void *user, uint32_t events)
{
	(void)events;
	struct session *session = user;
	enum lease_end why = lease_owner_died(&session->lease);
	if (why)
		session_end(session, why);
}

// Watches the process at the other end. One that has ended already ends the session as soon as its
// opening is answered; where there is no descriptor to be had, connections alone hold the lease.
static void watch_owner(struct session *session, pid_t pid)
{
	session->owner_pidfd = pid > 0 ? os_pidfd_open(pid) : -1;
	if (session->owner_pidfd == -ESRCH) {
		session->owner_was_gone = true;
		deadlines_set(&session->broker->deadlines, &session->due, now_ms());
	}
	if (session->owner_pidfd < 0)
		return;
	if (loop_add_fd(session->broker->loop, session->owner_pidfd, EPOLLIN, owner_exited, session)) {
		close(session->owner_pidfd);
		session->owner_pidfd = -1;
	}
}

int session_open(struct broker *broker, struct connection *connection, const char *client,
    uint64_t lease_ms, struct session **ret_session)
{
	if (HASH_COUNT(broker->sessions) >= broker->config->max_sessions)
		return -EAGAIN;
	struct session *session = calloc(1, sizeof *session);
	struct request_entry *memory = calloc(FIRST_REQUESTS, sizeof *memory);
	if (!session || !memory) {
		free(session);
		free(memory);
		return -ENOMEM;
	}
	session->id = broker->hello.epoch << 32 | broker->next_session++;
	session->broker = broker;
	session->uid = connection->uid;
	session->owner_pidfd = -1;
	strncpy(session->client, client, SESSION_CLIENT_MAX);
	requests_init(&session->requests, memory, FIRST_REQUESTS);
	lease_open(&session->lease, now_ms(), lease_ms, true);
	deadline_init(&session->due, lease_due, session);
	HASH_ADD(hh, broker->sessions, id, sizeof session->id, session);
	int error = session_carried(session, connection);
	if (error) {
		session_end(session, LEASE_CLOSED);
		return error;
	}
	watch_owner(session, connection->pid);
	keepsake_send_session(session);
	*ret_session = session;
	return 0;
}

struct session *session_find(struct broker *broker, uint64_t id)
{
	struct session *session;
	HASH_FIND(hh, broker->sessions, &id, sizeof id, session);
	return session;
}

int session_carried(struct session *session, struct connection *connection)
{
	lease_renewed(&session->lease, now_ms());
	for (uint32_t i = 0; i < connection->n_sessions; i++)
		if (connection->sessions[i] == session->id)
			return 0;
	uint64_t *grown = reallocarray(
	    connection->sessions, connection->n_sessions + 1, sizeof *connection->sessions);
	if (!grown)
		return -ENOMEM;
	connection->sessions = grown;
	grown[connection->n_sessions++] = session->id;
	lease_connection_joined(&session->lease);
	plan_end(session);
	return 0;
}

void sessions_connection_lost(struct broker *broker, struct connection *connection)
{
	for (uint32_t i = 0; i < connection->n_sessions; i++) {
		struct session *session = session_find(broker, connection->sessions[i]);
		if (!session)
			continue;
		lease_connection_left(&session->lease, now_ms());
		plan_end(session);
	}
	free(connection->sessions);
	connection->sessions = NULL;
	connection->n_sessions = 0;
}

// The root forgets tombstones whose Spawns can come no more.
static void drop_tombstones(struct session *session, bool all)
{
	for (uint32_t i = 0; i < session->n_buried;) {
		if (!all && session->buried[i] >= session->requests.floor) {
			i++;
			continue;
		}
		struct link_tombstone message = {
		    .header.kind = LINK_TOMBSTONE, .key = {session->id, session->buried[i]}, .drop = 1};
		broker_send(session->broker, &message);
		session->buried[i] = session->buried[--session->n_buried];
	}
}

static void note_buried(struct session *session, uint64_t id)
{
	uint64_t *grown = reallocarray(session->buried, session->n_buried + 1, sizeof *session->buried);
	if (!grown)
		return; // then the root keeps this one as long as it runs
	session->buried = grown;
	grown[session->n_buried++] = id;
}

static void free_session(struct session *session)
{
	struct broker *broker = session->broker;
	if (session->owner_pidfd >= 0) {
		loop_remove_fd(broker->loop, session->owner_pidfd);
		close(session->owner_pidfd);
	}
	deadlines_set(&broker->deadlines, &session->due, DEADLINE_NEVER);
	for (size_t i = 0; i < session->requests.capacity; i++)
		free(session->requests.entries[i].answer);
	free(session->requests.entries);
	free(session->buried);
	free(session);
}

// Each process that the session owned loses its owner; each that it climbed, its climber.
static void orphan_processes(struct session *session)
{
	struct process *process, *next;
	DL_FOREACH_SAFE2(session->owned, process, next, owned_next)
	{
		process->owner_lost = true;
		streams_owner_lost(process);
		climb_owner_lost(process);
		process_owner_gone(process, session);
	}
	DL_FOREACH2(session->broker->alive, process, alive_next)
	{
		if (process->climber_session == session->id)
			climb_climber_gone(process);
	}
}

// Those who wait by this session hear that it is over; what is recorded goes on. (SES-8)
static void answer_parked(const struct session *session)
{
	struct refusal refusal;
	refuse(&refusal, REFUSAL_SESSION_EXPIRED, "the session is over: open another");
	struct connection *connection, *next_connection;
	HASH_ITER(hh, session->broker->connections, connection, next_connection)
	{
		struct call *call, *next;
		DL_FOREACH_SAFE(connection->calls, call, next)
		{
			if (call->session_id == session->id && call->park != PARK_NONE && !call->recorded)
				reply_refusal(call, &refusal);
		}
	}
}

// A client may open and close sessions on one connection without end.
static void leave_connections(const struct session *session)
{
	struct connection *connection, *next;
	HASH_ITER(hh, session->broker->connections, connection, next)
	{
		for (uint32_t i = 0; i < connection->n_sessions; i++)
			if (connection->sessions[i] == session->id)
				connection->sessions[i] = connection->sessions[--connection->n_sessions];
	}
}

void session_end(struct session *session, enum lease_end why)
{
	struct broker *broker = session->broker;
	log_info("session %016llx of %s ended: %s", (unsigned long long)session->id,
	    session->client[0] ? session->client : "a client", end_words[why]);
	HASH_DEL(broker->sessions, session);
	leave_connections(session);
	answer_parked(session);
	orphan_processes(session);
	drop_tombstones(session, true);
	keepsake_drop_session(session);
	free_session(session);
}

static int grow_requests(struct session *session)
{
	size_t capacity = session->requests.capacity * 2;
	struct request_entry *memory = calloc(capacity, sizeof *memory);
	if (!memory)
		return -ENOMEM;
	free(requests_grow(&session->requests, memory, capacity));
	return 0;
}

int session_begin_request(struct session *session, uint64_t id,
    const uint8_t digest[REQUESTS_DIGEST_BYTES], enum request_verdict *ret_verdict,
    struct request_entry **ret_entry)
{
	for (;;) {
		enum request_verdict verdict = requests_begin(&session->requests, id, digest, ret_entry);
		if (verdict != REQUEST_GROW) {
			*ret_verdict = verdict;
			return 0;
		}
		int error = grow_requests(session);
		if (error)
			return error;
	}
}

int session_bury_request(struct session *session, uint64_t id, enum request_verdict *ret_verdict)
{
	for (;;) {
		struct request_entry *entry;
		enum request_verdict verdict = requests_bury(&session->requests, id, &entry);
		if (verdict == REQUEST_NEW)
			note_buried(session, id);
		if (verdict != REQUEST_GROW) {
			*ret_verdict = verdict;
			return 0;
		}
		int error = grow_requests(session);
		if (error)
			return error;
	}
}

static void free_answer(void *user, void *answer)
{
	(void)user;
	free(answer);
}

void session_raise_floor(struct session *session, uint64_t floor)
{
	if (floor <= session->requests.floor)
		return;
	requests_raise_floor(&session->requests, floor, free_answer, NULL);
	drop_tombstones(session, false);
	keepsake_send_session(session);
}

void sessions_destroy(struct broker *broker)
{
	struct session *session, *next;
	HASH_ITER(hh, broker->sessions, session, next)
	{
		HASH_DEL(broker->sessions, session);
		free_session(session);
	}
}
