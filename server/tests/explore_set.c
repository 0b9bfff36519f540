// A hash set of fixed-size byte strings, kept in the order found.
#include "server/tests/explore_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *resize(void *memory, size_t n, size_t size)
{
	void *larger = reallocarray(memory, n, size);
	if (!larger) {
		fprintf(stderr, "explorer: out of memory\n");
		exit(2);
	}
	return larger;
}

static uint64_t hash(const uint8_t *bytes, size_t size)
{
	uint64_t sum = 0xcbf29ce484222325u;
	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3u;
	return sum ^ sum >> 29;
}

static uint8_t *item_at(const struct explore_set *set, size_t i)
{
	return set->items + i * set->item_size;
}

static size_t probe(const struct explore_set *set, const void *item)
{
	size_t mask = 2 * set->capacity - 1;
	size_t slot = hash(item, set->item_size) & mask;
	while (set->slots[slot] != 0 &&
	       memcmp(item_at(set, set->slots[slot] - 1), item, set->item_size) != 0)
		slot = (slot + 1) & mask;
	return slot;
}

static void grow(struct explore_set *set, size_t capacity)
{
	set->capacity = capacity;
	set->items = resize(set->items, capacity, set->item_size);
	set->parents = resize(set->parents, capacity, sizeof(*set->parents));
	set->events = resize(set->events, capacity, sizeof(*set->events));
	set->slots = resize(set->slots, 2 * capacity, sizeof(*set->slots));
	memset(set->slots, 0, 2 * capacity * sizeof(*set->slots));
	for (size_t i = 0; i < set->n; i++)
		set->slots[probe(set, item_at(set, i))] = (uint32_t)i + 1;
}

void explore_init(struct explore_set *set, size_t item_size)
{
	*set = (struct explore_set){.item_size = item_size};
	grow(set, 4096);
}

void explore_close(struct explore_set *set)
{
	free(set->items);
	free(set->parents);
	free(set->events);
	free(set->slots);
	*set = (struct explore_set){0};
}

void explore_start(struct explore_set *set, const void *item)
{
	set->n = 0;
	memset(set->slots, 0, 2 * set->capacity * sizeof(*set->slots));
	explore_add(set, item, 0, 0);
}

bool explore_add(struct explore_set *set, const void *item, uint32_t parent, uint32_t event)
{
	size_t slot = probe(set, item);
	if (set->slots[slot] != 0)
		return false;
	if (set->n == set->capacity) {
		grow(set, 2 * set->capacity);
		slot = probe(set, item);
	}
	memcpy(item_at(set, set->n), item, set->item_size);
	set->parents[set->n] = parent;
	set->events[set->n] = event;
	set->slots[slot] = (uint32_t)++set->n;
	return true;
}

void explore_get(const struct explore_set *set, size_t i, void *ret_item)
{
	memcpy(ret_item, item_at(set, i), set->item_size);
}

void explore_trace(const struct explore_set *set, uint32_t i, void (*print)(uint32_t event))
{
	if (set->parents[i] == i)
		return;
	explore_trace(set, set->parents[i], print);
	print(set->events[i]);
}
