// The one door to nng: a REQ socket, and slots that each carry one request to its answer. Nothing
// of it blocks but call_socket_dial and call_socket_close.
#pragma once

#include "clients/c/src/wake.h"

#include <stddef.h>
#include <stdint.h>

struct call_socket;
struct call_slot;

// Bytes of one SP message in either direction until the server announces another limit. (LIM-2)
#define CALL_MESSAGE_BYTES UINT64_C(1048576)

// Makes the socket; connects nothing yet. on_connection is rung at every new connection; it must
// live until call_socket_close returns. 0, -EINVAL (a bad URL), -ENOTSUP (a transport that is not
// ours) or -ENOMEM.
int call_socket_open(const char *url, struct wake *on_connection, struct call_socket **ret_socket);

// Connects, and from then on connects again whenever the connection is lost. Blocks until the
// first connection is made or has failed, or until call_socket_abort. 0, -ECONNREFUSED (nobody
// listens), -EACCES, -EINVAL, -EAGAIN (worth another try) or -ECANCELED.
int call_socket_dial(struct call_socket *socket);

// No new connection is made from now on; a dial under way fails.
void call_socket_abort(struct call_socket *socket);

// Ends all and frees the socket with its slots, which must have been dropped. May block for long
// where nng does: call it from a thread that nobody waits for without a limit.
void call_socket_close(struct call_socket *socket);

// How many connections there have been so far. *ret_open: how many are open now.
unsigned call_socket_connections(struct call_socket *socket, unsigned *ret_open);

// The largest message that later connections may bring.
void call_socket_set_limit(struct call_socket *socket, uint64_t max_message_bytes);

// Sends a copy of bytes in a slot of its own. wake is rung at every change of the slot until it is
// dropped. A request that finds no connection waits for one. 0, -ENOMEM or -ECANCELED.
int call_slot_send(struct call_socket *socket, const void *bytes, size_t size, struct wake *wake,
    struct call_slot **ret_slot);

enum call_slot_state {
	CALL_SLOT_FREE = 0, // internal
	CALL_SLOT_QUEUED,   // waits for a connection, or to be written
	CALL_SLOT_SENT,     // its answer is awaited
	CALL_SLOT_ANSWERED,
	CALL_SLOT_LOST,   // the connection broke after sending: there will be no answer
	CALL_SLOT_FAILED, // never sent, or the socket is closed
};

struct call_slot_view {
	enum call_slot_state state;
	uint64_t sent_us;    // SENT and later; 0 where it was never sent
	uint64_t done_us;    // ANSWERED: when the answer was received
	const uint8_t *body; // ANSWERED: valid until the slot is dropped
	size_t size;
};

struct call_slot_view call_slot_look(struct call_slot *slot);

// A QUEUED request is not to be sent any more: the slot becomes FAILED, or SENT where it was too
// late; its wake is rung then.
void call_slot_retract(struct call_slot *slot);

// Gives the slot back; a late answer is thrown away. The slot is not the caller's any more.
void call_slot_drop(struct call_slot *slot);
