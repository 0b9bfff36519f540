// Output pipes: drained into the rings. A pipe is told of by the loop once (one-shot), then read
// until it gives less than a whole read, and only then armed again: so a busy pipe costs no calls
// but its reads, and one that gives little is read at most once a millisecond.
#include "server/forkserver/pipes.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "server/forkserver/loop.h"
#include "server/forkserver/root.h"

#define READ_BYTES   65536u
#define READS_A_TURN 32
#define LITTLE_BYTES 4096
#define REST_US      1000u

void pipes_open(struct pipes *pipes)
{
	TAILQ_INIT(&pipes->ready);
	TAILQ_INIT(&pipes->resting);
	TAILQ_INIT(&pipes->to_force);
}

uint64_t pipes_tail(const struct stream *stream)
{
	uint64_t kept = stream->head > stream->ring_size ? stream->head - stream->ring_size : 0;
	return stream->consumed > kept ? stream->consumed : kept;
}

// How many bytes may be written now.
static uint64_t room(const struct stream *stream)
{
	uint64_t most = READ_BYTES;
	if (stream->policy == LINK_POLICY_BLOCK) {
		uint64_t free = stream->ring_size - (stream->head - pipes_tail(stream));
		most = free < most ? free : most;
	}
	if (stream->last_byte != UINT64_MAX && stream->last_byte - stream->head < most)
		most = stream->last_byte - stream->head;
	return most;
}

// The streams lie next to each other in their slot.
static struct slot *slot_of(struct stream *stream)
{
	char *first = (char *)(stream - stream->number);
	return (struct slot *)(void *)(first - offsetof(struct slot, streams));
}

static void leave_queues(struct root *root, struct stream *stream)
{
	if (stream->phase == STREAM_READY)
		TAILQ_REMOVE(&root->pipes.ready, stream, queue);
	if (stream->phase == STREAM_RESTING)
		TAILQ_REMOVE(&root->pipes.resting, stream, queue);
}

static void make_ready(struct root *root, struct stream *stream)
{
	leave_queues(root, stream);
	stream->phase = STREAM_READY;
	TAILQ_INSERT_TAIL(&root->pipes.ready, stream, queue);
}

static enum loop_kind kind_of(uint32_t number)
{
	return number == LINK_STDOUT ? LOOP_STDOUT : LOOP_STDERR;
}

static void arm(struct root *root, struct stream *stream)
{
	leave_queues(root, stream);
	stream->phase = STREAM_ARMED;
	loop_change(root, stream->fd, EPOLLIN | EPOLLONESHOT,
	    loop_slot_tag(root, kind_of(stream->number), slot_of(stream)));
}

static void rest(struct root *root, struct stream *stream)
{
	leave_queues(root, stream);
	stream->phase = STREAM_RESTING;
	stream->rest_until_us = root->now_us + REST_US;
	TAILQ_INSERT_TAIL(&root->pipes.resting, stream, queue);
}

static void tell(struct root *root, struct slot *slot, uint32_t number)
{
	struct stream *stream = &slot->streams[number];
	bool over = stream->phase == STREAM_ENDED || stream->phase == STREAM_NONE;
	if (!stream->watched || (stream->head <= stream->watch_past && !over))
		return;
	stream->watched = false;
	outbox_mark(root, slot, number == LINK_STDOUT ? UNSENT_STDOUT_STATE : UNSENT_STDERR_STATE);
}

static void end(struct root *root, struct slot *slot, uint32_t number, enum link_eof eof)
{
	struct stream *stream = &slot->streams[number];
	leave_queues(root, stream);
	root_close_fd(root, slot, &stream->fd);
	stream->phase = STREAM_ENDED;
	stream->eof = eof;
	tell(root, slot, number);
}

int pipes_begin(struct root *root, struct slot *slot, uint32_t number, int fd)
{
	struct stream *stream = &slot->streams[number];
	stream->fd = fd;
	stream->phase = STREAM_ARMED;
	return loop_watch(root, fd, EPOLLIN | EPOLLONESHOT, loop_slot_tag(root, kind_of(number), slot));
}

void pipes_on_ready(struct root *root, struct slot *slot, uint32_t number)
{
	if (slot->streams[number].phase == STREAM_ARMED)
		make_ready(root, &slot->streams[number]);
}

// Reads into the ring, round its end if need be. Bytes read; 0: end; negative errno.
static ssize_t fill(struct root *root, struct stream *stream, uint64_t most)
{
	unsigned char *ring = root->rings.base + stream->ring_offset;
	uint64_t at = stream->head & (stream->ring_size - 1);
	uint64_t to_end = stream->ring_size - at;
	uint64_t first = most < to_end ? most : to_end;
	struct iovec parts[2] = {
	    {.iov_base = ring + at, .iov_len = first},
	    {.iov_base = ring, .iov_len = most - first},
	};
	ssize_t n = readv(stream->fd, parts, most > first ? 2 : 1);
	if (n < 0)
		return -errno;
	stream->head += (uint64_t)n;
	return n;
}

static void read_one(struct root *root, struct stream *stream)
{
	struct slot *slot = slot_of(stream);
	uint32_t number = stream->number;
	if (stream->head == stream->last_byte) {
		end(root, slot, number, LINK_EOF_FORCED);
		return;
	}
	uint64_t most = room(stream);
	if (most == 0) {
		leave_queues(root, stream);
		stream->phase = STREAM_FULL;
		return;
	}
	ssize_t n = fill(root, stream, most);
	if (n == 0 || (n < 0 && n != -EAGAIN && n != -EINTR))
		end(root, slot, number, LINK_EOF_CLOSED);
	else if (n < 0 && stream->last_byte != UINT64_MAX)
		end(root, slot, number, LINK_EOF_FORCED); // others have read what was counted
	else if (n < 0)
		arm(root, stream);
	else if ((uint64_t)n < most && n < LITTLE_BYTES && slot->state != SLOT_EMPTY)
		rest(root, stream);
	else
		make_ready(root, stream); // to the end of the queue
	tell(root, slot, number);
}

void pipes_read(struct root *root)
{
	for (int i = 0; i < READS_A_TURN && !TAILQ_EMPTY(&root->pipes.ready); i++)
		read_one(root, TAILQ_FIRST(&root->pipes.ready));
}

// Somebody outside the tree may hold the pipe for ever: what is in it now is the last of it. Where
// all writers are gone nothing needs forcing: the end comes once the ring takes the rest.
static void force(struct root *root, struct slot *slot, uint32_t number)
{
	struct stream *stream = &slot->streams[number];
	int waiting = 0;
	if (stream->fd < 0 || stream->last_byte != UINT64_MAX)
		return;
	struct pollfd poll_fd = {.fd = stream->fd, .events = POLLIN};
	if (poll(&poll_fd, 1, 0) < 0 || (poll_fd.revents & POLLHUP))
		return;
	if (ioctl(stream->fd, FIONREAD, &waiting) < 0 || waiting < 0)
		waiting = 0;
	stream->last_byte = stream->head + (uint64_t)waiting;
	make_ready(root, stream);
}

void pipes_tick(struct root *root)
{
	struct stream *stream;
	struct slot *slot;
	while ((stream = TAILQ_FIRST(&root->pipes.resting)) && stream->rest_until_us <= root->now_us)
		arm(root, stream);
	while ((slot = TAILQ_FIRST(&root->pipes.to_force)) && slot->forced_at_ms <= root_now_ms(root)) {
		TAILQ_REMOVE(&root->pipes.to_force, slot, force_queue);
		slot->forced_at_ms = 0;
		for (uint32_t i = 0; i < LINK_STREAMS; i++)
			force(root, slot, i);
	}
}

uint64_t pipes_next_us(const struct root *root)
{
	const struct stream *stream = TAILQ_FIRST(&root->pipes.resting);
	const struct slot *slot = TAILQ_FIRST(&root->pipes.to_force);
	uint64_t next = ROOT_NEVER;
	if (!TAILQ_EMPTY(&root->pipes.ready))
		return 0;
	if (stream)
		next = stream->rest_until_us;
	if (slot && slot->forced_at_ms * 1000 < next)
		next = slot->forced_at_ms * 1000;
	return next;
}

void pipes_watch(struct root *root, struct slot *slot, const struct link_stream_watch *order)
{
	struct stream *stream = &slot->streams[order->stream];
	stream->watched = true;
	stream->watch_past = order->past;
	stream->watch_serial = order->serial;
	if (order->now) {
		stream->watched = false;
		outbox_mark(
		    root, slot, order->stream == LINK_STDOUT ? UNSENT_STDOUT_STATE : UNSENT_STDERR_STATE);
	}
	tell(root, slot, order->stream);
}

void pipes_consumed(struct root *root, struct slot *slot, uint32_t number, uint64_t offset)
{
	struct stream *stream = &slot->streams[number];
	if (offset <= stream->consumed || offset > stream->head)
		return;
	stream->consumed = offset;
	if (stream->phase == STREAM_FULL && room(stream) > 0)
		make_ready(root, stream);
}

void pipes_set_policy(struct root *root, struct slot *slot, uint32_t policy)
{
	for (uint32_t i = 0; i < LINK_STREAMS; i++) {
		struct stream *stream = &slot->streams[i];
		stream->policy = policy;
		if (stream->phase == STREAM_FULL && room(stream) > 0)
			make_ready(root, stream);
	}
}

void pipes_on_tree_empty(struct root *root, struct slot *slot)
{
	bool open = false;
	for (uint32_t i = 0; i < LINK_STREAMS; i++) {
		struct stream *stream = &slot->streams[i];
		if (stream->fd < 0)
			continue;
		open = true;
		if (stream->phase != STREAM_FULL)
			make_ready(root, stream);
	}
	if (!open)
		return;
	slot->forced_at_ms = root_now_ms(root) + PIPES_FORCE_MS;
	TAILQ_INSERT_TAIL(&root->pipes.to_force, slot, force_queue);
}

void pipes_release(struct root *root, struct slot *slot)
{
	if (slot->forced_at_ms != 0)
		TAILQ_REMOVE(&root->pipes.to_force, slot, force_queue);
	slot->forced_at_ms = 0;
	for (uint32_t i = 0; i < LINK_STREAMS; i++) {
		struct stream *stream = &slot->streams[i];
		leave_queues(root, stream);
		root_close_fd(root, slot, &stream->fd);
		stream->phase = STREAM_NONE;
		if (stream->ring_size > 0)
			rings_give(&root->rings, stream->ring_offset, stream->ring_size, stream->head);
		stream->ring_size = 0;
	}
}
