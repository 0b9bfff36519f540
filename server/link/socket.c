// Sends and receives single records on the link.
#include "server/link/socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "server/common/cleanup.h"
#include "server/link/messages.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int link_pair(int ret_fds[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) < 0)
		return -errno;
	return 0;
}

// A peer killed with unread input shows first as ECONNRESET, then as EPIPE: both mean gone.
static int map_error(int error)
{
	if (error == ECONNRESET || error == EPIPE || error == ENOTCONN)
		return -EPIPE;
	if (error == EWOULDBLOCK || error == ENOBUFS)
		return -EAGAIN;
	return -error;
}

int link_send(int fd, const void *message, int pass_fd)
{
	const struct link_header *header = message;
	struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = header->size};
	struct msghdr record = {.msg_iov = &part, .msg_iovlen = 1};
	union control control;
	if (header->size < sizeof(*header) || header->size > LINK_MESSAGE_MAX)
		return -EMSGSIZE;
	if (pass_fd >= 0) {
		memset(&control, 0, sizeof(control));
		record.msg_control = control.bytes;
		record.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *part_of = CMSG_FIRSTHDR(&record);
		part_of->cmsg_level = SOL_SOCKET;
		part_of->cmsg_type = SCM_RIGHTS;
		part_of->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(part_of), &pass_fd, sizeof(int));
	}
	ssize_t n;
	do
		n = sendmsg(fd, &record, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? map_error(errno) : 0;
}

// Returns the first descriptor that came, closes any further ones and counts all.
static int take_descriptors(struct msghdr *record, size_t *ret_count)
{
	int first = -1;
	*ret_count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(record); c; c = CMSG_NXTHDR(record, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if ((*ret_count)++ == 0)
				first = fd;
			else
				close(fd);
		}
	}
	return first;
}

int link_receive(int fd, void *buffer, size_t size, size_t *ret_size, int *ret_fd)
{
	struct iovec part = {.iov_base = buffer, .iov_len = size};
	union control control;
	struct msghdr record = {.msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	ssize_t n;
	do
		n = recvmsg(fd, &record, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return map_error(errno);
	size_t count = 0;
	CLEANUP_FD int passed = take_descriptors(&record, &count);
	if (n == 0)
		return -EPIPE; // no message is empty, so this is the end
	// The kernel cuts the list of descriptors both where it is too long and where this process may
	// not have another one; only the second leaves it empty.
	bool lost = (record.msg_flags & MSG_CTRUNC) && count == 0;
	if ((record.msg_flags & MSG_TRUNC) || ((record.msg_flags & MSG_CTRUNC) && !lost) || count > 1)
		return -EBADMSG;
	*ret_size = (size_t)n;
	if (lost)
		return -EMFILE;
	*ret_fd = passed;
	passed = -1;
	return 0;
}
