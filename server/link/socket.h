// Sends and receives single records on the link. Nothing here blocks, whatever the socket's flags.
#pragma once

#include <stddef.h>

// Makes the two ends: non-blocking, close-on-exec. The caller owns both. 0 or negative errno.
int link_pair(int ret_fds[2]);

// Sends one record whose header.size is set, and with it a copy of pass_fd unless that is -1 (the
// caller keeps its own). 0; -EAGAIN: the queue is full, nothing was sent; -EPIPE: the other end is
// gone; else negative errno.
int link_send(int fd, const void *message, int pass_fd);

// Receives one record into buffer (use LINK_MESSAGE_MAX bytes). *ret_fd gets the descriptor that
// came with it, close-on-exec and owned by the caller, or -1. 0; -EAGAIN: none now; -EPIPE: the
// other end is gone; -EBADMSG: a record that does not fit or carries more than one descriptor (it
// is consumed, its descriptors are closed); -EMFILE: the record is in buffer, and *ret_size its
// size, but there was no room for its descriptor; else negative errno.
int link_receive(int fd, void *buffer, size_t size, size_t *ret_size, int *ret_fd);
