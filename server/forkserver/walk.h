// Reads process trees from /proc: children, state, tag. Reads only files whose reading cannot block
// on the process read (no memory lock, no credential lock).
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WALK_PID_MAX (1u << 22) // the kernel's highest pid_max

struct walk_stat {
	char comm[16];
	char state;
	pid_t parent, group;
	long threads;
	uint64_t start_ticks;
};

// 0; -ESRCH: no such process.
int walk_read_stat(pid_t pid, struct walk_stat *ret_stat);

// Is any of its threads alive? (The first thread may be a zombie among live ones.)
bool walk_is_alive(const struct walk_stat *stat);

// The kernel function that it waits in; "" where unknown.
void walk_read_wchan(pid_t pid, char *ret_name, size_t size);

// Is a tracer attached?
bool walk_is_traced(pid_t pid);

// Hard RLIMIT_LOCKS. 0; negative errno where it cannot be read.
int walk_read_tag(pid_t pid, uint64_t *ret_tag);

// A queue of processes in which parents come before their children.
struct walk {
	struct walk_entry *entries;
	uint32_t n, next;
};

struct walk_entry {
	pid_t pid;
	pid_t parent; // as it was seen; 0: a root of the walk
};

// Reserves memory for WALK_PID_MAX entries. 0 or negative errno.
int walk_open(struct walk *walk);
void walk_close(struct walk *walk);

void walk_begin(struct walk *walk);
void walk_add(struct walk *walk, pid_t pid, pid_t parent);

// Takes the next entry and adds its children behind all others. False: none is left.
bool walk_next(struct walk *walk, struct walk_entry *ret_entry);

// Adds the children of this process itself (descriptor of walk_open_own_children).
int walk_open_own_children(void);
int walk_add_own_children(struct walk *walk, int fd);
