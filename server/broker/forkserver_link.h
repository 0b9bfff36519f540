// The broker's end of the link to the root: sends messages in order, hands out checked ones.
// Single-threaded, never blocks after forkserver_link_open.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/link/messages.h"

struct forkserver_link;

// Takes the socket over, sends the configuration and waits (at most 5 s) for the root's hello.
// *ret_arena_fd is owned by the caller. 0, -ETIMEDOUT, -EPROTO, -ECONNRESET.
int forkserver_link_open(int fd, const struct link_config *config,
    struct forkserver_link **ret_link, struct link_hello *ret_hello, int *ret_arena_fd);
void forkserver_link_close(struct forkserver_link *link);

int forkserver_link_fd(const struct forkserver_link *link);
// EPOLLIN, and EPOLLOUT while something waits to be sent.
uint32_t forkserver_link_events(const struct forkserver_link *link);

// Sends a message, or queues it behind what waits; fills in header.size. fd (or -1) goes along and
// is closed. -ECONNRESET: the root is gone; so it counts, too, where 64 MiB wait already.
// -ENOBUFS: a message with a descriptor was dropped, because 32 MiB wait already.
int forkserver_link_send(struct forkserver_link *link, void *message, uint32_t size, int fd);

// Sends what waits.
int forkserver_link_flush(struct forkserver_link *link);

// Hands the next checked message to *ret_message, borrowed until the next call. 1: one; 0: none
// now; -ECONNRESET: the root is gone. Pings are answered inside.
int forkserver_link_next(struct forkserver_link *link, const struct link_header **ret_message);
