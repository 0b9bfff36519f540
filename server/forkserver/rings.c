// The arena of all rings: a memory file under a buddy allocator.
#include "server/forkserver/rings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/common/fd.h"
#include "server/common/os.h"

#define RING_NONE  UINT32_MAX
#define BLOCK      RING_SIZE_MIN
#define ARENA_MIN  (64u << 20)
#define PAGE_BYTES 4096u

static void *reserve(size_t bytes)
{
	void *memory = mmap(
	    NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

static void push(struct rings *rings, uint32_t block, uint32_t order)
{
	uint32_t first = rings->first_free[order];
	rings->free_order[block] = (uint8_t)(order + 1);
	rings->next[block] = first;
	rings->previous[block] = RING_NONE;
	if (first != RING_NONE)
		rings->previous[first] = block;
	rings->first_free[order] = block;
}

static void unlink_block(struct rings *rings, uint32_t block, uint32_t order)
{
	uint32_t next = rings->next[block], previous = rings->previous[block];
	if (previous == RING_NONE)
		rings->first_free[order] = next;
	else
		rings->next[previous] = next;
	if (next != RING_NONE)
		rings->previous[next] = previous;
	rings->free_order[block] = 0;
}

// The file's mode and the second, read-only descriptor keep a broker under another uid from
// writing; a seal would also forbid this process to punch holes.
static int make_file(struct rings *rings, uint64_t size)
{
	char path[64];
	rings->fd = os_memory_file("spawnd-rings");
	if (rings->fd < 0)
		return rings->fd;
	if (ftruncate(rings->fd, (off_t)size) < 0 || fchmod(rings->fd, 0400) < 0)
		return -errno;
	rings->base =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, rings->fd, 0);
	if (rings->base == MAP_FAILED) {
		rings->base = NULL;
		return -errno;
	}
	rings->size = size;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", rings->fd);
	rings->read_only_fd = open(path, O_RDONLY | O_CLOEXEC);
	return rings->read_only_fd < 0 ? -errno : 0;
}

static int make_lists(struct rings *rings)
{
	size_t blocks = rings->size / BLOCK;
	rings->free_order = reserve(blocks);
	rings->next = reserve(blocks * sizeof(uint32_t));
	rings->previous = reserve(blocks * sizeof(uint32_t));
	if (!rings->free_order || !rings->next || !rings->previous)
		return -ENOMEM;
	for (size_t i = 0; i < 32; i++)
		rings->first_free[i] = RING_NONE;
	rings->top_order = (uint32_t)__builtin_ctzll(blocks);
	push(rings, 0, rings->top_order);
	return 0;
}

int rings_open(struct rings *rings, uint64_t max_size)
{
	int r = -EINVAL;
	for (uint64_t size = max_size; size >= ARENA_MIN; size /= 2) {
		memset(rings, 0, sizeof(*rings));
		rings->fd = rings->read_only_fd = -1;
		r = make_file(rings, size);
		if (r == 0)
			r = make_lists(rings);
		if (r == 0)
			return 0;
		rings_close(rings);
	}
	return r;
}

void rings_close(struct rings *rings)
{
	size_t blocks = rings->size / BLOCK;
	if (rings->base)
		munmap(rings->base, rings->size);
	if (rings->free_order)
		munmap(rings->free_order, blocks);
	if (rings->next)
		munmap(rings->next, blocks * sizeof(uint32_t));
	if (rings->previous)
		munmap(rings->previous, blocks * sizeof(uint32_t));
	fd_close(&rings->fd);
	fd_close(&rings->read_only_fd);
	memset(rings, 0, sizeof(*rings));
	rings->fd = rings->read_only_fd = -1;
}

static bool is_ring_size(uint64_t size)
{
	return size >= RING_SIZE_MIN && size <= RING_SIZE_MAX && (size & (size - 1)) == 0;
}

static uint32_t order_of(uint64_t size)
{
	return (uint32_t)__builtin_ctzll(size / BLOCK);
}

int rings_take(struct rings *rings, uint64_t size, uint64_t *ret_offset)
{
	if (!is_ring_size(size))
		return -EINVAL;
	uint32_t wanted = order_of(size), order = wanted;
	while (order <= rings->top_order && rings->first_free[order] == RING_NONE)
		order++;
	if (order > rings->top_order)
		return -ENOSPC;
	uint32_t block = rings->first_free[order];
	unlink_block(rings, block, order);
	for (; order > wanted; order--)
		push(rings, block + (1u << (order - 1)), order - 1);
	*ret_offset = (uint64_t)block * BLOCK;
	return 0;
}

static void punch(struct rings *rings, uint64_t offset, uint64_t size, uint64_t touched)
{
	uint64_t bytes = (touched + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
	if (bytes > size || touched > size)
		bytes = size;
	if (bytes > 0 && fallocate(rings->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
	                     (off_t)bytes) < 0)
		memset(rings->base + offset, 0, bytes); // what one process wrote, another must not see
}

void rings_give(struct rings *rings, uint64_t offset, uint64_t size, uint64_t touched)
{
	punch(rings, offset, size, touched);
	uint32_t block = (uint32_t)(offset / BLOCK), order = order_of(size);
	for (; order < rings->top_order; order++) {
		uint32_t buddy = block ^ (1u << order);
		if (rings->free_order[buddy] != order + 1)
			break;
		unlink_block(rings, buddy, order);
		block &= ~(1u << order);
	}
	push(rings, block, order);
}

uint64_t rings_free_bytes(const struct rings *rings)
{
	uint64_t total = 0;
	for (uint32_t order = 0; order <= rings->top_order; order++)
		for (uint32_t b = rings->first_free[order]; b != RING_NONE; b = rings->next[b])
			total += (uint64_t)BLOCK << order;
	return total;
}
