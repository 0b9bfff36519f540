// The broker's one thread: waits for descriptors and calls whoever watches them. Single-threaded.
#pragma once

#include <stdint.h>

struct loop;

// 0 or negative errno.
int loop_create(struct loop **ret_loop);
void loop_destroy(struct loop *loop);

// Calls ready(user, events) in loop_turn whenever fd has one of events (EPOLLIN, EPOLLOUT; EPOLLERR
// and EPOLLHUP always), as long as it has it. ready may add and remove any descriptor. One watch a
// descriptor: a second is -EEXIST. The caller keeps owning fd. 0 or negative errno.
int loop_add_fd(struct loop *loop, int fd, uint32_t events,
    void (*ready)(void *user, uint32_t events), void *user);

// Changes the events of a watched descriptor. 0 or negative errno.
int loop_change_fd(struct loop *loop, int fd, uint32_t events);

// Call it before closing fd: a closed pidfd can stay registered. Its ready is not called any more,
// not even for events already collected. Not watched: nothing happens.
void loop_remove_fd(struct loop *loop, int fd);

// Waits until a descriptor is ready or now_ms() >= until_ms (UINT64_MAX: never; in the past: only
// looks) and calls who watches. 0 or negative errno.
int loop_turn(struct loop *loop, uint64_t until_ms);
