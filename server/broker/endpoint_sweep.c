// Ends connections that hang in a replaced listener of nng before 1.6.
//
// Such a listener still takes connections in and shakes hands, but nobody ever reads from them, and
// nng tells of them nowhere. They are found as this process's sockets that bear the listener's name
// and have had the same unread input in two sweeps; their clients see the end and connect again. A
// connection that is served can look so only where its client has sent more than is read in time;
// it has to connect again too, and loses nothing by it.
#include "server/broker/endpoint_parts.h"

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "server/common/log.h"

struct endpoint_hung {
	uint64_t cookie; // the kernel's name of the socket; descriptors are reused
	int unread;
};

struct sweep {
	struct endpoint *endpoint;
	struct endpoint_hung *now;
	size_t n_now, capacity;
	unsigned int n_ended;
};

static bool is_of_replaced(const struct endpoint *endpoint, int fd)
{
	struct sockaddr_un name;
	socklen_t size = sizeof(name);
	memset(&name, 0, sizeof(name));
	if (getsockname(fd, (struct sockaddr *)&name, &size) < 0 || name.sun_family != AF_UNIX)
		return false;
	for (const struct endpoint_listener *l = endpoint->listeners->next; l; l = l->next)
		if (strncmp(name.sun_path, l->bound, sizeof(name.sun_path)) == 0)
			return true;
	return false;
}

// False for a listening socket (FIONREAD fails there), and for one that was ended already, by its
// client or here: its descriptor stays as long as its listener.
static bool read_state(int fd, struct endpoint_hung *ret_state)
{
	socklen_t size = sizeof(ret_state->cookie);
	struct pollfd ended = {.fd = fd};
	if (poll(&ended, 1, 0) != 0)
		return false;
	if (ioctl(fd, FIONREAD, &ret_state->unread) < 0 || ret_state->unread <= 0)
		return false;
	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &ret_state->cookie, &size) == 0;
}

static bool was_seen(const struct endpoint *endpoint, const struct endpoint_hung *state)
{
	for (size_t i = 0; i < endpoint->watch.n_hung; i++)
		if (endpoint->watch.hung[i].cookie == state->cookie &&
		    endpoint->watch.hung[i].unread == state->unread)
			return true;
	return false;
}

static void remember(struct sweep *sweep, const struct endpoint_hung *state)
{
	if (sweep->n_now == sweep->capacity) {
		size_t capacity = sweep->capacity ? 2 * sweep->capacity : 16;
		struct endpoint_hung *now = reallocarray(sweep->now, capacity, sizeof(*now));
		if (!now)
			return; // found again by the next sweep
		sweep->now = now;
		sweep->capacity = capacity;
	}
	sweep->now[sweep->n_now++] = *state;
}

static void look_at(struct sweep *sweep, int fd)
{
	struct endpoint_hung state;
	if (!is_of_replaced(sweep->endpoint, fd) || !read_state(fd, &state))
		return;
	if (!was_seen(sweep->endpoint, &state)) {
		remember(sweep, &state);
		return;
	}
	shutdown(fd, SHUT_RDWR); // the descriptor stays nng's
	sweep->n_ended++;
}

void endpoint_sweep(struct endpoint *endpoint)
{
	struct sweep sweep = {.endpoint = endpoint};
	DIR *descriptors = opendir("/proc/self/fd");
	if (!descriptors)
		return;
	const struct dirent *entry;
	while ((entry = readdir(descriptors)) != NULL)
		if (entry->d_name[0] != '.')
			look_at(&sweep, (int)strtol(entry->d_name, NULL, 10));
	closedir(descriptors);
	free(endpoint->watch.hung);
	endpoint->watch.hung = sweep.now;
	endpoint->watch.n_hung = sweep.n_now;
	if (sweep.n_ended > 0)
		log_warning("ended %u connections that the replaced listener did not serve", sweep.n_ended);
}
