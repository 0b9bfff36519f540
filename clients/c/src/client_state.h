// What a client is made of, and how its functions come in and go out. Private to the library.
#pragma once

#include "clients/c/src/call_nng.h"
#include "clients/c/src/session.h"
#include "clients/c/src/wake.h"
#include "spawnd/client.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define CLIENT_TIMEOUT_MS UINT64_C(10000)

struct climb;
struct known;

// A Spawn whose outcome is not known: to be cancelled until somebody says how it went. (SPN-2)
struct unresolved {
	struct session *session; // the one that sent it; a reference
	uint64_t request_id;
	struct unresolved *next;
};

struct spawnd_client {
	// Fixed once connected.
	char *url, *name, *access_token; // the latter two may be NULL
	uint64_t lease_ms, timeout_ms;
	bool remote; // tcp: only requests renew the lease
	struct call_socket *socket;

	pthread_mutex_t
	    lock; // guards all below; never held over a send, a wait of others or a callback
	pthread_cond_t changed; // monotonic; uses, renewing, keeper
	unsigned n_references;  // the caller's and the keeper's
	bool closing;
	struct use *uses;        // calls of the public functions that are under way
	struct session *session; // the current one; a reference; NULL before the first
	bool renewing;           // a thread is opening the next session
	uint64_t n_openings;     // ids of OpenSession
	uint64_t last_sent_us;   // when the session was last used, for its lease
	struct climb *climbs;
	struct known *known;
	struct unresolved *unresolved;

	struct wake keeper_wake;
	bool dialled, keeper_may_end, keeper_done;
	int dial_result;
};

// One call of a public function, on its own stack.
struct use {
	struct spawnd_client *client;
	struct wake wake; // rung by close too
	struct use *previous, *next;
};

// Begins a call; polled as in wake_init. 0, or -1 with SPAWND_E_CLOSED, ARGUMENT (no client) or
// MEMORY.
int client_enter(
    struct spawnd_client *client, struct use *use, bool polled, struct spawnd_error *err);
void client_leave(struct use *use);

// The client is being closed: the call ends with SPAWND_E_CLOSED.
bool client_is_closing(struct spawnd_client *client);

// Lets go of one of n_references; the last frees all.
void client_release(struct spawnd_client *client);

// timeout_ms of a call: 0 means the client's.
uint64_t client_timeout_ms(const struct spawnd_client *client, uint64_t timeout_ms);

// Pauses until then, or until the client closes: -1 with SPAWND_E_CLOSED.
int client_pause(struct use *use, uint64_t until_us, struct spawnd_error *err);
