// The first process of the server: the parent of the root. It does nothing but wait for the root's
// end, hand signals down and notices up, and kill what the root leaves behind.
#pragma once

#include <sys/types.h>

#include "server/forkserver/notify.h"

// Call once before the root is forked. 0 or negative errno.
int guard_prepare(void);

// Watches the root until its end; returns the exit status of the server, or ends by the signal that
// ended the root.
int guard_run(pid_t root_pid, struct notify *notify);
