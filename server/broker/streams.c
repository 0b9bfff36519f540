// Reads rings on behalf of parked calls.
#include "server/broker/streams.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "server/broker/call.h"
#include "server/broker/op_all.h"
#include "server/broker/proctable.h"
#include "server/common/log.h"

#define UNPROVED_MAX (8u << 20) // more copies wait until these are proved

static struct stream *stream_of(struct call *call)
{
	return &call->process->streams[call->output.stream];
}

static void watch(struct process *process, uint32_t index, uint64_t past, bool now)
{
	struct stream *stream = &process->streams[index];
	struct link_stream_watch message = {.header.kind = LINK_STREAM_WATCH,
	    .process_id = process->id,
	    .stream = index,
	    .now = now,
	    .past = past,
	    .serial = ++stream->serial};
	stream->watching = stream->serial;
	stream->past = now ? 0 : past;
	broker_send(process->broker, &message);
}

// Copies bytes [from, from + size) out of the ring. False: the arena cannot be read.
static bool copy(const struct broker *broker, const struct stream *stream, uint64_t from,
    uint8_t *data, size_t size)
{
	while (size > 0) {
		uint64_t at = from % stream->ring.size;
		size_t piece = stream->ring.size - at < size ? stream->ring.size - at : size;
		ssize_t got = pread(broker->arena_fd, data, piece, (off_t)(stream->ring.arena_offset + at));
		if (got <= 0)
			return false;
		data += got;
		from += (uint64_t)got;
		size -= (size_t)got;
	}
	return true;
}

// Takes what is there for this call. False: nothing is there, or it cannot be had.
static bool take(struct call *call)
{
	struct stream *stream = stream_of(call);
	struct call_output *output = &call->output;
	uint64_t from = output->offset > stream->tail ? output->offset : stream->tail;
	if (from >= stream->head)
		return false;
	uint64_t size = stream->head - from < output->max ? stream->head - from : output->max;
	free(output->data);
	output->data = malloc(size);
	call->broker->unproved_bytes -= output->taken;
	output->taken = output->data ? (uint32_t)size : 0;
	call->broker->unproved_bytes += output->taken;
	if (!output->data || !copy(call->broker, stream, from, output->data, size)) {
		log_error("output could not be read from its ring");
		return false;
	}
	output->data_offset = from;
	output->size = (uint32_t)size;
	return true;
}

// Drops from the front what was overwritten while it was copied.
static void drop_overwritten(struct call_output *output, uint64_t tail)
{
	if (tail <= output->data_offset || output->size == 0)
		return;
	uint64_t lost = tail - output->data_offset;
	if (lost > output->size)
		lost = output->size;
	output->size -= (uint32_t)lost;
	output->data_offset += lost;
	memmove(output->data, output->data + lost, output->size);
}

static void finish_empty(struct call *call)
{
	op_read_finish(call, NULL, 0, call->output.offset, LINK_EOF_NO);
}

static void finish(struct call *call)
{
	const struct stream *stream = stream_of(call);
	const struct call_output *output = &call->output;
	bool at_end = output->data_offset + output->size >= stream->head;
	op_read_finish(
	    call, output->data, output->size, output->data_offset, at_end ? stream->eof : LINK_EOF_NO);
}

// However many ask at once, only so much is copied ahead of its proof; the others try again then.
static bool must_wait(const struct call *call, const struct stream *stream)
{
	return call->broker->unproved_bytes >= UNPROVED_MAX && stream->policy != LINK_POLICY_BLOCK &&
	       call->output.offset < stream->head;
}

// Serves the call if it can be served from what is known. True: it is answered.
static bool serve(struct call *call)
{
	struct stream *stream = stream_of(call);
	struct call_output *output = &call->output;
	if (output->serial)
		return false; // waits for its proof
	if (must_wait(call, stream)) {
		watch(call->process, output->stream, 0, true);
		output->serial = stream->serial;
		output->size = 0;
		return false;
	}
	if (take(call)) {
		// Only a ring that waits for its reader is safe from being overwritten.
		if (stream->policy == LINK_POLICY_BLOCK) {
			finish(call);
			return true;
		}
		watch(call->process, output->stream, 0, true);
		output->serial = stream->serial;
		return false;
	}
	if (!stream->eof)
		return false;
	op_read_finish(
	    call, NULL, 0, output->offset > stream->head ? output->offset : stream->head, stream->eof);
	return true;
}

// One watch serves all: it waits for the nearest offset that somebody wants.
static void watch_for_readers(struct process *process, uint32_t index)
{
	struct stream *stream = &process->streams[index];
	uint64_t nearest = UINT64_MAX;
	bool wanted = false, proving = false;
	struct call *call;
	DL_FOREACH2(process->parked, call, park_next)
	{
		if (call->park != PARK_OUTPUT || call->output.stream != index)
			continue;
		if (call->output.serial) {
			proving = true;
			continue;
		}
		wanted = true;
		if (call->output.offset < nearest)
			nearest = call->output.offset;
	}
	// A watch that proves is answered at once, and this is called again then.
	if (!wanted || proving || (stream->watching && stream->past <= nearest))
		return;
	watch(process, index, nearest, false);
}

void streams_read(struct call *call)
{
	struct process *process = call->process;
	uint32_t index = call->output.stream;
	if (process->phase == PROCESS_STARTING) {
		if (call->output.once)
			finish_empty(call);
	} else if (!serve(call)) {
		if (call->output.once && !call->output.serial) {
			watch(process, index, 0, true);
			call->output.serial = process->streams[index].serial;
		}
		watch_for_readers(process, index);
	}
}

static void serve_all(struct process *process, uint32_t index)
{
	struct call *call, *next;
	DL_FOREACH_SAFE2(process->parked, call, next, park_next)
	{
		if (call->park == PARK_OUTPUT && call->output.stream == index)
			serve(call);
	}
	watch_for_readers(process, index);
}

// Answers the calls whose copies are proved by a state of this serial.
static void prove(struct process *process, uint32_t index, uint64_t serial)
{
	struct call *call, *next;
	DL_FOREACH_SAFE2(process->parked, call, next, park_next)
	{
		struct call_output *output = &call->output;
		if (call->park != PARK_OUTPUT || output->stream != index || !output->serial ||
		    output->serial > serial)
			continue;
		output->serial = 0;
		drop_overwritten(output, process->streams[index].tail);
		if (output->size)
			finish(call);
		else if (output->once && !serve(call) && !output->serial)
			finish_empty(call);
	}
}

void streams_state(struct process *process, const struct link_stream_state *message)
{
	struct stream *stream = &process->streams[message->stream];
	stream->head = message->head;
	stream->tail = message->tail;
	stream->eof = message->eof;
	if (message->serial == stream->watching)
		stream->watching = 0;
	prove(process, message->stream, message->serial);
	serve_all(process, message->stream);
}

void streams_release(struct process *process, uint32_t index, uint64_t offset)
{
	struct stream *stream = &process->streams[index];
	if (offset > stream->head)
		offset = stream->head;
	if (offset <= stream->consumed || process->phase == PROCESS_STARTING)
		return;
	stream->consumed = offset;
	if (stream->tail < offset)
		stream->tail = offset;
	struct link_stream_consumed message = {.header.kind = LINK_STREAM_CONSUMED,
	    .process_id = process->id,
	    .stream = index,
	    .offset = offset};
	broker_send(process->broker, &message);
}

void streams_started(struct process *process)
{
	for (uint32_t i = 0; i < LINK_STREAMS; i++)
		serve_all(process, i);
}

void streams_ended(struct process *process)
{
	if (!process->fail_stage)
		return;
	for (uint32_t i = 0; i < LINK_STREAMS; i++) {
		process->streams[i].eof = LINK_EOF_CLOSED;
		serve_all(process, i);
	}
}

void streams_owner_lost(struct process *process)
{
	bool waits = false;
	for (uint32_t i = 0; i < LINK_STREAMS; i++) {
		waits |= process->streams[i].is_pipe && process->streams[i].policy == LINK_POLICY_BLOCK;
		process->streams[i].policy = LINK_POLICY_DROP_OLDEST;
	}
	struct link_stream_policy message = {.header.kind = LINK_STREAM_POLICY,
	    .process_id = process->id,
	    .policy = LINK_POLICY_DROP_OLDEST};
	if (waits)
		broker_send(process->broker, &message);
}
