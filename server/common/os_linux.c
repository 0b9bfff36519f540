// What the operating system alone can do: Linux, by raw system calls where libc has none.
#include "server/common/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif
#define WAIT_PIDFD 3 // P_PIDFD, which older headers lack

int os_pidfd_open(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : (int)fd;
}

int os_pidfd_of_peer(int socket_fd)
{
	int pidfd = -1;
	socklen_t size = sizeof(pidfd);
	if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0)
		return -errno;
	return pidfd;
}

int os_pidfd_signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

// The raw call has a fifth argument that libc hides: the child's usage.
static int reap(int type, int id, int options, struct os_exit *ret_exit)
{
	siginfo_t info;
	struct rusage usage;
	memset(&info, 0, sizeof(info));
	memset(&usage, 0, sizeof(usage));
	if (syscall(SYS_waitid, type, id, &info, WEXITED | WNOHANG | __WALL | options, &usage) < 0)
		return -errno;
	ret_exit->pid = info.si_pid;
	ret_exit->code_kind = info.si_code;
	ret_exit->status = info.si_status;
	ret_exit->usage = usage;
	return 0;
}

int os_reap_pidfd(int pidfd, struct os_exit *ret_exit)
{
	return reap(WAIT_PIDFD, pidfd, 0, ret_exit);
}

int os_reap_any(struct os_exit *ret_exit)
{
	return reap(P_ALL, 0, 0, ret_exit);
}

int os_peek_any(pid_t *ret_pid)
{
	struct os_exit seen;
	int r = reap(P_ALL, 0, WNOWAIT, &seen);
	if (r == 0)
		*ret_pid = seen.pid;
	return r;
}

int os_close_from(unsigned int first, int unshare)
{
	unsigned int flags = unshare ? CLOSE_RANGE_UNSHARE : 0;
	return syscall(SYS_close_range, first, ~0U, flags) < 0 ? -errno : 0;
}

int os_memory_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

int os_become_subreaper(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int os_signal_on_parent_death(int signal, pid_t expected_parent)
{
	if (prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) < 0)
		return -errno;
	return getppid() == expected_parent ? 0 : -ESRCH;
}

int os_random(void *buffer, size_t size)
{
	unsigned char *bytes = buffer;
	while (size > 0) {
		ssize_t n = getrandom(bytes, size, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}
