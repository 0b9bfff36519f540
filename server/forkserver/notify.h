// Tells the world that the server is ready or stopping: a line on standard output, and the service
// manager's notification socket. The manager listens to the process that it started, the guard, so
// the root hands its notices to the guard by a pipe. No call blocks.
#pragma once

// In the guard: a channel. ret_fds[0] stays with the guard, ret_fds[1] goes to the root. Takes
// NOTIFY_SOCKET out of the environment.
struct notify {
	int fd;
	char socket[108]; // empty: nobody listens
};

int notify_open(struct notify *notify, int *ret_root_fd);

// In the guard: passes on what has come. 0: may go on; -EPIPE: the root has closed its end.
int notify_pass_on(struct notify *notify);

// In the root.
void notify_ready(int channel, const char *url);
void notify_stopping(int channel);
