// Four calls of libc as nng makes them in this program, so that a connection always ends in one
// way: its reader sees the end.
//
// nng has two defects that a client can set off by going away. (1) Before 1.6: the end of a
// connection in its handshake reads like the end of the listener, which then hands out no
// connection any more (nng #1518). (2) Before 1.12: where a connection ends on its writing side
// while a read has just succeeded, that read is lost, and nng's only thread that takes connections
// apart waits for it for ever (nng #2208); to kill one busy client is enough. So here
//   - the end of input is told as a reset, which nng never takes for the listener's own end;
//   - a write to a client that is gone succeeds: what was to be read is lost either way;
//   - a hang-up is told as readiness, so that reading finds the end;
//   - who asked for a peer's identity learns its descriptor.
// Nobody else in this program uses readv or epoll_wait, or sendmsg on a stream.
#include "server/broker/endpoint_parts.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_bool left_alone;
static _Thread_local int last_asked = -1;

void endpoint_calls_leave_alone(bool leave)
{
	atomic_store(&left_alone, leave);
}

int endpoint_calls_last_asked(void)
{
	int fd = last_asked;
	last_asked = -1;
	return fd;
}

static bool is_client(int fd)
{
	int domain, type;
	socklen_t size = sizeof(int);
	if (atomic_load_explicit(&left_alone, memory_order_relaxed))
		return false;
	return syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       domain == AF_UNIX &&
	       syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	       type == SOCK_STREAM;
}

ssize_t readv(int fd, const struct iovec *parts, int n)
{
	ssize_t size = syscall(SYS_readv, fd, parts, n);
	if (size != 0 || n == 0 || !is_client(fd))
		return size;
	errno = ECONNRESET;
	return -1;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t size = syscall(SYS_sendmsg, fd, message, flags);
	int error = errno;
	if (size >= 0 || (error != EPIPE && error != ECONNRESET) || !is_client(fd)) {
		errno = error;
		return size;
	}
	size = 0;
	for (size_t i = 0; i < message->msg_iovlen; i++)
		size += (ssize_t)message->msg_iov[i].iov_len;
	return size;
}

int epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
	int n = epoll_pwait(epoll_fd, events, max, timeout_ms, NULL); // which sanitizers understand
	if (atomic_load_explicit(&left_alone, memory_order_relaxed))
		return n;
	for (int i = 0; i < n; i++)
		if (events[i].events & (EPOLLHUP | EPOLLERR))
			events[i].events = EPOLLIN | EPOLLOUT;
	return n;
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
	if (level == SOL_SOCKET && option == SO_PEERCRED)
		last_asked = fd;
	return (int)syscall(SYS_getsockopt, fd, level, option, value, size);
}
