// The loop and the link's end, over real descriptors.
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/broker/forkserver_link.h"
#include "server/broker/loop.h"
#include "server/common/clock.h"
#include "server/link/socket.h"

static struct loop *loop;
static int pipes[2][2];
static int n_called;

static void count(void *user, uint32_t events)
{
	(void)events;
	(*(int *)user)++;
}

// Whichever comes first takes both away: the other's event is stale.
static void remove_both(void *user, uint32_t events)
{
	(void)user;
	(void)events;
	n_called++;
	loop_remove_fd(loop, pipes[0][0]);
	loop_remove_fd(loop, pipes[1][0]);
}

Test(loop, waits_no_longer_than_asked)
{
	cr_assert_eq(loop_create(&loop), 0);
	uint64_t began = now_ms();
	cr_expect_eq(loop_turn(loop, began + 30), 0);
	cr_expect_geq(now_ms(), began + 30);
	cr_expect_eq(loop_turn(loop, 0), 0, "the past: only looks");
	loop_destroy(loop);
}

Test(loop, calls_who_watches)
{
	int n = 0;
	cr_assert_eq(loop_create(&loop), 0);
	cr_assert_eq(pipe(pipes[0]), 0);
	cr_expect_eq(loop_add_fd(loop, pipes[0][0], EPOLLIN, count, &n), 0);
	cr_expect_eq(loop_add_fd(loop, pipes[0][0], EPOLLIN, count, &n), -EEXIST);
	cr_expect_eq(loop_add_fd(loop, -1, EPOLLIN, count, &n), -EBADF);
	loop_turn(loop, 0);
	cr_expect_eq(n, 0);
	cr_assert_eq(write(pipes[0][1], "x", 1), 1);
	loop_turn(loop, UINT64_MAX);
	loop_turn(loop, UINT64_MAX);
	cr_expect_eq(n, 2, "as long as it is ready");
	cr_expect_eq(loop_change_fd(loop, pipes[0][0], 0), 0);
	loop_turn(loop, 0);
	cr_expect_eq(n, 2);
	loop_remove_fd(loop, pipes[0][0]);
	loop_remove_fd(loop, pipes[0][0]);
	cr_expect_eq(loop_change_fd(loop, pipes[0][0], EPOLLIN), -ENOENT);
	loop_destroy(loop);
}

Test(loop, forgets_events_of_what_was_removed)
{
	cr_assert_eq(loop_create(&loop), 0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(pipe(pipes[i]), 0);
		cr_assert_eq(write(pipes[i][1], "x", 1), 1);
		cr_assert_eq(loop_add_fd(loop, pipes[i][0], EPOLLIN, remove_both, NULL), 0);
	}
	loop_turn(loop, UINT64_MAX);
	cr_expect_eq(n_called, 1);
	loop_destroy(loop);
}

struct ends {
	struct forkserver_link *link;
	int root_fd;
	struct link_hello hello;
};

// The root's answer waits in the socket already when the broker opens its end.
static struct ends open_ends(void)
{
	struct ends ends;
	int fds[2], arena_fd = -1, devnull = dup(0);
	struct link_config config = {.version = LINK_VERSION};
	struct link_hello hello = {.header = {LINK_HELLO, sizeof(hello)},
	    .version = LINK_VERSION,
	    .max_processes = 7,
	    .max_records = 100,
	    .epoch = 5,
	    .next_process = 1,
	    .next_session = 1,
	    .root_pid = 2,
	    .guard_pid = 1};
	struct link_ping ping = {.header = {LINK_PING, sizeof(ping)}, .serial = 77};
	cr_assert_eq(link_pair(fds), 0);
	cr_assert_eq(link_send(fds[1], &ping, -1), 0);
	cr_assert_eq(link_send(fds[1], &hello, devnull), 0);
	close(devnull);
	int r = forkserver_link_open(fds[0], &config, &ends.link, &ends.hello, &arena_fd);
	cr_assert_eq(r, 0, "%s", strerror(-r));
	cr_expect_geq(arena_fd, 0);
	close(arena_fd);
	ends.root_fd = fds[1];
	return ends;
}

static uint32_t receive_kind(int fd, void *message, size_t size)
{
	size_t received;
	int passed;
	int r = link_receive(fd, message, size, &received, &passed);
	cr_assert_eq(r, 0, "%s", strerror(-r));
	cr_expect_eq(passed, -1);
	return ((const struct link_header *)message)->kind;
}

static union {
	uint64_t align;
	char bytes[LINK_MESSAGE_MAX];
	struct link_pong pong;
	struct link_look look;
	struct link_header header;
} message;

Test(forkserver_link, opens_with_hello)
{
	struct ends ends = open_ends();
	cr_expect_eq(ends.hello.epoch, 5);
	cr_expect_eq(receive_kind(ends.root_fd, &message, sizeof(message)), LINK_CONFIG);
	cr_expect_eq(receive_kind(ends.root_fd, &message, sizeof(message)), LINK_PONG);
	cr_expect_eq(message.pong.serial, 77);
	forkserver_link_close(ends.link);
}

Test(forkserver_link, keeps_order_behind_a_full_socket)
{
	struct ends ends = open_ends();
	uint64_t n = 0;
	while (forkserver_link_events(ends.link) == EPOLLIN || n % 100) {
		struct link_look look = {.header.kind = LINK_LOOK, .process_id = 1, .serial = n++};
		cr_assert_eq(forkserver_link_send(ends.link, &look, sizeof(look), -1), 0);
	}
	cr_expect_eq(receive_kind(ends.root_fd, &message, sizeof(message)), LINK_CONFIG);
	cr_expect_eq(receive_kind(ends.root_fd, &message, sizeof(message)), LINK_PONG);
	for (uint64_t i = 0; i < n; i++) {
		cr_assert_eq(forkserver_link_flush(ends.link), 0);
		cr_assert_eq(receive_kind(ends.root_fd, &message, sizeof(message)), LINK_LOOK);
		cr_assert_eq(message.look.serial, i);
	}
	cr_expect_eq(forkserver_link_events(ends.link), EPOLLIN);
	forkserver_link_close(ends.link);
}

// What begins something new may be refused; an order must not be lost.
Test(forkserver_link, what_waits_is_bounded)
{
	struct ends ends = open_ends();
	struct link_stdin big = {
	    .header.kind = LINK_STDIN, .process_id = 1, .data_size = LINK_STDIN_MAX};
	struct link_start start = {.header.kind = LINK_START, .process_id = 1};
	int r = 0;
	for (int i = 0; i < 600 && r == 0; i++)
		r = forkserver_link_send(ends.link, &big, sizeof(big), -1);
	cr_expect_eq(r, 0);
	cr_expect_eq(forkserver_link_send(ends.link, &start, sizeof(start), dup(0)), -ENOBUFS);
	for (int i = 0; i < 3000 && r == 0; i++)
		r = forkserver_link_send(ends.link, &big, sizeof(big), -1);
	cr_expect_eq(r, -ECONNRESET);
	cr_expect_eq(forkserver_link_flush(ends.link), -ECONNRESET);
	cr_expect_eq(forkserver_link_send(ends.link, &big, sizeof(big), -1), -ECONNRESET);
	forkserver_link_close(ends.link);
}

Test(forkserver_link, gone_and_garbage)
{
	const struct link_header *next;
	struct ends ends = open_ends();
	cr_expect_eq(forkserver_link_next(ends.link, &next), 0);
	struct link_shutdown shutdown = {.header = {LINK_SHUTDOWN, sizeof(shutdown)}, .count = 1};
	cr_assert_eq(link_send(ends.root_fd, &shutdown, -1), 0);
	cr_assert_eq(forkserver_link_next(ends.link, &next), 1);
	cr_expect_eq(next->kind, LINK_SHUTDOWN);
	close(ends.root_fd);
	cr_expect_eq(forkserver_link_next(ends.link, &next), -ECONNRESET);
	forkserver_link_close(ends.link);

	ends = open_ends();
	struct link_header garbage = {9999, sizeof(garbage)};
	cr_assert_eq(link_send(ends.root_fd, &garbage, -1), 0);
	cr_expect_eq(forkserver_link_next(ends.link, &next), -ECONNRESET);
	forkserver_link_close(ends.link);
}

Test(forkserver_link, a_root_that_is_gone_at_once)
{
	int fds[2], arena_fd = -1;
	struct link_config config = {.version = LINK_VERSION};
	struct forkserver_link *link = NULL;
	struct link_hello hello;
	cr_assert_eq(link_pair(fds), 0);
	close(fds[1]);
	cr_expect_eq(forkserver_link_open(fds[0], &config, &link, &hello, &arena_fd), -ECONNRESET);
	cr_expect_null(link);
	cr_expect_eq(arena_fd, -1);
}
