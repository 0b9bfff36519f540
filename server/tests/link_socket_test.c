// Unit tests: records over the link's socket.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/link/messages.h"
#include "server/link/socket.h"

static int ends[2];
static _Alignas(uint64_t) unsigned char buffer[LINK_MESSAGE_MAX];

static void open_link(void)
{
	cr_assert(eq(int, link_pair(ends), 0));
}

TestSuite(link_socket, .init = open_link);

static struct link_ping a_ping(uint64_t serial)
{
	return (struct link_ping){.header = {LINK_PING, sizeof(struct link_ping)}, .serial = serial};
}

Test(link_socket, a_record_arrives_whole)
{
	struct link_ping sent = a_ping(7);
	size_t size = 0;
	int fd = 99;
	cr_assert(eq(int, link_send(ends[0], &sent, -1), 0));
	cr_assert(eq(int, link_receive(ends[1], buffer, sizeof(buffer), &size, &fd), 0));
	cr_assert(eq(sz, size, sizeof(sent)));
	cr_assert(eq(int, memcmp(buffer, &sent, size), 0));
	cr_assert(eq(int, fd, -1));
	cr_assert(eq(int, link_receive(ends[1], buffer, sizeof(buffer), &size, &fd), -EAGAIN));
}

Test(link_socket, a_descriptor_comes_along_closed_on_exec)
{
	struct link_ping sent = a_ping(7);
	size_t size;
	int fd = -1;
	cr_assert(eq(int, link_send(ends[0], &sent, STDIN_FILENO), 0));
	cr_assert(eq(int, link_receive(ends[1], buffer, sizeof(buffer), &size, &fd), 0));
	cr_assert(ge(int, fd, 0));
	cr_assert(ne(int, fcntl(fd, F_GETFD) & FD_CLOEXEC, 0));
}

Test(link_socket, a_full_queue_is_told_from_a_lost_peer)
{
	struct link_ping sent = a_ping(7);
	int r = 0;
	for (int i = 0; i < 100000 && r == 0; i++)
		r = link_send(ends[0], &sent, -1);
	cr_assert(eq(int, r, -EAGAIN));
	close(ends[1]);
	cr_assert(eq(int, link_send(ends[0], &sent, -1), -EPIPE));
	cr_assert(eq(int, link_send(ends[0], &sent, -1), -EPIPE));
}

Test(link_socket, a_peer_that_left_unread_input_is_gone_all_the_same)
{
	struct link_ping sent = a_ping(7);
	size_t size;
	int fd;
	cr_assert(eq(int, link_send(ends[0], &sent, -1), 0));
	close(ends[1]);
	cr_assert(eq(int, link_receive(ends[0], buffer, sizeof(buffer), &size, &fd), -EPIPE));
	cr_assert(eq(int, link_receive(ends[0], buffer, sizeof(buffer), &size, &fd), -EPIPE));
}

Test(link_socket, a_record_that_does_not_fit_is_refused)
{
	struct link_ping sent = a_ping(7);
	size_t size;
	int fd = 99;
	cr_assert(eq(int, link_send(ends[0], &sent, STDIN_FILENO), 0));
	int before = dup(0);
	close(before);
	cr_assert(eq(int, link_receive(ends[1], buffer, 8, &size, &fd), -EBADMSG));
	cr_assert(eq(int, fd, 99), "untouched");
	int after = dup(0);
	cr_assert(eq(int, after, before), "the descriptor that came along is closed");
	sent.header.size = LINK_MESSAGE_MAX + 1;
	cr_assert(eq(int, link_send(ends[0], &sent, -1), -EMSGSIZE));
	sent.header.size = 4;
	cr_assert(eq(int, link_send(ends[0], &sent, -1), -EMSGSIZE));
}

static void send_two_descriptors(void)
{
	struct link_ping sent = a_ping(7);
	struct iovec part = {.iov_base = &sent, .iov_len = sizeof(sent)};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = {.bytes = {0}};
	struct msghdr record = {.msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&record);
	int fds[2] = {0, 1};
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(header), fds, sizeof(fds));
	cr_assert(eq(sz, (size_t)sendmsg(ends[0], &record, 0), sizeof(sent)));
}

Test(link_socket, two_descriptors_are_refused_and_closed)
{
	size_t size;
	int fd = 99;
	send_two_descriptors();
	int before = dup(0);
	close(before);
	cr_assert(eq(int, link_receive(ends[1], buffer, sizeof(buffer), &size, &fd), -EBADMSG));
	int after = dup(0);
	cr_assert(eq(int, after, before));
}
