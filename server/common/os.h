// What the operating system alone can do, behind plain functions. Every platform #if lives in
// os_*.c. Functions return 0, or a descriptor or count, or negative errno; none blocks.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

// A close-on-exec descriptor that names the process; readable once it has ended.
int os_pidfd_open(pid_t pid);

// The same from a connected unix socket: who was at the other end when it connected.
// -ENOPROTOOPT where the kernel is older than 6.5.
int os_pidfd_of_peer(int socket_fd);

int os_pidfd_signal(int pidfd, int signal);

struct os_exit {
	pid_t pid;     // 0: nothing to collect now
	int code_kind; // CLD_EXITED, CLD_KILLED, CLD_DUMPED
	int status;    // exit code or signal
	struct rusage usage;
};

// Collects the child behind pidfd, of any clone kind, without waiting. -ECHILD: not a child (any
// more).
int os_reap_pidfd(int pidfd, struct os_exit *ret_exit);

// Collects any child that has ended, without waiting.
int os_reap_any(struct os_exit *ret_exit);

// Looks which child has ended, without collecting it and without waiting.
int os_peek_any(pid_t *ret_pid);

// Collects the child of that pid, without waiting; its cost does not grow with the children.
int os_reap_pid(pid_t pid, struct os_exit *ret_exit);

// Starts a process that shares this one's memory and descriptor table until it unshares or
// executes, with default signal handlers, on a stack of its own (top aligned to 16). run must not
// return and may use os_raw alone. The caller's own thread goes on at once. Returns the pid;
// *ret_pidfd is close-on-exec and the caller's.
int os_clone_sharing(
    void *stack, size_t stack_size, void (*run)(void *), void *argument, int *ret_pidfd);

// The hard limit of another process; -EPERM where only /proc tells it.
int os_hard_limit(pid_t pid, int resource, uint64_t *ret_limit);

// Real-time priority for this thread, not for its children; off: ordinary again.
int os_realtime(int on);

// Closes all descriptors from first on; with unshare first gives this task a table of its own.
int os_close_from(unsigned int first, int unshare);

// A memory file that can be sealed, close-on-exec, never executable where the kernel knows that.
int os_memory_file(const char *name);

// Adopts the orphans among this process's descendants.
int os_become_subreaper(void);

// This process gets the signal when its parent ends; -ESRCH if the parent is not expected_parent.
int os_signal_on_parent_death(int signal, pid_t expected_parent);

// Fills the buffer with random bytes.
int os_random(void *buffer, size_t size);
