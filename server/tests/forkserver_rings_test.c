// Unit tests: the arena's allocator.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/forkserver/rings.h"

#define ARENA (256ull << 20)
#define STEPS 20000
#define HELD  200

static struct rings rings;

static void open_rings(void)
{
	cr_assert(eq(int, rings_open(&rings, ARENA), 0));
}

static void close_rings(void)
{
	rings_close(&rings);
}

TestSuite(forkserver_rings, .init = open_rings, .fini = close_rings);

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

Test(forkserver_rings, sizes_that_are_none)
{
	const uint64_t sizes[] = {0, 1, 4096, RING_SIZE_MIN - 1, RING_SIZE_MIN + 1, 3 * RING_SIZE_MIN,
	    RING_SIZE_MAX * 2ull, UINT64_MAX};
	uint64_t offset = 77;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		cr_assert(eq(int, rings_take(&rings, sizes[i], &offset), -EINVAL));
	cr_assert(eq(u64, offset, 77), "untouched");
}

Test(forkserver_rings, all_of_it_can_be_given_out_and_no_more)
{
	uint64_t offset, sum = 0;
	uint64_t n = ARENA / RING_SIZE_MIN;
	for (uint64_t i = 0; i < n; i++) {
		cr_assert(eq(int, rings_take(&rings, RING_SIZE_MIN, &offset), 0));
		sum += offset / RING_SIZE_MIN;
	}
	cr_assert(eq(u64, sum, n * (n - 1) / 2), "each place once");
	cr_assert(eq(int, rings_take(&rings, RING_SIZE_MIN, &offset), -ENOSPC));
	for (uint64_t i = 0; i < n; i++)
		rings_give(&rings, i * RING_SIZE_MIN, RING_SIZE_MIN, 0);
	cr_assert(eq(u64, rings_free_bytes(&rings), ARENA));
	cr_assert(eq(int, rings_take(&rings, RING_SIZE_MAX, &offset), 0), "neighbours are joined");
}

Test(forkserver_rings, rings_are_aligned_and_never_overlap)
{
	static uint8_t owner[ARENA / RING_SIZE_MIN];
	uint64_t offsets[HELD], sizes[HELD] = {0}, held = 0;
	uint32_t random = 1;
	for (int step = 0; step < STEPS; step++) {
		uint32_t i = next_random(&random) % HELD;
		if (sizes[i] != 0) {
			rings_give(&rings, offsets[i], sizes[i], 0);
			memset(owner + offsets[i] / RING_SIZE_MIN, 0, sizes[i] / RING_SIZE_MIN);
			held -= sizes[i];
			sizes[i] = 0;
			continue;
		}
		uint64_t size = (uint64_t)RING_SIZE_MIN << next_random(&random) % 11;
		if (rings_take(&rings, size, &offsets[i]) < 0)
			continue;
		sizes[i] = size;
		held += size;
		cr_assert(eq(u64, offsets[i] % size, 0));
		cr_assert(le(u64, offsets[i] + size, ARENA));
		for (uint64_t block = 0; block < size / RING_SIZE_MIN; block++)
			cr_assert(eq(u8, owner[offsets[i] / RING_SIZE_MIN + block]++, 0));
	}
	cr_assert(eq(u64, rings_free_bytes(&rings), ARENA - held));
	for (int i = 0; i < HELD; i++)
		if (sizes[i] != 0)
			rings_give(&rings, offsets[i], sizes[i], 0);
	cr_assert(eq(u64, rings_free_bytes(&rings), ARENA));
}

Test(forkserver_rings, what_is_given_back_is_empty)
{
	struct stat st;
	uint64_t offset;
	for (int i = 0; i < 100; i++) {
		cr_assert(eq(int, rings_take(&rings, 1 << 20, &offset), 0));
		cr_assert(eq(int, rings.base[offset] | rings.base[offset + (1 << 20) - 1], 0));
		memset(rings.base + offset, 'x', 1 << 20);
		rings_give(&rings, offset, 1 << 20, i % 2 ? 1 << 20 : 5 << 20);
	}
	cr_assert(eq(int, fstat(rings.fd, &st), 0));
	cr_assert(eq(long, st.st_blocks, 0));
	cr_assert(eq(int, rings_take(&rings, RING_SIZE_MIN, &offset), 0));
	memset(rings.base + offset, 'x', 5000);
	rings_give(&rings, offset, RING_SIZE_MIN, 5000);
	fstat(rings.fd, &st);
	cr_assert(eq(long, st.st_blocks, 0), "what was touched of it is enough");
}

Test(forkserver_rings, the_second_descriptor_only_reads)
{
	cr_assert(lt(int, (int)write(rings.read_only_fd, "x", 1), 0));
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, rings.read_only_fd, 0);
	cr_assert(eq(ptr, p, MAP_FAILED));
}
