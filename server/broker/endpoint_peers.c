// The connections of the endpoint: who is at the other end, decided once when a connection comes.
#include "server/broker/endpoint_parts.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nng/transport/ipc/ipc.h>

#include "server/common/clock.h"

static struct endpoint_peer **bucket_of(struct endpoint *endpoint, nng_pipe pipe)
{
	return &endpoint->peers[(uint32_t)nng_pipe_id(pipe) % ENDPOINT_BUCKETS];
}

struct endpoint_peer *endpoint_find_peer(struct endpoint *endpoint, nng_pipe pipe)
{
	struct endpoint_peer *peer = *bucket_of(endpoint, pipe);
	while (peer && nng_pipe_id(peer->pipe) != nng_pipe_id(pipe))
		peer = peer->next;
	return peer;
}

void endpoint_forget_peer(struct endpoint_peer *peer)
{
	if (peer->told_closed && peer->n_requests == 0)
		free(peer);
}

// Ended from below, the connection ends as if its client had gone; nng is asked to close it only
// where that does not help, because it is not reading.
void endpoint_cut_peer(struct endpoint *endpoint, struct endpoint_peer *peer)
{
	if (peer->cut || peer->gone)
		return;
	peer->cut = true;
	peer->cut_ms = now_ms();
	endpoint->counters.disconnected += !peer->own;
	if (peer->fd >= 0)
		shutdown(peer->fd, SHUT_RDWR);
}

// With the lock. An id of 0: none is left.
static nng_pipe take_cut(struct endpoint *endpoint, uint64_t before_ms)
{
	nng_pipe none = NNG_PIPE_INITIALIZER;
	for (size_t i = 0; i < ENDPOINT_BUCKETS; i++)
		for (struct endpoint_peer *peer = endpoint->peers[i]; peer; peer = peer->next)
			if (peer->cut && peer->cut_ms != 0 && peer->cut_ms <= before_ms) {
				peer->cut_ms = 0;
				return peer->pipe;
			}
	return none;
}

void endpoint_close_cut(struct endpoint *endpoint, uint64_t before_ms)
{
	for (;;) {
		pthread_mutex_lock(&endpoint->lock);
		nng_pipe pipe = take_cut(endpoint, before_ms);
		pthread_mutex_unlock(&endpoint->lock);
		if (nng_pipe_id(pipe) <= 0)
			return;
		nng_pipe_close(pipe);
	}
}

bool endpoint_has_hung_up(const struct endpoint_peer *peer)
{
	struct pollfd hung_up = {.fd = peer->fd};
	if (peer->gone)
		return true;
	return peer->fd >= 0 && poll(&hung_up, 1, 0) == 1 && (hung_up.revents & POLLHUP);
}

void endpoint_cut_hung_up(struct endpoint *endpoint)
{
	for (size_t i = 0; i < ENDPOINT_BUCKETS; i++)
		for (struct endpoint_peer *peer = endpoint->peers[i]; peer; peer = peer->next)
			if (endpoint_has_hung_up(peer))
				endpoint_cut_peer(endpoint, peer);
}

void endpoint_disconnect(struct endpoint *endpoint, uint64_t connection)
{
	pthread_mutex_lock(&endpoint->lock);
	for (size_t i = 0; i < ENDPOINT_BUCKETS; i++)
		for (struct endpoint_peer *peer = endpoint->peers[i]; peer; peer = peer->next)
			if (peer->id == connection)
				endpoint_cut_peer(endpoint, peer);
	pthread_mutex_unlock(&endpoint->lock);
}

struct endpoint_peer *endpoint_find_busiest(struct endpoint *endpoint)
{
	struct endpoint_peer *busiest = NULL;
	for (size_t i = 0; i < ENDPOINT_BUCKETS; i++)
		for (struct endpoint_peer *peer = endpoint->peers[i]; peer; peer = peer->next)
			if (!peer->cut && peer->n_requests > (busiest ? busiest->n_requests : 0))
				busiest = peer;
	return busiest;
}

// With the lock. NULL: the listener was closed meanwhile.
static struct endpoint_listener *find_listener(struct endpoint *endpoint, int id)
{
	struct endpoint_listener *listener = endpoint->listeners;
	while (listener && listener->id != id)
		listener = listener->next;
	return listener;
}

// With the lock. The counter of the peer's uid.
static uint32_t *count_of(struct endpoint *endpoint, const struct endpoint_peer *peer)
{
	if (peer->uid == endpoint->config.allowed_uid)
		return &endpoint->n_peers_allowed;
	return &endpoint->n_peers_root;
}

// With the lock. The process's own check of the listener is served, and not counted.
static bool is_welcome(struct endpoint *endpoint, const struct endpoint_peer *peer)
{
	if (endpoint->closing)
		return false;
	if (peer->own)
		return true;
	if (peer->uid == endpoint->config.allowed_uid || peer->uid == 0)
		if (*count_of(endpoint, peer) < endpoint->config.max_connections_per_peer)
			return true;
	endpoint->counters.refused++;
	return false;
}

static bool read_identity(struct endpoint_peer *peer)
{
	uint64_t uid, gid, pid;
	endpoint_calls_last_asked(); // forget what was asked before
	if (nng_pipe_get_uint64(peer->pipe, NNG_OPT_IPC_PEER_UID, &uid) != 0 ||
	    nng_pipe_get_uint64(peer->pipe, NNG_OPT_IPC_PEER_GID, &gid) != 0 ||
	    nng_pipe_get_uint64(peer->pipe, NNG_OPT_IPC_PEER_PID, &pid) != 0)
		return false;
	peer->fd = endpoint_calls_last_asked();
	peer->uid = (uid_t)uid;
	peer->gid = (gid_t)gid;
	peer->pid = (pid_t)pid;
	peer->own = peer->pid == getpid() && peer->uid == geteuid();
	return true;
}

// With the lock.
static void admit(struct endpoint *endpoint, struct endpoint_peer *peer)
{
	struct endpoint_peer **bucket = bucket_of(endpoint, peer->pipe);
	struct endpoint_listener *listener = find_listener(endpoint, peer->listener_id);
	peer->id = ++endpoint->last_peer_id;
	peer->next = *bucket;
	*bucket = peer;
	if (listener)
		listener->n_peers++;
	if (peer->own)
		return;
	++*count_of(endpoint, peer);
	endpoint_push(endpoint, &peer->connected, ENDPOINT_NODE_CONNECTED, peer);
}

// On one of nng's threads; to close the pipe here is how a connection is refused.
static void greet(nng_pipe pipe, nng_pipe_ev event, void *user)
{
	struct endpoint *endpoint = user;
	struct endpoint_peer *peer = calloc(1, sizeof(*peer));
	bool welcome = false;
	(void)event;
	if (peer) {
		peer->pipe = pipe;
		peer->listener_id = nng_listener_id(nng_pipe_listener(pipe));
		if (read_identity(peer)) {
			pthread_mutex_lock(&endpoint->lock);
			welcome = is_welcome(endpoint, peer);
			if (welcome)
				admit(endpoint, peer);
			pthread_mutex_unlock(&endpoint->lock);
		}
	}
	if (!welcome) {
		free(peer);
		nng_pipe_close(pipe);
	}
}

// With the lock.
static struct endpoint_peer *take_from_table(struct endpoint *endpoint, nng_pipe pipe)
{
	struct endpoint_peer **at = bucket_of(endpoint, pipe);
	while (*at && nng_pipe_id((*at)->pipe) != nng_pipe_id(pipe))
		at = &(*at)->next;
	struct endpoint_peer *peer = *at;
	if (peer)
		*at = peer->next;
	return peer;
}

// On one of nng's threads.
static void part(nng_pipe pipe, nng_pipe_ev event, void *user)
{
	struct endpoint *endpoint = user;
	(void)event;
	pthread_mutex_lock(&endpoint->lock);
	struct endpoint_peer *peer = take_from_table(endpoint, pipe);
	if (peer) {
		struct endpoint_listener *listener = find_listener(endpoint, peer->listener_id);
		peer->gone = true;
		if (listener)
			listener->n_peers--;
		if (peer->own) {
			peer->told_closed = true; // nobody else knows of it
			endpoint_forget_peer(peer);
		} else {
			--*count_of(endpoint, peer);
			endpoint_push(endpoint, &peer->closed, ENDPOINT_NODE_CLOSED, peer);
		}
	}
	pthread_mutex_unlock(&endpoint->lock);
}

int endpoint_notify_pipes(struct endpoint *endpoint)
{
	int rv = nng_pipe_notify(endpoint->socket, NNG_PIPE_EV_ADD_PRE, greet, endpoint);
	if (rv == 0)
		rv = nng_pipe_notify(endpoint->socket, NNG_PIPE_EV_REM_POST, part, endpoint);
	return rv;
}
