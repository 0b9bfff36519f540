// The contexts of the endpoint's socket: each receives a request, holds it, sends its answer.
#include "server/broker/endpoint_parts.h"

#include <errno.h>
#include <stdlib.h>

#include "server/common/clock.h"

#define RECEIVING_MAX 64u
#define RECEIVING_MIN 32u          // below it the caller's thread is woken to arm more
#define BYTES_MAX     (512u << 20) // of all requests held and answers unread: above, none is read

// With the lock.
static void put_idle(struct endpoint_request *request)
{
	struct endpoint *endpoint = request->endpoint;
	request->state = ENDPOINT_IDLE;
	request->next_idle = endpoint->idle;
	endpoint->idle = request;
	if (endpoint->n_receiving < RECEIVING_MIN)
		endpoint_wake(endpoint);
}

// With the lock.
static void leave_peer(struct endpoint_request *request)
{
	struct endpoint_peer *peer = request->peer;
	request->peer = NULL;
	peer->n_requests--;
	endpoint_forget_peer(peer);
}

// With the lock.
static void charge(struct endpoint_request *request, size_t size)
{
	request->size = size;
	request->peer->bytes += size;
	request->endpoint->bytes += size;
	if (request->peer->bytes > request->endpoint->config.max_connection_bytes)
		endpoint_cut_peer(request->endpoint, request->peer);
}

// With the lock.
static void discharge(struct endpoint_request *request)
{
	request->peer->bytes -= request->size;
	request->endpoint->bytes -= request->size;
	request->size = 0;
}

void endpoint_retire(struct endpoint_request *request)
{
	request->endpoint->n_retired++;
	leave_peer(request);
	put_idle(request);
}

// With the lock. Takes the message over where it is handed out: true.
static bool hold(struct endpoint_request *request, nng_msg *message)
{
	struct endpoint *endpoint = request->endpoint;
	struct endpoint_peer *peer = endpoint_find_peer(endpoint, nng_msg_get_pipe(message));
	if (!peer || peer->cut || endpoint->closing)
		return false; // its CLOSED has been told, or will be soon
	request->state = ENDPOINT_HELD;
	request->peer = peer;
	request->message = message;
	peer->n_requests++;
	endpoint->n_requests++;
	charge(request, nng_msg_len(message));
	endpoint_push(endpoint, &request->node, ENDPOINT_NODE_REQUEST, request);
	return true;
}

static void note_received(struct endpoint_request *request)
{
	struct endpoint *endpoint = request->endpoint;
	int rv = nng_aio_result(request->aio);
	nng_msg *message = rv == 0 ? nng_aio_get_msg(request->aio) : NULL;
	pthread_mutex_lock(&endpoint->lock);
	endpoint->n_receiving--;
	if (rv == NNG_ECLOSED)
		request->state = ENDPOINT_DEAD;
	else if (message && hold(request, message))
		message = NULL;
	else
		put_idle(request);
	pthread_mutex_unlock(&endpoint->lock);
	nng_msg_free(message);
}

static void note_sent(struct endpoint_request *request)
{
	struct endpoint *endpoint = request->endpoint;
	int rv = nng_aio_result(request->aio);
	if (rv != 0)
		nng_msg_free(nng_aio_get_msg(request->aio));
	nng_aio_set_msg(request->aio, NULL);
	pthread_mutex_lock(&endpoint->lock);
	struct endpoint_peer *peer = request->peer;
	request->at_ms = now_ms();
	request->sent = rv == 0 && request->token != 0 && !endpoint_has_hung_up(peer);
	endpoint->n_sending--;
	endpoint->n_requests--;
	peer->n_unsent--;
	discharge(request);
	if (rv == NNG_ETIMEDOUT)
		endpoint_cut_peer(endpoint, peer); // it does not read: it shall not keep contexts
	if (rv == NNG_ECLOSED && request->token == 0) {
		request->state = ENDPOINT_DEAD;
		leave_peer(request);
	} else if (request->token != 0) {
		request->state = ENDPOINT_SENT;
		endpoint_push(endpoint, &request->node, ENDPOINT_NODE_ANSWERED, request);
	} else {
		endpoint_retire(request);
	}
	pthread_mutex_unlock(&endpoint->lock);
}

// On one of nng's threads.
static void finish(void *user)
{
	struct endpoint_request *request = user;
	pthread_mutex_lock(&request->endpoint->lock);
	enum endpoint_request_state state = request->state;
	pthread_mutex_unlock(&request->endpoint->lock);
	if (state == ENDPOINT_RECEIVING)
		note_received(request);
	else if (state == ENDPOINT_SENDING)
		note_sent(request);
}

static struct endpoint_request *open_context(struct endpoint *endpoint)
{
	struct endpoint_request *request = calloc(1, sizeof(*request));
	if (!request)
		return NULL;
	request->endpoint = endpoint;
	if (nng_ctx_open(&request->nng, endpoint->socket) != 0) {
		free(request);
		return NULL;
	}
	if (nng_aio_alloc(&request->aio, finish, request) != 0) {
		nng_ctx_close(request->nng);
		free(request);
		return NULL;
	}
	request->next_open = endpoint->open;
	endpoint->open = request;
	return request;
}

bool endpoint_is_full(const struct endpoint *endpoint)
{
	return endpoint->n_receiving + endpoint->n_requests >= endpoint->config.max_requests ||
	       endpoint->bytes >= BYTES_MAX;
}

// With the lock.
static bool wants_more(const struct endpoint *endpoint)
{
	return endpoint->n_receiving < RECEIVING_MAX && !endpoint->closing &&
	       !endpoint_is_full(endpoint);
}

static void receive(struct endpoint_request *request)
{
	nng_aio_set_timeout(request->aio, NNG_DURATION_INFINITE);
	nng_ctx_recv(request->nng, request->aio);
}

int endpoint_arm(struct endpoint *endpoint)
{
	pthread_mutex_lock(&endpoint->lock);
	bool low = endpoint->n_receiving < RECEIVING_MIN;
	while (low && wants_more(endpoint)) {
		struct endpoint_request *request = endpoint->idle;
		if (request) {
			endpoint->idle = request->next_idle;
		} else {
			pthread_mutex_unlock(&endpoint->lock);
			request = open_context(endpoint);
			pthread_mutex_lock(&endpoint->lock);
			if (!request)
				break; // what was held will come back, and is armed then
		}
		request->state = ENDPOINT_RECEIVING;
		endpoint->n_receiving++;
		pthread_mutex_unlock(&endpoint->lock);
		receive(request);
		pthread_mutex_lock(&endpoint->lock);
	}
	bool none = endpoint->n_receiving == 0 && endpoint->n_requests == 0;
	pthread_mutex_unlock(&endpoint->lock);
	return none ? -ENOMEM : 0;
}

const uint8_t *endpoint_request_body(const struct endpoint_request *request, size_t *ret_size)
{
	*ret_size = request->message ? nng_msg_len(request->message) : 0;
	return request->message ? nng_msg_body(request->message) : NULL;
}

uint64_t endpoint_request_connection(const struct endpoint_request *request)
{
	return request->peer->id; // set as long as the request is held
}

// The body belongs to the caller's thread as long as the request is held.
static void free_body(struct endpoint_request *request)
{
	nng_msg_free(request->message);
	request->message = NULL;
}

void endpoint_request_release_body(struct endpoint *endpoint, struct endpoint_request *request)
{
	free_body(request);
	pthread_mutex_lock(&endpoint->lock);
	discharge(request);
	if (endpoint->n_receiving < RECEIVING_MIN)
		endpoint_wake(endpoint);
	pthread_mutex_unlock(&endpoint->lock);
}

static void send_message(struct endpoint_request *request, nng_msg *message)
{
	nng_aio_set_msg(request->aio, message);
	nng_aio_set_timeout(request->aio, (nng_duration)request->endpoint->config.send_timeout_ms);
	nng_ctx_send(request->nng, request->aio);
}

void endpoint_answer(struct endpoint *endpoint, struct endpoint_request *request,
    const uint8_t *bytes, size_t size, uint64_t token)
{
	nng_msg *message = NULL;
	free_body(request);
	if (nng_msg_alloc(&message, 0) != 0 || nng_msg_append(message, bytes, size) != 0) {
		nng_msg_free(message);
		message = NULL;
	}
	pthread_mutex_lock(&endpoint->lock);
	struct endpoint_peer *peer = request->peer;
	request->token = token;
	discharge(request);
	bool send = message && !peer->gone && !peer->cut;
	if (send) {
		request->state = ENDPOINT_SENDING;
		endpoint->n_sending++;
		peer->n_unsent++;
		charge(request, size);
		if (peer->n_unsent > endpoint->config.max_unsent)
			endpoint_cut_peer(endpoint, peer);
	} else {
		request->at_ms = now_ms();
		request->sent = false;
		endpoint->n_requests--;
		if (!message)
			endpoint_cut_peer(endpoint, peer); // no memory: it shall ask again
		if (token != 0) {
			request->state = ENDPOINT_SENT;
			endpoint_push(endpoint, &request->node, ENDPOINT_NODE_ANSWERED, request);
		} else {
			endpoint_retire(request);
		}
	}
	pthread_mutex_unlock(&endpoint->lock);
	if (send)
		send_message(request, message);
	else
		nng_msg_free(message);
}

void endpoint_drop(struct endpoint *endpoint, struct endpoint_request *request)
{
	free_body(request);
	pthread_mutex_lock(&endpoint->lock);
	discharge(request);
	endpoint->n_requests--;
	endpoint_retire(request);
	pthread_mutex_unlock(&endpoint->lock);
}

void endpoint_stop_contexts(struct endpoint *endpoint)
{
	for (struct endpoint_request *request = endpoint->open; request; request = request->next_open) {
		nng_aio_free(request->aio);
		request->aio = NULL;
	}
}

void endpoint_free_contexts(struct endpoint *endpoint)
{
	struct endpoint_request *request;
	while ((request = endpoint->open) != NULL) {
		endpoint->open = request->next_open;
		free_body(request);
		if (request->peer)
			leave_peer(request);
		free(request);
	}
}
