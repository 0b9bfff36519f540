// The heap of deadlines: parents are never later than their children.
#include "server/broker/deadlines.h"

#include <errno.h>
#include <stdlib.h>

static void place(struct deadlines *deadlines, size_t index, struct deadline *deadline)
{
	deadlines->heap[index] = deadline;
	deadline->index = index;
}

static void sift_up(struct deadlines *deadlines, struct deadline *deadline)
{
	size_t index = deadline->index;
	while (index > 0) {
		struct deadline *parent = deadlines->heap[(index - 1) / 2];
		if (parent->at_ms <= deadline->at_ms)
			break;
		place(deadlines, index, parent);
		index = (index - 1) / 2;
	}
	place(deadlines, index, deadline);
}

static void sift_down(struct deadlines *deadlines, struct deadline *deadline)
{
	size_t index = deadline->index;
	for (;;) {
		size_t child = 2 * index + 1;
		if (child >= deadlines->n)
			break;
		if (child + 1 < deadlines->n &&
		    deadlines->heap[child + 1]->at_ms < deadlines->heap[child]->at_ms)
			child++;
		if (deadlines->heap[child]->at_ms >= deadline->at_ms)
			break;
		place(deadlines, index, deadlines->heap[child]);
		index = child;
	}
	place(deadlines, index, deadline);
}

static void reorder(struct deadlines *deadlines, struct deadline *deadline)
{
	sift_up(deadlines, deadline);
	sift_down(deadlines, deadline);
}

static void take_out(struct deadlines *deadlines, struct deadline *deadline)
{
	struct deadline *last = deadlines->heap[--deadlines->n];
	if (last != deadline) {
		place(deadlines, deadline->index, last);
		reorder(deadlines, last);
	}
	deadline->at_ms = DEADLINE_NEVER;
}

static int make_room(struct deadlines *deadlines)
{
	if (deadlines->n < deadlines->capacity)
		return 0;
	size_t capacity = deadlines->capacity ? 2 * deadlines->capacity : 64;
	void *heap = reallocarray(deadlines->heap, capacity, sizeof(*deadlines->heap));
	if (!heap)
		return -ENOMEM;
	deadlines->heap = heap;
	deadlines->capacity = capacity;
	return 0;
}

void deadlines_close(struct deadlines *deadlines)
{
	free(deadlines->heap);
	*deadlines = (struct deadlines){0};
}

void deadline_init(struct deadline *deadline, void (*due)(void *user, uint64_t now_ms), void *user)
{
	*deadline = (struct deadline){.at_ms = DEADLINE_NEVER, .due = due, .user = user};
}

int deadlines_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t at_ms)
{
	bool in_heap = deadline->at_ms != DEADLINE_NEVER;
	if (at_ms == DEADLINE_NEVER) {
		if (in_heap)
			take_out(deadlines, deadline);
		return 0;
	}
	if (!in_heap) {
		int error = make_room(deadlines);
		if (error)
			return error;
		place(deadlines, deadlines->n++, deadline);
	}
	deadline->at_ms = at_ms;
	reorder(deadlines, deadline);
	return 0;
}

uint64_t deadlines_next(const struct deadlines *deadlines)
{
	return deadlines->n ? deadlines->heap[0]->at_ms : DEADLINE_NEVER;
}

void deadlines_run(struct deadlines *deadlines, uint64_t now_ms)
{
	// One call for each that is there now: what sets itself again cannot hold the loop.
	for (size_t left = deadlines->n; left > 0 && deadlines_next(deadlines) <= now_ms; left--) {
		struct deadline *first = deadlines->heap[0];
		take_out(deadlines, first);
		first->due(first->user, now_ms);
	}
}
