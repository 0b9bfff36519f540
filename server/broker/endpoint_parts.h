// What the files of the endpoint share. Nothing else includes it.
//
// nng's threads enter in three places alone: an aio is over (endpoint_contexts.c), a pipe comes, a
// pipe goes (endpoint_peers.c). There they take the lock, change what it guards, and leave; they
// never wait, never close. All calls into nng are made without the lock.
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <nng/nng.h>

#include "server/broker/endpoint.h"
#include "server/broker/runtime_dir.h"

#define ENDPOINT_BIND_MAX (RUNTIME_DIR_PATH_MAX + 8)

enum endpoint_node_kind {
	ENDPOINT_NODE_CONNECTED = 1, // owner: peer
	ENDPOINT_NODE_CLOSED,        // peer
	ENDPOINT_NODE_REQUEST,       // request
	ENDPOINT_NODE_ANSWERED,      // request
};

// Part of what it tells of, so that no callback needs memory.
struct endpoint_node {
	struct endpoint_node *next;
	enum endpoint_node_kind kind;
	void *owner;
};

struct endpoint_listener {
	struct endpoint_listener *next;
	nng_listener nng;
	int id;
	char bound[ENDPOINT_BIND_MAX]; // the name at bind; renamed to the socket's path since
	uint32_t n_peers;
	uint64_t replaced_ms; // 0: it serves
};

// One connection, from ADD_PRE on.
struct endpoint_peer {
	struct endpoint_peer *next; // in the bucket of the table
	uint64_t id;
	nng_pipe pipe;
	int listener_id;
	uid_t uid;
	gid_t gid;
	pid_t pid;
	int fd;    // nng's; valid with the lock and as long as the peer is not gone; -1: not known
	bool own;  // this process's own check of the listener
	bool gone; // removed: not in the table
	bool cut;
	uint64_t cut_ms;     // 0: nng was asked to close it
	uint32_t n_requests; // held and being answered: each points here
	uint32_t n_unsent;
	size_t bytes; // of requests held and answers unread
	struct endpoint_node connected, closed;
	bool told_closed; // freed when this is so and n_requests is 0
};

enum endpoint_request_state {
	ENDPOINT_IDLE = 0,
	ENDPOINT_RECEIVING,
	ENDPOINT_HELD,
	ENDPOINT_SENDING,
	ENDPOINT_SENT, // its ANSWERED is in the queue
	ENDPOINT_DEAD, // the socket is closed
};

// One nng context with the request that it holds; reused for ever.
struct endpoint_request {
	struct endpoint *endpoint;
	struct endpoint_request *next_open; // all that exist
	struct endpoint_request *next_idle;
	nng_ctx nng;
	nng_aio *aio;
	enum endpoint_request_state state; // guarded by the lock
	struct endpoint_peer *peer;        // HELD, SENDING, SENT
	nng_msg *message;                  // HELD
	size_t size;                       // of the request's body, then of the answer
	uint64_t token, at_ms;
	bool sent;
	struct endpoint_node node;
};

#define ENDPOINT_BUCKETS 4096u

struct endpoint {
	struct endpoint_config config;
	char path[RUNTIME_DIR_PATH_MAX + 1];
	int lock_fd;
	int wake_fd; // eventfd
	nng_socket socket;

	pthread_mutex_t lock; // guards what follows, down to the next comment
	bool woken;           // wake_fd is readable
	struct endpoint_node *first, **last;
	struct endpoint_request *idle;
	uint32_t n_receiving;
	uint32_t n_requests; // held and being answered
	uint32_t n_sending;
	size_t bytes;
	struct endpoint_peer *peers[ENDPOINT_BUCKETS]; // by pipe
	uint32_t n_peers_allowed, n_peers_root;        // without the process's own
	uint64_t last_peer_id;
	struct endpoint_counters counters;
	bool closing;
	struct endpoint_listener *listeners; // the serving one first
	uint64_t n_retired;                  // requests that were done with, ever

	// The caller's thread alone.
	struct endpoint_request *open;
	uint32_t last_bind;
	dev_t socket_device; // the socket's file, as it was made
	ino_t socket_inode;
	struct endpoint_watch {
		int fd; // of the check under way; -1: none
		bool graced;
		uint64_t next_check_ms, next_look_ms;
		bool told_foreign;
		uint64_t n_retired; // at the last look
		uint64_t moved_ms;  // when something was last done with, or there was room
		uint64_t stuck_ms;  // so long without: somebody is disconnected
	} watch;
};

// --- endpoint.c -------------------------------------------------------------------------------
// With the lock: puts it behind the others and wakes the caller's thread.
void endpoint_push(struct endpoint *endpoint, struct endpoint_node *node,
    enum endpoint_node_kind kind, void *owner);
// With the lock: wakes the caller's thread.
void endpoint_wake(struct endpoint *endpoint);

// --- endpoint_contexts.c ----------------------------------------------------------------------
// Lets as many contexts receive as should. 0, or -ENOMEM where none at all could be opened.
int endpoint_arm(struct endpoint *endpoint);
// With the lock: no more contexts may receive than do now.
bool endpoint_is_full(const struct endpoint *endpoint);
// With the lock: the context has been told of, and may receive again.
void endpoint_retire(struct endpoint_request *request);
// After the socket is closed: waits for callbacks that still run.
void endpoint_stop_contexts(struct endpoint *endpoint);
// After that, when nothing is left in the queue.
void endpoint_free_contexts(struct endpoint *endpoint);

// --- endpoint_peers.c -------------------------------------------------------------------------
int endpoint_notify_pipes(struct endpoint *endpoint);
// With the lock: NULL where it is unknown or gone.
struct endpoint_peer *endpoint_find_peer(struct endpoint *endpoint, nng_pipe pipe);
// With the lock: disconnects it; its CLOSED follows.
void endpoint_cut_peer(struct endpoint *endpoint, struct endpoint_peer *peer);
// Closes those that were disconnected before that time and are still there. The caller's thread.
void endpoint_close_cut(struct endpoint *endpoint, uint64_t before_ms);
// With the lock: its client is known to be gone, though its CLOSED may not have been told yet.
bool endpoint_has_hung_up(const struct endpoint_peer *peer);
// With the lock: disconnects those whose clients have hung up.
void endpoint_cut_hung_up(struct endpoint *endpoint);
// With the lock: the connection with the most requests; NULL: there is none.
struct endpoint_peer *endpoint_find_busiest(struct endpoint *endpoint);
// With the lock: frees it once nothing points to it.
void endpoint_forget_peer(struct endpoint_peer *peer);

// --- endpoint_listener.c ----------------------------------------------------------------------
// Binds a listener beside the socket's path and moves it there in one step, so that the path is
// never without a listener and nothing is followed or connected to. The ones before it become
// replaced ones; they keep their connections. 0 or negative errno.
int endpoint_add_listener(struct endpoint *endpoint, char *ret_error, size_t error_size);

// Closes replaced listeners that have had time enough and have no connection.
void endpoint_drop_listeners(struct endpoint *endpoint, uint64_t now_ms);

// What lies at the socket's path.
enum endpoint_path_state { ENDPOINT_PATH_OURS, ENDPOINT_PATH_MISSING, ENDPOINT_PATH_FOREIGN };
enum endpoint_path_state endpoint_look_at_path(const struct endpoint *endpoint);

// Removes the socket's file if it is this endpoint's.
void endpoint_remove_path(struct endpoint *endpoint);
void endpoint_free_listeners(struct endpoint *endpoint);

// --- endpoint_watch.c -------------------------------------------------------------------------
void endpoint_stop_watch(struct endpoint *endpoint);

// --- endpoint_calls.c -------------------------------------------------------------------------
// Tests alone: nng's calls stay as they are, with all that follows.
void endpoint_calls_leave_alone(bool leave);
// The descriptor whose peer's identity this thread asked for last; -1: none since the last call.
int endpoint_calls_last_asked(void);
