// The listeners of the endpoint, and the file at the socket's path.
#include "server/broker/endpoint_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nng/transport/ipc/ipc.h>

#include "server/common/clock.h"

#define SOCKET_MODE   0600
#define KEEP_EMPTY_MS 10000u // as long as a handshake may take

static int configure(struct endpoint *endpoint, struct endpoint_listener *listener)
{
	char url[sizeof("ipc://") + ENDPOINT_BIND_MAX];
	snprintf(url, sizeof(url), "ipc://%s", listener->bound);
	int rv = nng_listener_create(&listener->nng, endpoint->socket, url);
	if (rv != 0)
		return rv;
	rv =
	    nng_listener_set_size(listener->nng, NNG_OPT_RECVMAXSZ, endpoint->config.max_message_bytes);
	if (rv == 0)
		rv = nng_listener_set_int(listener->nng, NNG_OPT_IPC_PERMISSIONS, SOCKET_MODE);
	if (rv != 0)
		nng_listener_close(listener->nng);
	listener->id = nng_listener_id(listener->nng);
	return rv;
}

static void put_first(struct endpoint *endpoint, struct endpoint_listener *listener)
{
	uint64_t now = now_ms();
	pthread_mutex_lock(&endpoint->lock);
	if (endpoint->listeners)
		endpoint->listeners->replaced_ms = now;
	listener->next = endpoint->listeners;
	endpoint->listeners = listener;
	pthread_mutex_unlock(&endpoint->lock);
}

static void take_first_away(struct endpoint *endpoint)
{
	pthread_mutex_lock(&endpoint->lock);
	struct endpoint_listener *listener = endpoint->listeners;
	endpoint->listeners = listener->next;
	if (endpoint->listeners)
		endpoint->listeners->replaced_ms = 0;
	pthread_mutex_unlock(&endpoint->lock);
	nng_listener_close(listener->nng);
	free(listener);
}

// rename replaces whatever lies there, without following it.
static int move_to_path(struct endpoint *endpoint, const struct endpoint_listener *listener)
{
	struct stat st;
	if (lstat(listener->bound, &st) < 0 || rename(listener->bound, endpoint->path) < 0) {
		int error = -errno;
		unlink(listener->bound);
		return error;
	}
	endpoint->socket_device = st.st_dev;
	endpoint->socket_inode = st.st_ino;
	return 0;
}

int endpoint_add_listener(struct endpoint *endpoint, char *ret_error, size_t error_size)
{
	struct endpoint_listener *listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	snprintf(listener->bound, sizeof(listener->bound), "%s.%u", endpoint->path,
	    ++endpoint->last_bind % 1000000);
	unlink(listener->bound); // left by a server that died: we hold the lock
	int rv = configure(endpoint, listener);
	if (rv != 0) {
		snprintf(
		    ret_error, error_size, "cannot listen on %s: %s", endpoint->path, nng_strerror(rv));
		free(listener);
		return -EIO;
	}
	put_first(endpoint, listener);
	rv = nng_listener_start(listener->nng, 0);
	int r = rv == 0 ? move_to_path(endpoint, listener) : -EIO;
	if (r < 0) {
		snprintf(ret_error, error_size, "cannot listen on %s: %s", endpoint->path,
		    rv != 0 ? nng_strerror(rv) : strerror(-r));
		take_first_away(endpoint);
	}
	return r;
}

// Takes out one that can be closed; NULL: none.
static struct endpoint_listener *take_unused(struct endpoint *endpoint, uint64_t now_ms)
{
	struct endpoint_listener *found = NULL;
	pthread_mutex_lock(&endpoint->lock);
	for (struct endpoint_listener **at = &endpoint->listeners; *at; at = &(*at)->next) {
		struct endpoint_listener *listener = *at;
		if (listener->replaced_ms != 0 && listener->n_peers == 0 &&
		    now_ms >= listener->replaced_ms + KEEP_EMPTY_MS) {
			*at = listener->next;
			found = listener;
			break;
		}
	}
	pthread_mutex_unlock(&endpoint->lock);
	return found;
}

void endpoint_drop_listeners(struct endpoint *endpoint, uint64_t now_ms)
{
	struct endpoint_listener *listener;
	while ((listener = take_unused(endpoint, now_ms)) != NULL) {
		nng_listener_close(listener->nng);
		free(listener);
	}
}

enum endpoint_path_state endpoint_look_at_path(const struct endpoint *endpoint)
{
	struct stat st;
	if (lstat(endpoint->path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? ENDPOINT_PATH_MISSING : ENDPOINT_PATH_FOREIGN;
	if (st.st_dev == endpoint->socket_device && st.st_ino == endpoint->socket_inode)
		return ENDPOINT_PATH_OURS;
	return ENDPOINT_PATH_FOREIGN;
}

void endpoint_remove_path(struct endpoint *endpoint)
{
	if (endpoint->socket_inode != 0 && endpoint_look_at_path(endpoint) == ENDPOINT_PATH_OURS)
		unlink(endpoint->path);
}

void endpoint_free_listeners(struct endpoint *endpoint)
{
	struct endpoint_listener *listener;
	while ((listener = endpoint->listeners) != NULL) {
		endpoint->listeners = listener->next;
		free(listener);
	}
}
