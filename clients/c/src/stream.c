// Output and standard input, by offset. Clauses: docs/spec/09-stream.md (STR).
#include "clients/c/src/await.h"
#include "clients/c/src/clock.h"
#include "clients/c/src/decode_words.h"
#include "clients/c/src/error.h"
#include "clients/c/src/invoke.h"
#include "clients/c/src/target.h"

#include <errno.h>
#include <string.h>

// What one call takes beyond data: envelope, target, offsets.
#define ENVELOPE_BYTES 4096u

// What both directions share: bounded calls until the caller's hold is over.
struct streaming {
	struct use use;
	struct target target;
	uint64_t until_us;
	struct limits limits;
	uint64_t hold_max_ms;
};

static int begin(struct streaming *streaming, spawnd_client *client,
    const struct spawnd_process *process, uint64_t hold_ms, struct spawnd_error *err)
{
	struct session *session;
	if (target_set(&streaming->target, process, err) < 0 ||
	    client_enter(client, &streaming->use, false, err) < 0)
		return -1;
	uint64_t now_us = clock_now_us();
	streaming->until_us = clock_add_us(now_us, clock_us_of_ms(hold_ms));
	if (session_get(&streaming->use, clock_add_us(now_us, clock_us_of_ms(client->timeout_ms)),
	        &session, err) < 0) {
		client_leave(&streaming->use);
		return -1;
	}
	streaming->limits = session->limits;
	streaming->hold_max_ms = await_hold_max_ms(client, session);
	session_drop(client, session);
	return 0;
}

static uint64_t next_hold_ms(const struct streaming *streaming)
{
	uint64_t left_ms = clock_left_ms(streaming->until_us, clock_now_us());
	return left_ms < streaming->hold_max_ms ? left_ms : streaming->hold_max_ms;
}

static int ask(struct streaming *streaming, const char *method, const ProtobufCMessage *payload,
    uint64_t hold_ms, Spawn__V1__Response **ret_response, struct spawnd_error *err)
{
	uint64_t limit_us = clock_us_of_ms(hold_ms) + clock_us_of_ms(streaming->use.client->timeout_ms);
	struct invocation invocation = {.method = method,
	    .payload = payload,
	    .hold_ms = hold_ms,
	    .deadline_us = clock_add_us(clock_now_us(), limit_us),
	    .epoch = streaming->target.epoch};
	return invoke(&streaming->use, &invocation, ret_response, NULL, err);
}

static int take_chunk(const Spawn__V1__Response *response, uint64_t offset, void *buffer,
    size_t size, struct spawnd_chunk *chunk, uint64_t *ret_retry_after_ms, struct spawnd_error *err)
{
	Spawn__V1__ReadOutputResponse *read = (Spawn__V1__ReadOutputResponse *)decode_message(
	    &spawn__v1__read_output_response__descriptor, response->payload.data,
	    response->payload.len);
	int eof = read ? decode_eof((int)read->eof) : -1;
	if (eof < 0 || read->data.len > size || read->offset < offset) {
		decode_free(read ? &read->base : NULL);
		return error_set(
		    err, SPAWND_E_PROTOCOL, EPROTO, "the server's answer to ReadOutput cannot be believed");
	}
	if (read->data.len)
		memcpy(buffer, read->data.data, read->data.len);
	*chunk = (struct spawnd_chunk){.offset = read->offset, .size = read->data.len, .eof = eof};
	*ret_retry_after_ms = read->retry_after_ms;
	decode_free(&read->base);
	return 0;
}

// One poll and, where it gave nothing and time is left, the pause before the next.
static int read_once(struct streaming *streaming, Spawn__V1__ReadOutputRequest *request,
    void *buffer, size_t size, struct spawnd_chunk *chunk, bool *ret_again,
    struct spawnd_error *err)
{
	uint64_t asked_us = clock_now_us(), retry_after_ms = 0;
	Spawn__V1__Response *response;
	request->hold_ms = next_hold_ms(streaming);
	if (ask(streaming, "ReadOutput", &request->base, request->hold_ms, &response, err) < 0)
		return -1;
	int result = take_chunk(response, request->offset, buffer, size, chunk, &retry_after_ms, err);
	decode_free(&response->base);
	if (result < 0)
		return result;
	*ret_again =
	    !chunk->size && chunk->eof == SPAWND_EOF_NO && clock_now_us() < streaming->until_us;
	if (!*ret_again)
		return 0;
	uint64_t again_us = clock_add_us(clock_now_us(), clock_us_of_ms(retry_after_ms));
	if (again_us < asked_us + AWAIT_INTERVAL_US)
		again_us = asked_us + AWAIT_INTERVAL_US;
	return client_pause(&streaming->use, clock_min_us(again_us, streaming->until_us), err);
}

int spawnd_read_output(spawnd_client *client, const struct spawnd_process *process, int stream,
    uint64_t offset, uint64_t release_below, void *buffer, size_t size, uint64_t hold_ms,
    struct spawnd_chunk *ret_chunk, struct spawnd_error *err)
{
	struct streaming streaming;
	struct spawnd_chunk chunk = {0};
	if (stream != SPAWND_STDOUT && stream != SPAWND_STDERR)
		return error_argument(err, "stream", "a stream is SPAWND_STDOUT or SPAWND_STDERR");
	if (!buffer || !size || !ret_chunk)
		return error_argument(err, "buffer", "no room for output");
	if (release_below > offset)
		return error_argument(err, "release", "bytes from the offset on cannot be released");
	if (begin(&streaming, client, process, hold_ms, err) < 0)
		return -1;
	if (size > streaming.limits.max_read_bytes)
		size = streaming.limits.max_read_bytes;
	Spawn__V1__ReadOutputRequest request = SPAWN__V1__READ_OUTPUT_REQUEST__INIT;
	request.target = &streaming.target.message;
	request.stream = stream == SPAWND_STDOUT ? SPAWN__V1__STREAM__STREAM_STDOUT
	                                         : SPAWN__V1__STREAM__STREAM_STDERR;
	request.offset = offset;
	request.release = release_below;
	request.max = (uint32_t)size;
	bool again = true;
	int result = 0;
	while (result == 0 && again)
		result = read_once(&streaming, &request, buffer, size, &chunk, &again, err);
	client_leave(&streaming.use);
	if (result == 0)
		*ret_chunk = chunk;
	return result;
}

struct writing {
	uint64_t offset;
	const uint8_t *data;
	size_t left;
	bool close;
	struct spawnd_stdin_state state;
};

static int take_state(const Spawn__V1__Response *response, struct writing *writing, size_t sent,
    struct spawnd_error *err)
{
	Spawn__V1__WriteStdinResponse *written = (Spawn__V1__WriteStdinResponse *)decode_message(
	    &spawn__v1__write_stdin_response__descriptor, response->payload.data,
	    response->payload.len);
	if (!written)
		return error_set(
		    err, SPAWND_E_PROTOCOL, EPROTO, "the server's answer to WriteStdin cannot be read");
	writing->state = (struct spawnd_stdin_state){
	    .offset = written->offset, .closed = !!written->closed, .broken = !!written->broken};
	decode_free(&written->base);
	// The server may want more, or less, than this writer thinks: its word counts.
	size_t taken = 0;
	if (writing->state.offset > writing->offset)
		taken = writing->state.offset - writing->offset < sent
		            ? (size_t)(writing->state.offset - writing->offset)
		            : sent;
	writing->offset += taken;
	if (taken > 0) // there may be no data at all, and no pointer
		writing->data += taken;
	writing->left -= taken;
	return 0;
}

static int write_once(
    struct streaming *streaming, struct writing *writing, size_t most, struct spawnd_error *err)
{
	Spawn__V1__WriteStdinRequest request = SPAWN__V1__WRITE_STDIN_REQUEST__INIT;
	Spawn__V1__Response *response;
	size_t size = writing->left < most ? writing->left : most;
	request.target = &streaming->target.message;
	request.offset = writing->offset;
	request.data.data = (uint8_t *)writing->data;
	request.data.len = size;
	request.close = writing->close && size == writing->left;
	request.hold_ms = next_hold_ms(streaming);
	if (ask(streaming, "WriteStdin", &request.base, request.hold_ms, &response, err) < 0)
		return -1;
	int result = take_state(response, writing, size, err);
	decode_free(&response->base);
	return result;
}

int spawnd_write_stdin(spawnd_client *client, const struct spawnd_process *process, uint64_t offset,
    const void *data, size_t size, int close, uint64_t hold_ms,
    struct spawnd_stdin_state *ret_state, struct spawnd_error *err)
{
	struct streaming streaming;
	if (size && !data)
		return error_argument(err, "data", "no data");
	if (begin(&streaming, client, process, hold_ms, err) < 0)
		return -1;
	size_t most = streaming.limits.max_write_bytes;
	if (most > streaming.limits.max_message_bytes - ENVELOPE_BYTES)
		most = streaming.limits.max_message_bytes - ENVELOPE_BYTES;
	struct writing writing = {.offset = offset, .data = data, .left = size, .close = !!close};
	int result;
	for (;;) {
		uint64_t asked_us = clock_now_us();
		size_t left = writing.left;
		result = write_once(&streaming, &writing, most, err);
		if (result < 0 || writing.state.broken || writing.state.closed || !writing.left)
			break;
		// A piece that was taken whole says nothing about the next: that is asked for at once.
		if (left - writing.left == (left < most ? left : most))
			continue;
		if (clock_now_us() >= streaming.until_us)
			break;
		uint64_t again_us = asked_us + (left == writing.left ? AWAIT_INTERVAL_US : 0);
		result = client_pause(&streaming.use, clock_min_us(again_us, streaming.until_us), err);
		if (result < 0)
			break;
	}
	client_leave(&streaming.use);
	if (result == 0 && ret_state)
		*ret_state = writing.state;
	return result;
}
