// The lock that keeps two servers from one socket: an flock on "<socket>.lock".
#pragma once

#include <stddef.h>
#include <sys/types.h>

// Takes the lock without waiting and writes holder into the file, for the sentence that others
// read. Follows no link. *ret_fd holds the lock until listen_lock_release or the end of the
// process. 0; -EADDRINUSE: another holds it; else negative errno. ret_error gets a sentence.
int listen_lock_take(
    const char *socket_path, pid_t holder, int *ret_fd, char *ret_error, size_t error_size);

// Removes the file, then lets go. *fd is -1 afterwards.
void listen_lock_release(const char *socket_path, int *fd);
