// Sees to it that new clients reach the endpoint, and that none keeps it from the others for ever.
//
// nng before 1.6: one peer that connects and closes during the handshake can make an ipc listener
// stop handing connections over; those that it has go on. endpoint_calls.c prevents that. Should it
// happen all the same, this process notices: it connects to itself as a client does and asks a
// question, and without an answer in time a second listener takes the path.
#include "server/broker/endpoint_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <nng/transport/ipc/ipc.h>

#include "server/common/cleanup.h"
#include "server/common/fd.h"
#include "server/common/log.h"

#define CHECK_MS     500u // from one check's begin to its end and the next one's begin
#define GRACE_MS     100u // more, before a silent listener is replaced
#define LOOK_MS      1000u
#define LOOK_FULL_MS 100u
#define STUCK_MS     1000u
#define CUT_MS       1000u // so long a disconnected client may take to be gone
#define CUT_FULL_MS  200u

// As a client without a library: handshake, then type, length, transport id and a body.
static const uint8_t question[] = {
    0, 'S', 'P', 0, 0, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0x80, 0, 0, 1};
// Handshake, type, length, transport id; some body follows.
#define ANSWER_MIN 21

static bool must_check(void)
{
	unsigned int major = 0, minor = 0;
	sscanf(nng_version(), "%u.%u", &major, &minor);
	bool built_old = NNG_MAJOR_VERSION * 100 + NNG_MINOR_VERSION < 106;
	return built_old || major * 100 + minor < 106;
}

// The descriptor of a check under way; -ECONNREFUSED: nobody listens; else it says nothing of the
// listener: descriptors are short, or many others connect just now.
static int begin_check(const struct endpoint *endpoint)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", endpoint->path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (send(fd, question, sizeof(question), MSG_NOSIGNAL) != sizeof(question))
		return -ECONNREFUSED;
	return fd_steal(&fd);
}

static bool has_answer(int fd)
{
	uint8_t answer[64];
	return recv(fd, answer, sizeof(answer), MSG_PEEK) >= ANSWER_MIN;
}

static void repair(struct endpoint *endpoint, const char *why)
{
	char error[256];
	if (endpoint_add_listener(endpoint, error, sizeof(error)) < 0) {
		log_error("%s, and it cannot be replaced: %s", why, error);
		return;
	}
	pthread_mutex_lock(&endpoint->lock);
	endpoint->counters.listener_repairs++;
	pthread_mutex_unlock(&endpoint->lock);
	log_warning("%s: another one has taken its place", why);
}

// Then the question waits as all others do.
static bool is_full(struct endpoint *endpoint)
{
	pthread_mutex_lock(&endpoint->lock);
	bool full = endpoint->n_receiving == 0 && endpoint_is_full(endpoint);
	pthread_mutex_unlock(&endpoint->lock);
	return full;
}

// The end of one check and the begin of the next.
static void check(struct endpoint *endpoint, uint64_t now_ms)
{
	struct endpoint_watch *watch = &endpoint->watch;
	if (watch->fd >= 0 && !has_answer(watch->fd)) {
		// This thread itself may have been late, or stopped: the answer gets one more chance.
		if (is_full(endpoint) || !watch->graced) {
			watch->graced = true;
			watch->next_check_ms = now_ms + GRACE_MS;
			return;
		}
		repair(endpoint, "the listener does not serve");
	}
	fd_close(&watch->fd);
	watch->graced = false;
	watch->next_check_ms = now_ms + CHECK_MS;
	if (endpoint_look_at_path(endpoint) != ENDPOINT_PATH_OURS)
		return;
	int fd = begin_check(endpoint);
	if (fd >= 0)
		watch->fd = fd;
	else if (fd == -ECONNREFUSED)
		repair(endpoint, "the listener takes no connection");
}

// At its limit the endpoint reads nothing, and so does not even learn that a client is gone. Where
// nothing at all was done with for a while, the client that holds most is disconnected: it asks
// again. Returns whether the endpoint is at its limit.
static bool make_room(struct endpoint *endpoint, uint64_t now_ms)
{
	struct endpoint_watch *watch = &endpoint->watch;
	struct endpoint_peer *busiest = NULL;
	pthread_mutex_lock(&endpoint->lock);
	bool full = endpoint->n_receiving == 0 && endpoint_is_full(endpoint);
	if (!full)
		watch->stuck_ms = STUCK_MS;
	if (!full || watch->n_retired != endpoint->n_retired)
		watch->moved_ms = now_ms;
	watch->n_retired = endpoint->n_retired;
	if (now_ms >= watch->moved_ms + watch->stuck_ms)
		busiest = endpoint_find_busiest(endpoint);
	if (full)
		endpoint_cut_hung_up(endpoint);
	if (busiest)
		endpoint_cut_peer(endpoint, busiest);
	pthread_mutex_unlock(&endpoint->lock);
	if (busiest) {
		watch->stuck_ms = LOOK_FULL_MS; // others that are gone may fill the room at once
		log_warning("no more requests can be held: the client that holds most is disconnected");
	}
	return full;
}

static void look(struct endpoint *endpoint, uint64_t now_ms)
{
	enum endpoint_path_state state = endpoint_look_at_path(endpoint);
	bool full = make_room(endpoint, now_ms);
	endpoint->watch.next_look_ms = now_ms + (full ? LOOK_FULL_MS : LOOK_MS);
	if (state == ENDPOINT_PATH_MISSING) {
		repair(endpoint, "the socket's file was removed");
	} else if (state == ENDPOINT_PATH_FOREIGN && !endpoint->watch.told_foreign) {
		endpoint->watch.told_foreign = true;
		log_error("%s was replaced by something else: new clients cannot reach this server",
		    endpoint->path);
	}
	endpoint_close_cut(endpoint, now_ms - (full ? CUT_FULL_MS : CUT_MS));
	endpoint_drop_listeners(endpoint, now_ms);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t endpoint_watch(struct endpoint *endpoint, uint64_t now_ms)
{
	struct endpoint_watch *watch = &endpoint->watch;
	bool checks = must_check();
	if (checks && now_ms >= watch->next_check_ms)
		check(endpoint, now_ms);
	if (now_ms >= watch->next_look_ms)
		look(endpoint, now_ms);
	return checks ? earlier(watch->next_look_ms, watch->next_check_ms) : watch->next_look_ms;
}

void endpoint_stop_watch(struct endpoint *endpoint)
{
	fd_close(&endpoint->watch.fd);
}
