// One output stream of the process, carried to one of spawnctl's own.
#include "clients/spawnctl/run_output.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	buffer_size = 512 * 1024, // below the 1 MiB of a message
	hold_ms = 20000,
};

// Waits for a free buffer; returns its place.
static size_t take_empty(struct output *output)
{
	size_t place;

	pthread_mutex_lock(&output->lock);
	while (output->filled - output->emptied == output_buffers)
		pthread_cond_wait(&output->changed, &output->lock);
	place = output->filled % output_buffers;
	pthread_mutex_unlock(&output->lock);
	return place;
}

static void hand_over(struct output *output, size_t place, size_t size)
{
	output->buffers[place].size = size;
	pthread_mutex_lock(&output->lock);
	output->filled++;
	pthread_cond_broadcast(&output->changed);
	pthread_mutex_unlock(&output->lock);
}

static void *read_ahead(void *argument)
{
	struct output *output = argument;
	struct spawnd_chunk chunk = {0};
	struct spawnd_error err;
	uint64_t offset = 0, missing = 0;
	int rc = 0;

	while (chunk.eof == SPAWND_EOF_NO) {
		size_t place = take_empty(output);

		// What was received is released, so that the process goes on while it is being written.
		rc = spawnd_read_output(output->run->client, &output->run->process, output->stream, offset,
		    offset, output->buffers[place].bytes, buffer_size, hold_ms, &chunk, &err);
		if (rc < 0)
			break;
		missing += chunk.offset - offset;
		offset = chunk.offset + chunk.size;
		if (chunk.size > 0)
			hand_over(output, place, chunk.size);
	}
	pthread_mutex_lock(&output->lock);
	output->ended = true;
	output->failed = rc < 0;
	if (rc < 0)
		output->err = err;
	output->missing = missing;
	pthread_cond_broadcast(&output->changed);
	pthread_mutex_unlock(&output->lock);
	if (rc < 0)
		run_stop(output->run); // nobody reads any more: the process must not wait for that
	return NULL;
}

static int write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n > 0) {
			bytes += n;
			size -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			// Whoever shares this descriptor made it non-blocking.
			struct pollfd writable = {.fd = fd, .events = POLLOUT};

			poll(&writable, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

// Writes one buffer. After the first failure all that follows is thrown away, so that the process
// does not wait for a reader that is gone while it is being stopped.
static void write_buffer(struct output *output, const char *bytes, size_t size)
{
	struct run *run = output->run;
	int rc;

	if (output->write_errno != 0)
		return;
	if (output->on_terminal)
		countdown_before_output(&run->countdown);
	rc = write_all(output->fd, bytes, size);
	if (output->on_terminal)
		countdown_after_output(&run->countdown, bytes[size - 1]);
	if (rc == 0)
		return;
	output->write_errno = -rc;
	if (rc == -EPIPE) {
		pthread_mutex_lock(&run->lock);
		run->pipe_broken = true;
		pthread_mutex_unlock(&run->lock);
	}
	run_stop(run);
}

// Waits for a full buffer; returns false once there will be none.
static bool take_full(struct output *output, size_t *ret_place)
{
	bool any;

	pthread_mutex_lock(&output->lock);
	while (output->emptied == output->filled && !output->ended)
		pthread_cond_wait(&output->changed, &output->lock);
	any = output->emptied < output->filled;
	*ret_place = output->emptied % output_buffers;
	pthread_mutex_unlock(&output->lock);
	return any;
}

static void *write_out(void *argument)
{
	struct output *output = argument;
	struct run *run = output->run;
	size_t place;

	while (take_full(output, &place)) {
		write_buffer(output, output->buffers[place].bytes, output->buffers[place].size);
		pthread_mutex_lock(&output->lock);
		output->emptied++;
		pthread_cond_broadcast(&output->changed);
		pthread_mutex_unlock(&output->lock);
	}
	pthread_mutex_lock(&run->lock);
	run->outputs_open--;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
	return NULL;
}

static int allocate(struct output *output)
{
	for (size_t i = 0; i < output_buffers; i++) {
		output->buffers[i].bytes = malloc(buffer_size);
		if (!output->buffers[i].bytes)
			return -ENOMEM;
	}
	return 0;
}

int run_output_start(struct output *output, struct run *run, int stream, int fd)
{
	int rc;

	*output = (struct output){.run = run, .stream = stream, .fd = fd, .on_terminal = isatty(fd)};
	pthread_mutex_init(&output->lock, NULL);
	pthread_cond_init(&output->changed, NULL);
	rc = allocate(output);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&run->lock);
	run->outputs_open++;
	pthread_mutex_unlock(&run->lock);
	rc = pthread_create(&output->reader, NULL, read_ahead, output);
	if (rc == 0)
		rc = pthread_create(&output->writer, NULL, write_out, output);
	return -rc;
}

void run_output_join(struct output *output)
{
	pthread_join(output->reader, NULL);
	pthread_join(output->writer, NULL);
	for (size_t i = 0; i < output_buffers; i++)
		free(output->buffers[i].bytes);
	pthread_cond_destroy(&output->changed);
	pthread_mutex_destroy(&output->lock);
}

void run_output_detach(struct output *output)
{
	pthread_detach(output->reader);
	pthread_detach(output->writer);
}
