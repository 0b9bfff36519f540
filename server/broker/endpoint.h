// The door to nng: listens, receives requests, sends answers. nng's threads stay behind it;
// everything that it hands out is handed out on the caller's one thread, by endpoint_next.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct endpoint;
struct endpoint_request; // one received request: answered or dropped exactly once

struct endpoint_config {
	const char *url;          // "ipc:///absolute/path"
	size_t max_message_bytes; // larger ones close their connection
	size_t max_requests;      // held at once (parked and being answered); above: not read any more
	uint32_t max_connections_per_peer; // of one uid; at most half of the descriptors
	uid_t allowed_uid;                 // besides root; others are refused at connect
	uint32_t send_timeout_ms;          // a client that does not read so long is disconnected
	bool make_directory;         // the default path: make and check its directory for this user
	pid_t holder;                // whom a second server names; 0: this process
	size_t max_unsent;           // answers unread by one client, else disconnected; 0: max_requests
	size_t max_connection_bytes; // held for one client, else disconnected; 0: 64 MiB
	bool leave_calls;            // tests alone: see endpoint_calls.c
};

enum endpoint_event_kind {
	ENDPOINT_CONNECTED = 1, // connection, peer_*
	ENDPOINT_CLOSED,        // connection: no request of it will be handed out any more
	ENDPOINT_REQUEST,       // connection, request
	ENDPOINT_ANSWERED,      // token, at_ms, sent
};

struct endpoint_event {
	enum endpoint_event_kind kind;
	uint64_t connection; // never reused in the endpoint's life, never 0
	uid_t peer_uid;
	gid_t peer_gid;
	pid_t peer_pid;
	struct endpoint_request *request;
	uint64_t token; // of endpoint_answer
	uint64_t at_ms; // when the answer was handed to the connection
	bool sent;      // false: timed out or the connection is gone; true proves no delivery
};

// Opens the socket's directory and lock, and listens; refuses where another server holds the lock
// (-EADDRINUSE). ret_error gets a sentence for the log on failure.
int endpoint_open(const struct endpoint_config *config, struct endpoint **ret_endpoint,
    char *ret_error, size_t error_size);

// Stops listening, removes socket and lock, ends connections; bounded, whatever nng does.
void endpoint_close(struct endpoint *endpoint);

// Readable while endpoint_next has something.
int endpoint_fd(const struct endpoint *endpoint);

// The next event in order; false: none now.
bool endpoint_next(struct endpoint *endpoint, struct endpoint_event *ret_event);

// The request's bytes; valid until it is answered or dropped.
const uint8_t *endpoint_request_body(const struct endpoint_request *request, size_t *ret_size);
uint64_t endpoint_request_connection(const struct endpoint_request *request);

// Answers; consumes the request, copies the bytes. token not 0: ENDPOINT_ANSWERED follows.
void endpoint_answer(struct endpoint *endpoint, struct endpoint_request *request,
    const uint8_t *bytes, size_t size, uint64_t token);

// Consumes the request without an answer: its connection is gone, or asked for nothing any more.
void endpoint_drop(struct endpoint *endpoint, struct endpoint_request *request);

// Frees the request's bytes early, for one that is parked long and has been read.
void endpoint_request_release_body(struct endpoint *endpoint, struct endpoint_request *request);

// Waits until no answer waits to be handed to its connection, at most wait_ms. For the end.
void endpoint_flush(struct endpoint *endpoint, uint32_t wait_ms);

// Disconnects a client; ENDPOINT_CLOSED follows. Unknown or gone: nothing.
void endpoint_disconnect(struct endpoint *endpoint, uint64_t connection);

struct endpoint_counters {
	uint64_t connections, requests_held, listener_repairs;
	uint64_t refused;      // peers of another user, or over max_connections_per_peer
	uint64_t disconnected; // clients that did not read, or over a limit
};
void endpoint_count(const struct endpoint *endpoint, struct endpoint_counters *ret_counters);

// Sees to it that new clients reach the listener: makes the socket again where its file was removed
// and, with nng before 1.6 (which can lose a listener for ever to one peer that connects and
// closes), dials itself and replaces a listener that does not serve. Never waits. Returns when
// (monotonic milliseconds) it wants to be called again.
uint64_t endpoint_watch(struct endpoint *endpoint, uint64_t now_ms);
