// The one door to nng: a REQ socket, and slots that each carry one request to its answer.
//
// Known defects of nng that shape this file: receiving may start only in the send's completion
// (#1702); an aio must not be cancelled while it is being submitted (#2208), hence every submission
// and every cancel happens under the socket's lock, which nng never takes: it calls back without
// locks of its own, and completes from other threads what is submitted under ours.
#include "clients/c/src/call_nng.h"

#include "clients/c/src/clock.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RECONNECT_MIN_MS 20
#define RECONNECT_MAX_MS 1000

struct call_slot {
	struct call_socket *socket;
	nng_ctx ctx;
	nng_aio *aio;
	struct wake *wake; // NULL once dropped
	enum call_slot_state state;
	uint64_t sent_us, done_us;
	nng_msg *answer;
	struct call_slot *next_free, *next_of_all;
};

struct call_socket {
	pthread_mutex_t lock; // guards all below but nng's own objects, and every slot
	nng_socket req;
	nng_dialer dialer;
	struct wake *on_connection;
	unsigned n_connections, n_open;
	bool aborted;
	struct call_slot *free_slots, *all_slots;
};

static int errno_of(int nng_error)
{
	switch (nng_error) {
	case 0:
		return 0;
	case NNG_ENOMEM:
		return -ENOMEM;
	case NNG_EADDRINVAL:
	case NNG_EINVAL:
		return -EINVAL;
	case NNG_ENOTSUP:
		return -ENOTSUP;
	case NNG_ECONNREFUSED:
	case NNG_ENOENT:
	case NNG_EUNREACHABLE:
		return -ECONNREFUSED;
	case NNG_EPERM:
		return -EACCES;
	case NNG_ECLOSED:
	case NNG_ECANCELED:
		return -ECANCELED;
	default:
		// A listener that is busy, or that went away in the handshake.
		return -EAGAIN;
	}
}

static void note_connection(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct call_socket *socket = arg;
	(void)pipe;
	pthread_mutex_lock(&socket->lock);
	if (event == NNG_PIPE_EV_ADD_POST) {
		socket->n_connections++;
		socket->n_open++;
	} else if (socket->n_open > 0) {
		socket->n_open--;
	}
	pthread_mutex_unlock(&socket->lock);
	if (event == NNG_PIPE_EV_ADD_POST)
		wake_ring(socket->on_connection);
}

// Re-sending goes off before any context is opened: contexts copy the option.
static int set_options(nng_socket req)
{
	int error = nng_socket_set_ms(req, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
	if (!error)
		error = nng_socket_set_size(req, NNG_OPT_RECVMAXSZ, CALL_MESSAGE_BYTES);
	if (!error)
		error = nng_socket_set_ms(req, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
	if (!error)
		error = nng_socket_set_ms(req, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
	return error;
}

int call_socket_open(const char *url, struct wake *on_connection, struct call_socket **ret_socket)
{
	struct call_socket *socket = calloc(1, sizeof *socket);
	if (!socket)
		return -ENOMEM;
	pthread_mutex_init(&socket->lock, NULL);
	socket->on_connection = on_connection;
	int error = nng_req0_open(&socket->req);
	if (error) {
		pthread_mutex_destroy(&socket->lock);
		free(socket);
		return errno_of(error);
	}
	error = set_options(socket->req);
	if (!error)
		error = nng_pipe_notify(socket->req, NNG_PIPE_EV_ADD_POST, note_connection, socket);
	if (!error)
		error = nng_pipe_notify(socket->req, NNG_PIPE_EV_REM_POST, note_connection, socket);
	if (!error)
		error = nng_dialer_create(&socket->dialer, socket->req, url);
	if (error) {
		call_socket_close(socket);
		return errno_of(error);
	}
	*ret_socket = socket;
	return 0;
}

int call_socket_dial(struct call_socket *socket)
{
	return errno_of(nng_dialer_start(socket->dialer, 0));
}

void call_socket_abort(struct call_socket *socket)
{
	pthread_mutex_lock(&socket->lock);
	bool first = !socket->aborted;
	socket->aborted = true;
	pthread_mutex_unlock(&socket->lock);
	if (first)
		nng_dialer_close(socket->dialer);
}

void call_socket_close(struct call_socket *socket)
{
	nng_close(socket->req);
	for (struct call_slot *slot = socket->all_slots; slot;) {
		struct call_slot *next = slot->next_of_all;
		nng_aio_free(slot->aio);
		free(slot);
		slot = next;
	}
	pthread_mutex_destroy(&socket->lock);
	free(socket);
}

unsigned call_socket_connections(struct call_socket *socket, unsigned *ret_open)
{
	pthread_mutex_lock(&socket->lock);
	unsigned n_connections = socket->n_connections;
	*ret_open = socket->n_open;
	pthread_mutex_unlock(&socket->lock);
	return n_connections;
}

void call_socket_set_limit(struct call_socket *socket, uint64_t max_message_bytes)
{
	nng_dialer_set_size(socket->dialer, NNG_OPT_RECVMAXSZ, (size_t)max_message_bytes);
}

/* ---- slots: everything below runs under the socket's lock where it says "locked" ----------- */

static void throw_message(struct call_slot *slot)
{
	nng_msg *message = nng_aio_get_msg(slot->aio);
	nng_aio_set_msg(slot->aio, NULL);
	if (message)
		nng_msg_free(message);
}

// Locked. The slot's request is over and nobody owns it.
static void recycle(struct call_slot *slot)
{
	if (slot->answer)
		nng_msg_free(slot->answer);
	slot->answer = NULL;
	slot->state = CALL_SLOT_FREE;
	slot->next_free = slot->socket->free_slots;
	slot->socket->free_slots = slot;
}

// Locked. The send is over.
static void note_sent(struct call_slot *slot, int error)
{
	if (error) {
		throw_message(slot);
		slot->state = CALL_SLOT_FAILED;
		return;
	}
	slot->sent_us = clock_now_us();
	slot->state = CALL_SLOT_SENT;
	if (slot->wake)
		nng_ctx_recv(slot->ctx, slot->aio);
}

// Locked. The receive is over.
static void note_answer(struct call_slot *slot, int error)
{
	slot->done_us = clock_now_us();
	if (error) {
		slot->state = error == NNG_ECONNRESET ? CALL_SLOT_LOST : CALL_SLOT_FAILED;
		return;
	}
	slot->answer = nng_aio_get_msg(slot->aio);
	nng_aio_set_msg(slot->aio, NULL);
	slot->state = CALL_SLOT_ANSWERED;
}

// nng's callback, on a thread of nng's: must not block, close or wait.
static void slot_moved(void *arg)
{
	struct call_slot *slot = arg;
	struct call_socket *socket = slot->socket;
	pthread_mutex_lock(&socket->lock);
	int error = nng_aio_result(slot->aio);
	if (slot->state == CALL_SLOT_QUEUED)
		note_sent(slot, error);
	else
		note_answer(slot, error);
	if (slot->wake)
		wake_ring(slot->wake);
	else
		recycle(slot);
	pthread_mutex_unlock(&socket->lock);
}

// Locked.
static int make_slot(struct call_socket *socket)
{
	struct call_slot *slot = calloc(1, sizeof *slot);
	if (!slot)
		return -ENOMEM;
	slot->socket = socket;
	int error = nng_aio_alloc(&slot->aio, slot_moved, slot);
	if (!error) {
		nng_aio_set_timeout(slot->aio, NNG_DURATION_INFINITE);
		error = nng_ctx_open(&slot->ctx, socket->req);
		if (error)
			nng_aio_free(slot->aio);
	}
	if (error) {
		free(slot);
		return errno_of(error);
	}
	slot->next_of_all = socket->all_slots;
	socket->all_slots = slot;
	recycle(slot);
	return 0;
}

static int make_message(const void *bytes, size_t size, nng_msg **ret_message)
{
	nng_msg *message;
	if (nng_msg_alloc(&message, 0))
		return -ENOMEM;
	if (nng_msg_append(message, bytes, size)) {
		nng_msg_free(message);
		return -ENOMEM;
	}
	*ret_message = message;
	return 0;
}

int call_slot_send(struct call_socket *socket, const void *bytes, size_t size, struct wake *wake,
    struct call_slot **ret_slot)
{
	nng_msg *message;
	int result = make_message(bytes, size, &message);
	if (result < 0)
		return result;
	pthread_mutex_lock(&socket->lock);
	if (!socket->free_slots)
		result = make_slot(socket);
	struct call_slot *slot = socket->free_slots;
	if (result == 0) {
		socket->free_slots = slot->next_free;
		slot->state = CALL_SLOT_QUEUED;
		slot->sent_us = slot->done_us = 0;
		slot->wake = wake;
		nng_aio_set_msg(slot->aio, message);
		nng_ctx_send(slot->ctx, slot->aio);
		*ret_slot = slot;
	}
	pthread_mutex_unlock(&socket->lock);
	if (result < 0)
		nng_msg_free(message);
	return result;
}

struct call_slot_view call_slot_look(struct call_slot *slot)
{
	struct call_slot_view view;
	pthread_mutex_lock(&slot->socket->lock);
	view = (struct call_slot_view){
	    .state = slot->state, .sent_us = slot->sent_us, .done_us = slot->done_us};
	if (slot->state == CALL_SLOT_ANSWERED) {
		view.body = nng_msg_body(slot->answer);
		view.size = nng_msg_len(slot->answer);
	}
	pthread_mutex_unlock(&slot->socket->lock);
	return view;
}

void call_slot_retract(struct call_slot *slot)
{
	pthread_mutex_lock(&slot->socket->lock);
	if (slot->state == CALL_SLOT_QUEUED)
		nng_aio_cancel(slot->aio);
	pthread_mutex_unlock(&slot->socket->lock);
}

void call_slot_drop(struct call_slot *slot)
{
	struct call_socket *socket = slot->socket;
	pthread_mutex_lock(&socket->lock);
	slot->wake = NULL;
	if (slot->state == CALL_SLOT_QUEUED || slot->state == CALL_SLOT_SENT)
		nng_aio_cancel(slot->aio); // slot_moved recycles it
	else
		recycle(slot);
	pthread_mutex_unlock(&socket->lock);
}
