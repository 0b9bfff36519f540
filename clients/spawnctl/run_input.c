// Spawnctl's own standard input, carried to the process.
#include "clients/spawnctl/run_input.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	piece_size = 64 * 1024, // what a pipe holds
	hold_ms = 5000,
	background_ms = 1000,
};

struct input {
	struct run *run;         // not touched once over
	pthread_mutex_t calling; // held through each call of the library
	atomic_bool over;        // the client may be closed: no call any more
	int over_fd;             // eventfd: readable when over
	atomic_int users;        // the thread, and who started it; the last one frees
	char piece[piece_size];
};

static void let_go(struct input *input)
{
	if (atomic_fetch_sub(&input->users, 1) > 1)
		return;
	close(input->over_fd);
	pthread_mutex_destroy(&input->calling);
	free(input);
}

// One call of the library, unless it is too late. Returns 0, or -1 where nothing is wanted any
// more.
static int send_piece(struct input *input, uint64_t *offset, const char *bytes, size_t size)
{
	struct spawnd_stdin_state state = {0};
	int rc = -1;

	pthread_mutex_lock(&input->calling);
	if (!atomic_load(&input->over))
		rc = spawnd_write_stdin(input->run->client, &input->run->process, *offset, bytes, size,
		    size == 0, hold_ms, &state, NULL);
	pthread_mutex_unlock(&input->calling);
	if (rc < 0 || state.closed || state.broken)
		return -1; // silently: the process's end is told by its record
	*offset = state.offset;
	return 0;
}

// Returns false where nobody reads it any more.
static bool send_all(struct input *input, uint64_t *offset, const char *bytes, size_t size)
{
	uint64_t begin = *offset;

	while (*offset - begin < size)
		if (send_piece(input, offset, bytes + (*offset - begin), size - (*offset - begin)) < 0)
			return false;
	return true;
}

// Waits until standard input can be read; false: the process has ended.
static bool wait_readable(const struct input *input)
{
	struct pollfd polled[] = {
	    {.fd = STDIN_FILENO, .events = POLLIN},
	    {.fd = input->over_fd, .events = POLLIN},
	};

	while (poll(polled, 2, -1) < 0)
		if (errno != EINTR)
			return true; // then the read tells
	return polled[1].revents == 0;
}

static bool in_background(void)
{
	pid_t foreground = tcgetpgrp(STDIN_FILENO);

	return foreground > 0 && foreground != getpgrp();
}

// A background job may not read its terminal (EIO, as TTIN is blocked); it may once it is in the
// foreground. Returns false where it is not that, or the process has ended.
static bool wait_foreground(const struct input *input)
{
	struct pollfd over = {.fd = input->over_fd, .events = POLLIN};

	while (in_background())
		if (poll(&over, 1, background_ms) > 0)
			return false;
	return true;
}

// Reads the next bytes; 0: end of file, or an error that is as good as one; negative: over.
static ssize_t read_piece(struct input *input)
{
	for (;;) {
		ssize_t n;

		if (!wait_foreground(input))
			return -1;
		if (!wait_readable(input))
			return -1;
		n = read(STDIN_FILENO, input->piece, piece_size);
		if (n >= 0)
			return n;
		if (errno == EIO && in_background())
			continue;
		if (errno != EINTR && errno != EAGAIN)
			return 0;
	}
}

static void *carry(void *argument)
{
	struct input *input = argument;
	uint64_t offset = 0;
	ssize_t size;

	while ((size = read_piece(input)) > 0)
		if (!send_all(input, &offset, input->piece, (size_t)size))
			break;
	while (size == 0 && send_piece(input, &offset, NULL, 0) == 0)
		; // taken, but not closed yet: once more
	let_go(input);
	return NULL;
}

int run_input_start(struct run *run, struct input **ret_input)
{
	struct input *input = malloc(sizeof *input);
	pthread_t thread;
	int rc;

	if (!input)
		return -ENOMEM;
	input->run = run;
	atomic_init(&input->over, false);
	atomic_init(&input->users, 2);
	pthread_mutex_init(&input->calling, NULL);
	input->over_fd = eventfd(0, EFD_CLOEXEC);
	rc = input->over_fd < 0 ? errno : pthread_create(&thread, NULL, carry, input);
	if (rc != 0) {
		free(input);
		return -rc;
	}
	pthread_detach(thread);
	*ret_input = input;
	return 0;
}

void run_input_end(struct input *input)
{
	uint64_t one = 1;
	ssize_t written;

	if (!input)
		return;
	atomic_store(&input->over, true);
	written = write(input->over_fd, &one, sizeof one);
	(void)written; // an empty eventfd takes 1
	// The call under way ends at once: standard input of an ended process is closed.
	pthread_mutex_lock(&input->calling);
	pthread_mutex_unlock(&input->calling);
	let_go(input);
}
