// How a tree is told from all other processes. Here: the process's own descendants by the
// sub-reaper, known again by their tag (a hard RLIMIT_LOCKS of its own for each tree, which Linux
// ignores and which survives double fork, setsid and exec). Containment by cgroup will stand behind
// the same functions: a leaf made in contain_prepare, membership and emptiness read from it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct root;
struct slot;

struct contain {
	uint64_t first, last; // tags that this server may give; first > last: none
	uint32_t stride_bits; // tags of one process: 1 << stride_bits
	uint32_t unknown;     // adopted orphans that no tag explained, so far
};

void contain_open(struct contain *contain, uint64_t own_hard_limit, uint32_t random);

// The tag for the process with that number; 0: none is left, and no proof will hold.
uint64_t contain_tag(const struct contain *contain, uint32_t number);

// The number of the process whose tree has that tag; 0: none of this server.
uint32_t contain_number(const struct contain *contain, uint64_t tag);

// Readies the slot before its start.
void contain_prepare(struct root *root, struct slot *slot);

// The slot in whose tree the process is by its tag, NULL: none. 0; negative errno: its tag cannot
// be read now.
int contain_owner(struct root *root, pid_t pid, struct slot **ret_owner);

// Notes an adopted orphan of unknown origin: it may belong to any tree alive now.
void contain_spoil(struct root *root, pid_t pid);

// enum link_proof for a tree that was just found empty.
uint32_t contain_proof(const struct slot *slot);
