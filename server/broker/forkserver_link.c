// The broker's end of the link to the root: a queue of what waits to be sent, and checked messages.
#include "server/broker/forkserver_link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "server/common/cleanup.h"
#include "server/common/clock.h"
#include "server/common/fd.h"
#include "server/common/log.h"
#include "server/link/check.h"
#include "server/link/socket.h"

#define HELLO_WAIT_MS     5000u
#define QUEUED_BYTES_MAX  (64u << 20)
#define QUEUED_FIXED_COST 64u // of a record's own bookkeeping, so that small ones count too

struct record {
	struct record *next;
	int fd; // goes along; -1: none
	uint32_t size;
	uint64_t message[]; // aligned as messages are
};

struct forkserver_link {
	int fd;
	bool gone;
	struct record *first, **last;
	size_t queued_bytes;
	uint64_t received[LINK_MESSAGE_MAX / sizeof(uint64_t)];
};

static void free_record(struct record *record)
{
	fd_close(&record->fd);
	free(record);
}

static void drop_queue(struct forkserver_link *link)
{
	while (link->first) {
		struct record *record = link->first;
		link->first = record->next;
		free_record(record);
	}
	link->last = &link->first;
	link->queued_bytes = 0;
}

static int note_gone(struct forkserver_link *link)
{
	link->gone = true;
	drop_queue(link);
	return -ECONNRESET;
}

static int append(struct forkserver_link *link, const void *message, uint32_t size, int *fd)
{
	size_t cost = size + QUEUED_FIXED_COST;
	// What has a descriptor begins something new and may be refused: it leaves room for the rest.
	size_t max = *fd >= 0 ? QUEUED_BYTES_MAX / 2 : QUEUED_BYTES_MAX;
	if (link->queued_bytes + cost > max)
		return -ENOBUFS;
	struct record *record = malloc(sizeof(*record) + size);
	if (!record)
		return -ENOBUFS;
	record->next = NULL;
	record->fd = fd_steal(fd);
	record->size = size;
	memcpy(record->message, message, size);
	*link->last = record;
	link->last = &record->next;
	link->queued_bytes += cost;
	return 0;
}

int forkserver_link_flush(struct forkserver_link *link)
{
	if (link->gone)
		return -ECONNRESET;
	while (link->first) {
		struct record *record = link->first;
		int r = link_send(link->fd, record->message, record->fd);
		if (r == -EAGAIN)
			return 0;
		if (r < 0) {
			log_error("link: cannot send to the root: %s", strerror(-r));
			return note_gone(link);
		}
		link->first = record->next;
		if (!link->first)
			link->last = &link->first;
		link->queued_bytes -= record->size + QUEUED_FIXED_COST;
		free_record(record);
	}
	return 0;
}

int forkserver_link_send(struct forkserver_link *link, void *message, uint32_t size, int fd)
{
	CLEANUP_FD int pass_fd = fd;
	struct link_header *header = message;
	header->size = size;
	if (link->gone)
		return -ECONNRESET;
	if (!link->first) {
		int r = link_send(link->fd, message, pass_fd);
		if (r == 0)
			return 0;
		if (r != -EAGAIN) {
			log_error("link: cannot send message %u to the root: %s", header->kind, strerror(-r));
			return note_gone(link);
		}
	}
	int r = append(link, message, size, &pass_fd);
	if (r < 0 && fd < 0) {
		log_error("link: no room for message %u to the root", header->kind);
		return note_gone(link); // a root that misses an order must not be taken to have had it
	}
	return r;
}

// Receives one message that its reader can trust. 1, 0 or -ECONNRESET; -EPROTO: the root does not
// speak as it should.
static int receive(
    struct forkserver_link *link, const struct link_header **ret_message, int *ret_fd)
{
	CLEANUP_FD int fd = -1;
	size_t size;
	int r = link_receive(link->fd, link->received, sizeof(link->received), &size, &fd);
	if (r == -EAGAIN)
		return 0;
	if (r == -EPIPE)
		return note_gone(link);
	if (r == 0)
		r = link_check(link->received, size, LINK_TO_BROKER);
	const struct link_header *header = (const struct link_header *)link->received;
	if (r == 0 && link_carries_fd(header->kind) != (fd >= 0))
		r = -EBADMSG;
	if (r < 0) {
		log_error("link: the root sent a message that cannot be read: %s", strerror(-r));
		return -EPROTO;
	}
	*ret_message = header;
	*ret_fd = fd_steal(&fd);
	return 1;
}

static void answer_ping(struct forkserver_link *link, const struct link_header *message)
{
	const struct link_ping *ping = (const struct link_ping *)message;
	struct link_pong pong = {.header.kind = LINK_PONG, .serial = ping->serial};
	forkserver_link_send(link, &pong, sizeof(pong), -1);
}

int forkserver_link_next(struct forkserver_link *link, const struct link_header **ret_message)
{
	for (;;) {
		CLEANUP_FD int fd = -1;
		const struct link_header *message;
		if (link->gone)
			return -ECONNRESET;
		int r = receive(link, &message, &fd);
		if (r == -EPROTO)
			return note_gone(link);
		if (r <= 0)
			return r;
		if (message->kind == LINK_PING) {
			answer_ping(link, message);
			continue;
		}
		*ret_message = message;
		return 1;
	}
}

// Waits for the first message other than a ping.
static int await_hello(struct forkserver_link *link, struct link_hello *ret_hello, int *ret_fd)
{
	uint64_t until_ms = now_ms() + HELLO_WAIT_MS;
	for (;;) {
		CLEANUP_FD int fd = -1;
		const struct link_header *message;
		int r = receive(link, &message, &fd);
		if (r < 0)
			return r;
		if (r == 1 && message->kind == LINK_HELLO) {
			memcpy(ret_hello, message, sizeof(*ret_hello));
			*ret_fd = fd_steal(&fd);
			return ret_hello->version == LINK_VERSION ? 0 : -EPROTO;
		}
		if (r == 1 && message->kind == LINK_PING)
			answer_ping(link, message);
		else if (r == 1)
			return -EPROTO;
		uint64_t now = now_ms();
		if (now >= until_ms)
			return -ETIMEDOUT;
		struct pollfd ready = {.fd = link->fd, .events = (short)forkserver_link_events(link)};
		poll(&ready, 1, (int)(until_ms - now));
		r = forkserver_link_flush(link);
		if (r < 0)
			return r;
	}
}

int forkserver_link_open(int fd, const struct link_config *config,
    struct forkserver_link **ret_link, struct link_hello *ret_hello, int *ret_arena_fd)
{
	CLEANUP_FD int owned = fd;
	struct link_hello hello;
	CLEANUP_FD int arena_fd = -1;
	struct forkserver_link *link = calloc(1, sizeof(*link));
	if (!link)
		return -ENOMEM;
	link->last = &link->first;
	link->fd = fd_steal(&owned);
	struct link_config message = *config;
	message.header.kind = LINK_CONFIG;
	int r = fd_set_cloexec(link->fd);
	if (r == 0)
		r = forkserver_link_send(link, &message, sizeof(message), -1);
	if (r == 0)
		r = await_hello(link, &hello, &arena_fd);
	if (r < 0) {
		forkserver_link_close(link);
		return r;
	}
	*ret_link = link;
	*ret_hello = hello;
	*ret_arena_fd = fd_steal(&arena_fd);
	return 0;
}

void forkserver_link_close(struct forkserver_link *link)
{
	if (!link)
		return;
	drop_queue(link);
	fd_close(&link->fd);
	free(link);
}

int forkserver_link_fd(const struct forkserver_link *link)
{
	return link->fd;
}

uint32_t forkserver_link_events(const struct forkserver_link *link)
{
	return link->first ? EPOLLIN | EPOLLOUT : EPOLLIN;
}
