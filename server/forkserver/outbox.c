// What waits to be sent to the broker.
#include "server/forkserver/outbox.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "server/common/log.h"
#include "server/forkserver/loop.h"
#include "server/forkserver/pipes.h"
#include "server/forkserver/root.h"
#include "server/forkserver/stdin.h"
#include "server/link/check.h"
#include "server/link/socket.h"

#define OUTBOX_ANSWER UNSENT_KINDS

static_assert(sizeof(struct link_acted) <= OUTBOX_ANSWER_BYTES, "answers fit");
static_assert(sizeof(struct link_members) <= OUTBOX_ANSWER_BYTES, "answers fit");

#define HEADER(type, of)                                                                           \
	{                                                                                              \
		.kind = (of), .size = sizeof(struct type)                                                  \
	}

static void *reserve(size_t bytes)
{
	void *memory = mmap(
	    NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

int outbox_open(struct outbox *outbox, uint32_t max_records)
{
	uint64_t places = 1024;
	while (places < (uint64_t)max_records * UNSENT_KINDS + OUTBOX_ANSWERS)
		places *= 2;
	outbox->mask = places - 1;
	outbox->tokens = reserve(places * sizeof(struct outbox_token));
	outbox->answers = reserve(OUTBOX_ANSWERS * (size_t)OUTBOX_ANSWER_BYTES);
	return outbox->tokens && outbox->answers ? 0 : -ENOMEM;
}

void outbox_attach(struct root *root, int fd)
{
	root->outbox.fd = fd;
	root->outbox.watched_events = EPOLLIN;
}

// Only a broker that drops processes without having read of their end can fill it: what it has not
// read of them stays behind.
static void push(struct outbox *outbox, struct outbox_token token)
{
	if (outbox->end - outbox->first > outbox->mask) {
		outbox->gone = true;
		return;
	}
	outbox->tokens[outbox->end++ & outbox->mask] = token;
}

void outbox_mark(struct root *root, struct slot *slot, enum slot_unsent what)
{
	if (slot->unsent & (1u << what))
		return;
	slot->unsent |= 1u << what;
	push(&root->outbox, (struct outbox_token){.index = slots_index(&root->slots, slot),
	                        .generation = slot->generation,
	                        .what = what});
}

void outbox_answer(struct root *root, const void *message)
{
	struct outbox *outbox = &root->outbox;
	const struct link_header *header = message;
	if (outbox->answers_held == OUTBOX_ANSWERS || header->size > OUTBOX_ANSWER_BYTES) {
		log_error("an answer to the broker found no room");
		outbox->gone = true; // a broker that misses an answer is of no use
		return;
	}
	uint32_t place = outbox->next_answer++ % OUTBOX_ANSWERS;
	memcpy(outbox->answers[place], message, header->size);
	outbox->answers_held++;
	push(outbox, (struct outbox_token){.index = place, .what = OUTBOX_ANSWER});
}

bool outbox_takes_orders(const struct outbox *outbox)
{
	return outbox->answers_held == 0;
}

bool outbox_has_spare_room(const struct outbox *outbox)
{
	return outbox->answers_held + TREE_ACTS_MAX < OUTBOX_ANSWERS;
}

static int send_started(struct root *root, const struct slot *slot)
{
	struct link_started m = {.header = HEADER(link_started, LINK_STARTED),
	    .process_id = slot->process_id,
	    .pid = (uint32_t)slot->pid,
	    .started_ms = slot->started_ms,
	    .started_unix_ms = slot->started_unix_ms};
	for (int i = 0; i < LINK_STREAMS; i++)
		m.rings[i] = (struct link_ring){
		    .arena_offset = slot->streams[i].ring_offset, .size = slot->streams[i].ring_size};
	return link_send(root->outbox.fd, &m, -1);
}

static int send_start_failed(struct root *root, const struct slot *slot)
{
	struct link_start_failed m = {.header = HEADER(link_start_failed, LINK_START_FAILED),
	    .process_id = slot->process_id,
	    .stage = slot->failed_stage,
	    .error = slot->failed_error,
	    .at_ms = slot->exited_ms};
	return link_send(root->outbox.fd, &m, -1);
}

static int send_leader_exited(struct root *root, const struct slot *slot)
{
	struct link_leader_exited m = {.header = HEADER(link_leader_exited, LINK_LEADER_EXITED),
	    .process_id = slot->process_id,
	    .code_kind = (uint32_t)slot->code_kind,
	    .status = slot->status,
	    .at_ms = slot->exited_ms,
	    .usage = slot->usage};
	return link_send(root->outbox.fd, &m, -1);
}

static int send_tree_left(struct root *root, const struct slot *slot)
{
	struct link_tree_left m = {.header = HEADER(link_tree_left, LINK_TREE_LEFT),
	    .process_id = slot->process_id,
	    .n_alive = slot->left_alive};
	return link_send(root->outbox.fd, &m, -1);
}

static int send_tree_empty(struct root *root, const struct slot *slot)
{
	struct link_tree_empty m = {.header = HEADER(link_tree_empty, LINK_TREE_EMPTY),
	    .process_id = slot->process_id,
	    .proof = slot->proof,
	    .at_ms = slot->empty_ms};
	return link_send(root->outbox.fd, &m, -1);
}

static int send_stream_state(struct root *root, const struct slot *slot, uint32_t stream)
{
	const struct stream *s = &slot->streams[stream];
	struct link_stream_state m = {.header = HEADER(link_stream_state, LINK_STREAM_STATE),
	    .process_id = slot->process_id,
	    .stream = stream,
	    .eof = s->phase == STREAM_NONE ? LINK_EOF_CLOSED : s->eof,
	    .head = s->head,
	    .tail = pipes_tail(s),
	    .serial = s->watch_serial};
	return link_send(root->outbox.fd, &m, -1);
}

static int send_stdin_state(struct root *root, const struct slot *slot)
{
	struct link_stdin_state m = {.header = HEADER(link_stdin_state, LINK_STDIN_STATE),
	    .process_id = slot->process_id,
	    .offset = slot->stdin_offset,
	    .room = slot->stdin_fd >= 0 && !slot->stdin_stuck,
	    .closed = slot->stdin_fd < 0,
	    .broken = slot->stdin_broken};
	return link_send(root->outbox.fd, &m, -1);
}

static int send_fact(struct root *root, const struct slot *slot, uint32_t what)
{
	switch (what) {
	case UNSENT_STARTED:
		return send_started(root, slot);
	case UNSENT_START_FAILED:
		return send_start_failed(root, slot);
	case UNSENT_LEADER_EXITED:
		return send_leader_exited(root, slot);
	case UNSENT_TREE_LEFT:
		return send_tree_left(root, slot);
	case UNSENT_TREE_EMPTY:
		return send_tree_empty(root, slot);
	case UNSENT_STDOUT_STATE:
		return send_stream_state(root, slot, LINK_STDOUT);
	case UNSENT_STDERR_STATE:
		return send_stream_state(root, slot, LINK_STDERR);
	default:
		return send_stdin_state(root, slot);
	}
}

// Sends the first token's message. 0: gone out, or not wanted any more.
static int send_first(struct root *root)
{
	struct outbox *outbox = &root->outbox;
	struct outbox_token token = outbox->tokens[outbox->first & outbox->mask];
	int r;
	if (token.what == OUTBOX_ANSWER) {
		r = link_send(outbox->fd, outbox->answers[token.index], -1);
		if (r == 0)
			outbox->answers_held--;
		return r;
	}
	struct slot *slot = slots_at(&root->slots, token.index, token.generation);
	if (!slot)
		return 0;
	r = send_fact(root, slot, token.what);
	if (r == 0)
		slot->unsent &= ~(1u << token.what);
	return r;
}

// Ping and shutdown go first: they must not wait behind what a stalled broker does not read.
static int send_urgent(struct root *root)
{
	struct outbox *outbox = &root->outbox;
	int r = 0;
	if (outbox->shutdown_due > 0) {
		struct link_shutdown m = {
		    .header = HEADER(link_shutdown, LINK_SHUTDOWN), .count = outbox->shutdown_due};
		r = link_send(outbox->fd, &m, -1);
		if (r == 0)
			outbox->shutdown_due = 0;
	}
	if (r == 0 && outbox->ping_due) {
		struct link_ping m = {
		    .header = HEADER(link_ping, LINK_PING), .serial = outbox->ping_serial};
		r = link_send(outbox->fd, &m, -1);
		if (r == 0)
			outbox->ping_due = false;
	}
	return r;
}

static void watch_link(struct root *root, bool blocked)
{
	struct outbox *outbox = &root->outbox;
	uint32_t events = (outbox_takes_orders(outbox) ? EPOLLIN : 0u) | (blocked ? EPOLLOUT : 0u);
	if (events != outbox->watched_events && outbox->fd >= 0)
		loop_change(root, outbox->fd, events, loop_tag(LOOP_LINK, 0, 0));
	outbox->watched_events = events;
}

void outbox_flush(struct root *root)
{
	struct outbox *outbox = &root->outbox;
	bool progress = false;
	if (outbox->fd < 0 || outbox->gone || !root->configured)
		return;
	int r = send_urgent(root);
	while (r == 0 && outbox->first != outbox->end) {
		r = send_first(root);
		if (r == 0) {
			outbox->first++;
			progress = true;
		}
	}
	if (r == -EAGAIN) {
		if (outbox->blocked_since_us == 0 || progress)
			outbox->blocked_since_us = root->now_us;
	} else {
		outbox->blocked_since_us = 0;
	}
	if (r < 0 && r != -EAGAIN)
		outbox->gone = true;
	watch_link(root, r == -EAGAIN);
}
