// Feeds standard input.
#include "server/broker/stdin_feed.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "server/broker/call.h"
#include "server/broker/op_all.h"
#include "server/broker/proctable.h"

static uint64_t end_of(const struct call *call)
{
	return call->stdin_data.offset + call->stdin_data.size;
}

// Was all of it taken, and closed if that was asked for?
static bool is_done(const struct stdin_feed *feed, const struct call *call)
{
	if (feed->closed || feed->broken)
		return true;
	return feed->offset >= end_of(call) && !call->stdin_data.close;
}

// A write is over, too, when some of it was taken and no more fits. (STR-9)
static bool has_moved(const struct stdin_feed *feed, const struct call *call)
{
	return (call->stdin_data.once || feed->offset > call->stdin_data.offset) && !feed->room &&
	       !feed->in_flight;
}

static void send_piece(struct process *process, const struct call *call)
{
	struct stdin_feed *feed = &process->stdin_feed;
	const struct call_stdin *write = &call->stdin_data;
	struct link_stdin *message = malloc(sizeof *message);
	if (!message)
		return; // tried again by the next state or call
	memset(message, 0, offsetof(struct link_stdin, data));
	uint64_t taken = feed->offset - write->offset;
	uint64_t skip = taken < write->size ? taken : write->size;
	uint64_t left = write->size - skip;
	message->header.kind = LINK_STDIN;
	message->process_id = process->id;
	message->offset = feed->offset;
	message->data_size = (uint32_t)(left < LINK_STDIN_MAX ? left : LINK_STDIN_MAX);
	message->close = write->close && message->data_size == left;
	memcpy(message->data, write->data + skip, message->data_size);
	feed->in_flight = true;
	broker_send(process->broker, message);
	free(message);
}

void stdin_feed_pump(struct process *process)
{
	struct stdin_feed *feed = &process->stdin_feed;
	struct call *call, *next;
	DL_FOREACH_SAFE2(process->parked, call, next, park_next)
	{
		if (call->park == PARK_STDIN && (is_done(feed, call) || has_moved(feed, call)))
			op_write_finish(call, process);
	}
	if (feed->in_flight || !feed->room || feed->closed || feed->broken)
		return;
	DL_FOREACH2(process->parked, call, park_next)
	{
		if (call->park == PARK_STDIN && call->stdin_data.offset <= feed->offset) {
			send_piece(process, call);
			return;
		}
	}
}

void stdin_feed_state(struct process *process, const struct link_stdin_state *message)
{
	struct stdin_feed *feed = &process->stdin_feed;
	feed->in_flight = false;
	feed->offset = message->offset;
	feed->room = message->room;
	feed->closed = message->closed;
	feed->broken = message->broken;
	stdin_feed_pump(process);
}
