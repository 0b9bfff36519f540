// A hash table from pairs of numbers to indexes: open addressing, linear probing, no tombstones.
#include "server/forkserver/handle.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

struct handle_cell {
	uint64_t a, b;
	uint32_t index_plus_1; // 0: empty, as fresh memory is
	uint32_t pad;
};

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t home_of(const struct handle_table *table, uint64_t a, uint64_t b)
{
	return mix(mix(a ^ table->seed) + b) & table->mask;
}

int handle_open(struct handle_table *table, uint32_t max, uint64_t seed)
{
	uint64_t n = 16;
	while (n < 2 * (uint64_t)max)
		n *= 2;
	void *memory = mmap(NULL, n * sizeof(struct handle_cell), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*table = (struct handle_table){.cells = memory, .mask = n - 1, .seed = seed, .max = max};
	return 0;
}

void handle_close(struct handle_table *table)
{
	if (table->cells)
		munmap(table->cells, (table->mask + 1) * sizeof(struct handle_cell));
	table->cells = NULL;
}

// The cell of (a, b), or the empty cell where it would go. At most half of the cells are used.
static uint64_t locate(const struct handle_table *table, uint64_t a, uint64_t b)
{
	uint64_t at = home_of(table, a, b);
	for (; table->cells[at].index_plus_1 != 0; at = (at + 1) & table->mask)
		if (table->cells[at].a == a && table->cells[at].b == b)
			break;
	return at;
}

uint32_t handle_find(const struct handle_table *table, uint64_t a, uint64_t b)
{
	return table->cells[locate(table, a, b)].index_plus_1 - 1; // empty: wraps to HANDLE_NONE
}

int handle_put(struct handle_table *table, uint64_t a, uint64_t b, uint32_t index)
{
	struct handle_cell *cell = &table->cells[locate(table, a, b)];
	if (cell->index_plus_1 == 0) {
		if (table->used == table->max)
			return -ENOSPC;
		table->used++;
	}
	*cell = (struct handle_cell){.a = a, .b = b, .index_plus_1 = index + 1};
	return 0;
}

// Moves later cells of the run back into the gap, so that no search stops short of its cell.
void handle_drop(struct handle_table *table, uint64_t a, uint64_t b)
{
	uint64_t gap = locate(table, a, b);
	if (table->cells[gap].index_plus_1 == 0)
		return;
	table->used--;
	for (uint64_t at = (gap + 1) & table->mask; table->cells[at].index_plus_1 != 0;
	     at = (at + 1) & table->mask) {
		uint64_t home = home_of(table, table->cells[at].a, table->cells[at].b);
		if (((at - home) & table->mask) >= ((at - gap) & table->mask)) {
			table->cells[gap] = table->cells[at];
			gap = at;
		}
	}
	table->cells[gap].index_plus_1 = 0;
}
