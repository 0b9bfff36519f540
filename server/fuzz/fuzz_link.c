// Fuzz target: the check of link messages, in both directions. What passes must be safe to read.
#include <stdlib.h>
#include <string.h>

#include "server/link/check.h"
#include "server/link/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum(const void *bytes, size_t size)
{
	const uint8_t *byte = bytes;
	uint64_t total = 0;
	for (size_t i = 0; i < size; i++)
		total += byte[i];
	return total;
}

static uint64_t read_tail(const void *message)
{
	const struct link_start *start = message;
	const struct link_act *act = message;
	const struct link_stdin *input = message;
	switch (start->header.kind) {
	case LINK_START:
		return sum(start->keepsake, start->keepsake_size);
	case LINK_ACT:
		return sum(act->keepsake, act->keepsake_size);
	case LINK_STDIN:
		return sum(input->data, input->data_size);
	default:
		return 0;
	}
}

static uint64_t read_text(const void *message)
{
	const struct link_ready *ready = message;
	const struct link_acted *acted = message;
	uint64_t total = 0;
	if (ready->header.kind == LINK_READY)
		return strlen(ready->url);
	for (uint32_t i = 0; acted->header.kind == LINK_ACTED && i < acted->n_alive; i++)
		if (i < LINK_MEMBERS_MAX)
			total += strlen(acted->members[i].comm) + strlen(acted->members[i].waits_in);
	return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *message = malloc(size ? size : 1); // of the exact size, so that a step over it shows
	volatile uint64_t sink = 0;
	if (!message)
		return 0;
	memcpy(message, data, size);
	for (int direction = LINK_TO_ROOT; direction <= LINK_TO_BROKER; direction++) {
		if (link_check(message, size, (enum link_direction)direction) < 0)
			continue;
		if (link_message_size(message) > size)
			abort();
		sink += read_tail(message) + read_text(message);
	}
	free(message);
	(void)sink;
	return 0;
}
