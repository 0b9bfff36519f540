// Unit tests: log lines that must never block.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/common/log.h"

#define LINES 5000

static int reader;

static void log_to_pipe(void)
{
	int ends[2];
	signal(SIGPIPE, SIG_IGN);
	cr_assert(eq(int, pipe(ends), 0));
	reader = ends[0];
	dup2(ends[1], 2);
	close(ends[1]);
}

static const char *read_all(void)
{
	static char text[1 << 20];
	size_t size = 0;
	fcntl(reader, F_SETFL, O_NONBLOCK);
	for (ssize_t n; (n = read(reader, text + size, sizeof(text) - 1 - size)) > 0;)
		size += (size_t)n;
	text[size] = '\0';
	return text;
}

Test(forkserver_log, one_line_each_and_nothing_smuggled_in, .timeout = 20)
{
	log_to_pipe();
	log_open("test", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	log_info("one %d", 1);
	log_debug("not told");
	log_error("a\nfake line \033[31m");
	const char *text = read_all();
	cr_assert(ne(ptr, strstr(text, " info: one 1\n"), NULL));
	cr_assert(eq(ptr, strstr(text, "not told"), NULL));
	cr_assert(ne(ptr, strstr(text, "a\\x0afake line \\x1b[31m\n"), NULL));
}

Test(forkserver_log, json, .timeout = 20)
{
	log_to_pipe();
	log_open("test", LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	log_warning("say \"x\" \\ \n");
	const char *text = read_all();
	cr_assert(eq(int, (unsigned char)text[0], '{'));
	cr_assert(ne(ptr, strstr(text, "\"level\":\"warning\""), NULL));
	cr_assert(ne(ptr, strstr(text, "\"message\":\"say \\\"x\\\" \\\\ \\u000a\"}\n"), NULL));
}

static void check_never_blocks(void)
{
	log_open("test", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	errno = EXDEV;
	for (int i = 0; i < LINES; i++)
		log_info("a line of some length that nobody ever reads, number %d", i);
	cr_assert(eq(int, errno, EXDEV), "errno survives");
	cr_assert(gt(u64, log_lost(), 0));
}

// Notices of loss may find room where a longer line did not: all of them together say it all.
static uint64_t told_lost(const char *text)
{
	uint64_t total = 0;
	for (const char *at = text; (at = strstr(at, " log lines were lost")); at++) {
		const char *digits = at;
		while (digits > text && digits[-1] >= '0' && digits[-1] <= '9')
			digits--;
		total += strtoull(digits, NULL, 10);
	}
	return total;
}

Test(forkserver_log, a_pipe_that_nobody_reads, .timeout = 20)
{
	log_to_pipe();
	check_never_blocks();
	uint64_t told = told_lost(read_all()), lost = log_lost();
	log_info("room again");
	const char *text = read_all();
	cr_assert(eq(u64, told + told_lost(text), lost));
	cr_assert(ne(ptr, strstr(text, "room again"), NULL));
}

Test(forkserver_log, a_socket_that_nobody_reads, .timeout = 20)
{
	int ends[2];
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0));
	dup2(ends[0], 2);
	check_never_blocks();
}

Test(forkserver_log, a_reader_that_has_left, .timeout = 20)
{
	log_to_pipe();
	log_open("test", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	close(reader);
	for (int i = 0; i < LINES; i++)
		log_info("into the void");
	cr_assert(eq(u64, log_lost(), LINES));
}
