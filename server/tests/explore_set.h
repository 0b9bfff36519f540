// The set of states that an explorer has seen, each with the way that led there. Breadth first:
// item i is explored when items up to i are known, until there is no new one.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct explore_set {
	size_t item_size, n, capacity; // capacity of items; slots are twice as many
	uint8_t *items;                // in the order found
	uint32_t *parents;             // item from which each was found; of the first: itself
	uint32_t *events;              // by which event
	uint32_t *slots;               // item + 1; 0: free
};

// Ends the program where memory is short.
void explore_init(struct explore_set *set, size_t item_size);
void explore_close(struct explore_set *set);

// Empties it and adds the first item.
void explore_start(struct explore_set *set, const void *item);

// True where the item (its bytes: padding must be equal too) is new.
bool explore_add(struct explore_set *set, const void *item, uint32_t parent, uint32_t event);

// Copies item i out.
void explore_get(const struct explore_set *set, size_t i, void *ret_item);

// Calls print for each event on the shortest way to item i, first one first.
void explore_trace(const struct explore_set *set, uint32_t i, void (*print)(uint32_t event));
