// What waits to be sent to the broker, in the order in which it happened. Facts about a slot are
// one bit in the slot and one place here, written out of the slot when they are sent; answers are
// kept as they are, and while one is kept no more orders are read: so all of it is bounded.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/forkserver/slots.h"

#define OUTBOX_ANSWERS      512u
#define OUTBOX_ANSWER_BYTES 704u

struct root;

struct outbox_token {
	uint32_t index, generation; // slot; for an answer: its place
	uint32_t what;              // enum slot_unsent, or OUTBOX_ANSWER
};

struct outbox {
	int fd; // the link; -1: none
	bool gone;
	struct outbox_token *tokens;
	uint64_t mask, first, end;
	unsigned char (*answers)[OUTBOX_ANSWER_BYTES];
	uint32_t answers_held, next_answer;
	uint64_t blocked_since_us; // 0: the queue has room
	uint32_t watched_events;
	bool ping_due;
	uint64_t ping_serial;
	uint32_t shutdown_due; // count to send; 0: none
};

// 0 or negative errno.
int outbox_open(struct outbox *outbox, uint32_t max_records);
void outbox_attach(struct root *root, int fd);

// Notes a fact to be told.
void outbox_mark(struct root *root, struct slot *slot, enum slot_unsent what);

// Queues an answer, a whole message whose header is complete.
void outbox_answer(struct root *root, const void *message);

// May more orders be read?
bool outbox_takes_orders(const struct outbox *outbox);

// Is there room for an answer beside those that acts will need?
bool outbox_has_spare_room(const struct outbox *outbox);

// Sends what the link takes now.
void outbox_flush(struct root *root);
