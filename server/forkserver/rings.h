// The arena: one memory file that holds the rings of all output streams. A buddy allocator gives
// out rings of 64 KiB to 64 MiB, each a power of two and aligned to its size; freed ones give their
// memory back. Only this process may write the file; the broker gets it read-only. No call blocks.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define RING_SIZE_MIN (64u << 10)
#define RING_SIZE_MAX (64u << 20)

struct rings {
	int fd, read_only_fd;
	unsigned char *base;
	uint64_t size;
	// The allocator: one entry for each 64 KiB block.
	uint8_t *free_order; // 1 + order of the free run that begins here; 0: none does
	uint32_t *next, *previous;
	uint32_t first_free[32]; // of each order; RING_NONE where empty
	uint32_t top_order;
};

// Makes an arena of at most max_size bytes (a power of two; halved while the system refuses, down
// to 64 MiB). 0 or negative errno.
int rings_open(struct rings *rings, uint64_t max_size);
void rings_close(struct rings *rings);

// Gives out size bytes at *ret_offset. 0; -EINVAL: not a size for a ring; -ENOSPC: none left.
int rings_take(struct rings *rings, uint64_t size, uint64_t *ret_offset);

// Takes a ring back. touched: how many bytes from its start were ever written.
void rings_give(struct rings *rings, uint64_t offset, uint64_t size, uint64_t touched);

// Bytes that are not given out.
uint64_t rings_free_bytes(const struct rings *rings);
