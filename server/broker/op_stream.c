// ReadOutput and WriteStdin.
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "server/broker/call.h"
#include "server/broker/decode.h"
#include "server/broker/op_all.h"
#include "server/broker/proctable.h"
#include "server/broker/reply.h"
#include "server/broker/reply_info.h"
#include "server/broker/stdin_feed.h"
#include "server/broker/streams.h"
#include "server/common/clock.h"
#include "spawn/v1/stream.pb-c.h"

#define RETRY_AFTER_MS    250u  // when too many calls are parked
#define ROOT_ANSWER_MS    1000u // a bound on what takes the root well under a millisecond
#define DEFAULT_READ      262144u
#define WRITES_PARKED_MAX 4u // of one process

void op_read_finish(struct call *call, uint8_t *data, uint32_t size, uint64_t offset, uint32_t eof)
{
	Spawn__V1__ReadOutputResponse response = SPAWN__V1__READ_OUTPUT_RESPONSE__INIT;
	response.offset = offset;
	response.data.data = data;
	response.data.len = size;
	response.eof = (Spawn__V1__Eof)eof;
	if (size == 0 && eof == LINK_EOF_NO)
		response.retry_after_ms = call->output.retry_after_ms;
	reply_ok(call, &response.base);
}

static void read_hold_over(void *user, uint64_t now)
{
	(void)now;
	struct call *call = user;
	op_read_finish(call, NULL, 0, call->output.offset, LINK_EOF_NO);
}

static bool decode_stream(int wire, uint32_t *ret_stream)
{
	if (wire != SPAWN__V1__STREAM__STREAM_STDOUT && wire != SPAWN__V1__STREAM__STREAM_STDERR)
		return false;
	*ret_stream = wire == SPAWN__V1__STREAM__STREAM_STDOUT ? LINK_STDOUT : LINK_STDERR;
	return true;
}

static bool check_read(const struct process *process, const Spawn__V1__ReadOutputRequest *request,
    uint32_t *ret_stream, struct refusal *refusal)
{
	if (!decode_stream((int)request->stream, ret_stream))
		refuse_field(refusal, "stream", 0, "STDOUT or STDERR");
	else if (request->release > request->offset)
		refuse_field(refusal, "release", 0, "at most offset");
	else if (!process->streams[*ret_stream].is_pipe)
		refuse(refusal, REFUSAL_STATE, "this stream is not a PIPE");
	else
		return true;
	return false;
}

static uint32_t read_max(const struct call *call, uint32_t asked)
{
	uint64_t limit = reply_info_max_read_bytes(call->broker);
	uint64_t max = asked ? asked : DEFAULT_READ;
	return (uint32_t)(max < limit ? max : limit);
}

void op_read_output(struct call *call, const ProtobufCMessage *message)
{
	const Spawn__V1__ReadOutputRequest *request = (const void *)message;
	struct refusal refusal;
	uint32_t stream = 0;
	struct process *process = decode_target(call, request->target, NULL, &refusal);
	if (!process || !check_read(process, request, &stream, &refusal)) {
		reply_refusal(call, &refusal);
		return;
	}
	if (call->session_id == process->key.session_id && !process->owner_lost)
		streams_release(process, stream, request->release);
	call->output = (struct call_output){
	    .stream = stream, .offset = request->offset, .max = read_max(call, request->max)};
	uint64_t hold_ms = call_hold_ms(call, request->hold_ms, INFO_MAX_HOLD_MS);
	if (hold_ms && !call_count_parked(call)) {
		hold_ms = 0;
		call->output.retry_after_ms = RETRY_AFTER_MS;
	}
	// Even a call that asks for what is there must hear from the root what is there.
	call->output.once = hold_ms == 0;
	uint64_t until_ms = now_ms() + (hold_ms ? hold_ms : ROOT_ANSWER_MS);
	if (call_park(call, process, PARK_OUTPUT, until_ms, read_hold_over))
		op_read_finish(call, NULL, 0, call->output.offset, LINK_EOF_NO);
	else
		streams_read(call);
}

void op_write_finish(struct call *call, struct process *process)
{
	const struct stdin_feed *feed = &process->stdin_feed;
	Spawn__V1__WriteStdinResponse response = SPAWN__V1__WRITE_STDIN_RESPONSE__INIT;
	response.offset = feed->offset;
	response.closed = feed->closed || feed->broken;
	response.broken = feed->broken;
	reply_ok(call, &response.base);
}

static void write_hold_over(void *user, uint64_t now)
{
	(void)now;
	struct call *call = user;
	op_write_finish(call, call->process);
}

static bool check_write(const struct process *process, const Spawn__V1__WriteStdinRequest *request,
    struct refusal *refusal)
{
	const struct stdin_feed *feed = &process->stdin_feed;
	if (!feed->is_pipe)
		refuse(refusal, REFUSAL_STATE, "standard input is not a PIPE");
	else if (request->data.len > INFO_MAX_WRITE_BYTES)
		refuse_limit(refusal, REFUSAL_TOO_LARGE, "max_write_bytes", INFO_MAX_WRITE_BYTES,
		    "too much at once");
	else if (request->offset > feed->offset && !feed->closed && !feed->broken)
		refuse_limit(refusal, REFUSAL_PAST_END, "offset", feed->offset,
		    "bytes before this offset are missing");
	else
		return true;
	return false;
}

// Each parked write holds its data, and only one of them can be the next.
static bool may_wait(struct call *call, const struct process *process)
{
	unsigned n_waiting = 0;
	const struct call *other;
	DL_FOREACH2(process->parked, other, park_next)
	n_waiting += other->park == PARK_STDIN;
	return n_waiting < WRITES_PARKED_MAX && call_count_parked(call);
}

void op_write_stdin(struct call *call, const ProtobufCMessage *message)
{
	const Spawn__V1__WriteStdinRequest *request = (const void *)message;
	struct refusal refusal;
	struct process *process = decode_target(call, request->target, NULL, &refusal);
	if (!process || !check_write(process, request, &refusal)) {
		reply_refusal(call, &refusal);
		return;
	}
	uint8_t *data = malloc(request->data.len + 1);
	uint64_t hold_ms = call_hold_ms(call, request->hold_ms, INFO_MAX_HOLD_MS);
	bool once = hold_ms == 0 || !may_wait(call, process);
	uint64_t until_ms = now_ms() + (once ? ROOT_ANSWER_MS : hold_ms);
	if (!data || call_park(call, process, PARK_STDIN, until_ms, write_hold_over)) {
		free(data);
		op_write_finish(call, process);
		return;
	}
	if (request->data.len)
		memcpy(data, request->data.data, request->data.len);
	call->stdin_data = (struct call_stdin){.offset = request->offset,
	    .data = data,
	    .size = (uint32_t)request->data.len,
	    .close = request->close,
	    .once = once};
	stdin_feed_pump(process);
}
