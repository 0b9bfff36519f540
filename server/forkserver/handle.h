// Finds table entries by what the broker calls them: a hash table of fixed size from a pair of
// numbers to an index. Its memory is reserved, not used, until entries come. No call blocks.
#pragma once

#include <stdint.h>

#define HANDLE_NONE UINT32_MAX

struct handle_cell;

struct handle_table {
	struct handle_cell *cells;
	uint64_t mask;
	uint64_t seed; // random: the broker chooses keys, and must not choose collisions
	uint32_t used, max;
};

// 0 or negative errno. max entries fit.
int handle_open(struct handle_table *table, uint32_t max, uint64_t seed);
void handle_close(struct handle_table *table);

// The index kept for (a, b), or HANDLE_NONE.
uint32_t handle_find(const struct handle_table *table, uint64_t a, uint64_t b);

// Keeps index (below HANDLE_NONE) for (a, b), in place of an earlier one. 0; -ENOSPC: full.
int handle_put(struct handle_table *table, uint64_t a, uint64_t b, uint32_t index);

// Forgets (a, b); harmless where it is not known.
void handle_drop(struct handle_table *table, uint64_t a, uint64_t b);
