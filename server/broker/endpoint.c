// The door to nng: opening, the queue of events, closing.
#include "server/broker/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>

#include "server/broker/endpoint_parts.h"
#include "server/broker/listen_lock.h"
#include "server/common/clock.h"
#include "server/common/fd.h"
#include "server/common/log.h"

#define CONNECTION_BYTES (64u << 20)
#define CLOSE_WAIT_MS    2000u
#define FLUSH_STEP_MS    5

void endpoint_wake(struct endpoint *endpoint)
{
	uint64_t one = 1;
	if (endpoint->woken)
		return;
	endpoint->woken = true;
	if (write(endpoint->wake_fd, &one, sizeof(one)) < 0)
		endpoint->woken = false; // cannot be: the counter is 0
}

void endpoint_push(struct endpoint *endpoint, struct endpoint_node *node,
    enum endpoint_node_kind kind, void *owner)
{
	node->next = NULL;
	node->kind = kind;
	node->owner = owner;
	*endpoint->last = node;
	endpoint->last = &node->next;
	endpoint_wake(endpoint);
}

// With the lock. Without an event the descriptor is not readable any more.
static struct endpoint_node *pop(struct endpoint *endpoint)
{
	struct endpoint_node *node = endpoint->first;
	if (node) {
		endpoint->first = node->next;
		if (!endpoint->first)
			endpoint->last = &endpoint->first;
	} else if (endpoint->woken) {
		uint64_t count;
		if (read(endpoint->wake_fd, &count, sizeof(count)) == sizeof(count))
			endpoint->woken = false;
	}
	return node;
}

static void fill_peer(struct endpoint_event *event, const struct endpoint_peer *peer)
{
	event->connection = peer->id;
	event->peer_uid = peer->uid;
	event->peer_gid = peer->gid;
	event->peer_pid = peer->pid;
}

// With the lock. Fills in what the caller is told; false: the endpoint's own matter.
static bool tell(struct endpoint_node *node, struct endpoint_event *event)
{
	struct endpoint_request *request = node->owner;
	struct endpoint_peer *peer = node->owner;
	memset(event, 0, sizeof(*event));
	switch (node->kind) {
	case ENDPOINT_NODE_CONNECTED:
		event->kind = ENDPOINT_CONNECTED;
		fill_peer(event, peer);
		return true;
	case ENDPOINT_NODE_CLOSED:
		event->kind = ENDPOINT_CLOSED;
		fill_peer(event, peer);
		peer->told_closed = true;
		endpoint_forget_peer(peer);
		return true;
	case ENDPOINT_NODE_REQUEST:
		event->kind = ENDPOINT_REQUEST;
		event->request = request;
		fill_peer(event, request->peer);
		return true;
	case ENDPOINT_NODE_ANSWERED:
		event->kind = ENDPOINT_ANSWERED;
		event->token = request->token;
		event->at_ms = request->at_ms;
		event->sent = request->sent;
		fill_peer(event, request->peer);
		endpoint_retire(request);
		return true;
	}
	return false;
}

// The process's own check of the listener gets an answer here: any will do.
static void answer_own(struct endpoint *endpoint, struct endpoint_request *request)
{
	static const uint8_t alive[] = "alive";
	endpoint_answer(endpoint, request, alive, sizeof(alive) - 1, 0);
}

bool endpoint_next(struct endpoint *endpoint, struct endpoint_event *ret_event)
{
	for (;;) {
		endpoint_arm(endpoint);
		pthread_mutex_lock(&endpoint->lock);
		struct endpoint_node *node = pop(endpoint);
		bool told = node && tell(node, ret_event);
		struct endpoint_peer *peer =
		    told && ret_event->kind == ENDPOINT_REQUEST ? ret_event->request->peer : NULL;
		bool own = peer && peer->own, over = peer && (peer->cut || peer->gone);
		pthread_mutex_unlock(&endpoint->lock);
		if (over) // nobody would read the answer: it is as if the request had not come
			endpoint_drop(endpoint, ret_event->request);
		else if (own)
			answer_own(endpoint, ret_event->request);
		else
			return told;
	}
}

int endpoint_fd(const struct endpoint *endpoint)
{
	return endpoint->wake_fd;
}

void endpoint_count(const struct endpoint *endpoint, struct endpoint_counters *ret_counters)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&endpoint->lock;
	pthread_mutex_lock(lock);
	*ret_counters = endpoint->counters;
	ret_counters->connections = (uint64_t)endpoint->n_peers_allowed + endpoint->n_peers_root;
	ret_counters->requests_held = endpoint->n_requests;
	pthread_mutex_unlock(lock);
}

void endpoint_flush(struct endpoint *endpoint, uint32_t wait_ms)
{
	uint64_t until_ms = now_ms() + wait_ms;
	for (;;) {
		pthread_mutex_lock(&endpoint->lock);
		bool busy = endpoint->n_sending > 0;
		pthread_mutex_unlock(&endpoint->lock);
		if (!busy || now_ms() >= until_ms)
			return;
		nanosleep(&(struct timespec){.tv_nsec = FLUSH_STEP_MS * 1000000L}, NULL);
	}
}

static int prepare_path(struct endpoint *endpoint, char *ret_error, size_t error_size)
{
	const struct endpoint_config *config = &endpoint->config;
	const char *path;
	int r = runtime_dir_url_path(config->url, &path, ret_error, error_size);
	if (r < 0)
		return r;
	snprintf(endpoint->path, sizeof(endpoint->path), "%s", path);
	if (config->make_directory)
		r = runtime_dir_make(path, geteuid(), ret_error, error_size);
	else
		r = runtime_dir_check(path, geteuid(), ret_error, error_size);
	if (r < 0)
		return r;
	r = listen_lock_take(path, config->holder ? config->holder : getpid(), &endpoint->lock_fd,
	    ret_error, error_size);
	if (r < 0)
		return r;
	return runtime_dir_check_socket(path, ret_error, error_size);
}

static int open_socket(struct endpoint *endpoint, char *ret_error, size_t error_size)
{
	int rv = nng_rep0_open(&endpoint->socket);
	if (rv == 0)
		rv = nng_socket_set_size(
		    endpoint->socket, NNG_OPT_RECVMAXSZ, endpoint->config.max_message_bytes);
	if (rv == 0)
		rv = endpoint_notify_pipes(endpoint);
	if (rv != 0) {
		snprintf(ret_error, error_size, "cannot open a socket: %s", nng_strerror(rv));
		return -ENOMEM;
	}
	int r = endpoint_arm(endpoint);
	if (r < 0) {
		snprintf(ret_error, error_size, "cannot receive: %s", strerror(-r));
		return r;
	}
	return endpoint_add_listener(endpoint, ret_error, error_size);
}

// Half of the descriptors at most are for clients: who is refused is told at once, while a process
// out of descriptors serves nobody new and cannot start anything.
static void limit_connections(struct endpoint_config *config)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur / 2 < config->max_connections_per_peer)
		config->max_connections_per_peer = (uint32_t)(limit.rlim_cur / 2);
}

static int make(const struct endpoint_config *config, struct endpoint **ret_endpoint)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
	if (!endpoint)
		return -ENOMEM;
	endpoint->config = *config;
	limit_connections(&endpoint->config);
	if (endpoint->config.max_unsent == 0)
		endpoint->config.max_unsent = config->max_requests;
	if (endpoint->config.max_connection_bytes == 0)
		endpoint->config.max_connection_bytes = CONNECTION_BYTES;
	endpoint_calls_leave_alone(config->leave_calls);
	endpoint->lock_fd = -1;
	endpoint->watch.fd = -1;
	endpoint->last = &endpoint->first;
	endpoint->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (endpoint->wake_fd < 0) {
		int error = -errno;
		free(endpoint);
		return error;
	}
	pthread_mutex_init(&endpoint->lock, NULL);
	*ret_endpoint = endpoint;
	return 0;
}

int endpoint_open(const struct endpoint_config *config, struct endpoint **ret_endpoint,
    char *ret_error, size_t error_size)
{
	struct endpoint *endpoint = NULL;
	int r = make(config, &endpoint);
	if (r < 0) {
		snprintf(ret_error, error_size, "cannot begin to listen: %s", strerror(-r));
		return r;
	}
	r = prepare_path(endpoint, ret_error, error_size);
	if (r == 0)
		r = open_socket(endpoint, ret_error, error_size);
	if (r < 0) {
		endpoint_close(endpoint);
		return r;
	}
	*ret_endpoint = endpoint;
	return 0;
}

static void *close_nng(void *argument)
{
	struct endpoint *endpoint = argument;
	nng_close(endpoint->socket);
	endpoint_stop_contexts(endpoint);
	return NULL;
}

// nng's own close has hung in some versions: it runs aside, and is left behind where it hangs.
static bool close_in_time(struct endpoint *endpoint)
{
	pthread_t thread;
	struct timespec until;
	if (nng_socket_id(endpoint->socket) <= 0)
		return true;
	int error = pthread_create(&thread, NULL, close_nng, endpoint);
	if (error != 0) {
		log_warning("cannot close the connections in order: %s", strerror(error));
		return false;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLOSE_WAIT_MS / 1000;
	error = pthread_timedjoin_np(thread, NULL, &until);
	if (error == 0)
		return true;
	log_warning("the connections do not close; they end with the process");
	pthread_detach(thread);
	return false;
}

// Every connection is closed: its CLOSED is in the queue, or was told.
static void free_queue(struct endpoint *endpoint)
{
	struct endpoint_node *node;
	while ((node = endpoint->first) != NULL) {
		struct endpoint_peer *peer = node->owner;
		endpoint->first = node->next;
		if (node->kind != ENDPOINT_NODE_CLOSED)
			continue;
		peer->told_closed = true;
		endpoint_forget_peer(peer);
	}
}

void endpoint_close(struct endpoint *endpoint)
{
	if (!endpoint)
		return;
	endpoint_stop_watch(endpoint);
	pthread_mutex_lock(&endpoint->lock);
	endpoint->closing = true;
	pthread_mutex_unlock(&endpoint->lock);
	endpoint_remove_path(endpoint);
	bool closed = close_in_time(endpoint);
	listen_lock_release(endpoint->path, &endpoint->lock_fd);
	if (!closed)
		return; // nng's threads may still enter: all stays as it is
	free_queue(endpoint);
	endpoint_free_contexts(endpoint);
	endpoint_free_listeners(endpoint);
	fd_close(&endpoint->wake_fd);
	pthread_mutex_destroy(&endpoint->lock);
	free(endpoint);
}
