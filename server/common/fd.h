// Small operations on descriptors. None of them blocks; all may be used from any thread.
#pragma once

// Closes *fd unless it is -1, sets it to -1, keeps errno.
void fd_close(int *fd);

// Returns *fd and leaves -1 behind: ownership passes to the caller.
int fd_steal(int *fd);

// Switch the flag on. 0 or negative errno.
int fd_set_cloexec(int fd);
int fd_set_nonblock(int fd);

// Opens descriptors 0, 1 and 2 on /dev/null where they are closed, so that no later descriptor gets
// a number below 3. 0 or negative errno.
int fd_fill_standard(void);
