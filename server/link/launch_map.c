// Maps and checks a launch file. Everything in it is taken for hostile.
#include "server/link/launch_map.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "server/link/messages.h"

#define SEALS_NEEDED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define RING_MIN     (64u << 10)
#define RING_MAX     (64u << 20)
#define NO_ID        UINT32_MAX // what setuid takes for "leave as it is"

static_assert(sizeof(char *) == sizeof(uint64_t), "offsets become pointers in place");
static_assert(sizeof(struct launch) % sizeof(uint64_t) == 0, "the table follows the struct");

// Where strings may lie. The file's last byte is NUL, so every string that begins in here ends in
// here, and one comparison checks each offset.
struct strings {
	char *base;
	uint64_t begin, end;
};

static bool is_string(const struct strings *strings, uint64_t offset)
{
	return offset >= strings->begin && offset < strings->end;
}

static bool is_path(const struct strings *strings, uint64_t offset)
{
	return is_string(strings, offset) && strings->base[offset] == '/';
}

static bool is_ring_size(uint64_t bytes)
{
	return bytes >= RING_MIN && bytes <= RING_MAX && (bytes & (bytes - 1)) == 0;
}

static bool check_stdio(const struct strings *strings, const struct launch_stdio *stdio, int number)
{
	bool is_output = number != 0;
	bool is_file = stdio->kind == LAUNCH_STDIO_FILE;
	bool has_ring = stdio->kind == LAUNCH_STDIO_PIPE && is_output;
	if (stdio->kind < LAUNCH_STDIO_NULL || stdio->kind > LAUNCH_STDIO_STDOUT)
		return false;
	if (stdio->kind == LAUNCH_STDIO_STDOUT && number != 2)
		return false;
	if (is_file ? !is_path(strings, stdio->path) : stdio->path != 0)
		return false;
	if (stdio->truncate > 1 || (stdio->truncate && !is_file))
		return false;
	return !has_ring || (is_ring_size(stdio->ring_bytes) && stdio->policy <= LINK_POLICY_BLOCK);
}

static bool check_identity(const struct launch *launch)
{
	if (launch->has_identity > 1 || launch->n_groups > LAUNCH_GROUPS_MAX)
		return false;
	if (!launch->has_identity)
		return launch->n_groups == 0;
	for (uint32_t i = 0; i < launch->n_groups; i++)
		if (launch->groups[i] == NO_ID)
			return false;
	return launch->uid != NO_ID && launch->gid != NO_ID;
}

// RLIMIT_LOCKS is the root's own: it marks the tree.
static bool check_rlimits(const struct launch *launch)
{
	if (launch->n_rlimits > LAUNCH_RLIMITS_MAX)
		return false;
	for (uint32_t i = 0; i < launch->n_rlimits; i++) {
		const struct launch_rlimit *limit = &launch->rlimits[i];
		if (limit->resource >= RLIM_NLIMITS || limit->resource == RLIMIT_LOCKS ||
		    limit->soft > limit->hard)
			return false;
	}
	return true;
}

static bool check_fixed(const struct launch *launch, uint64_t size)
{
	return launch->magic == LAUNCH_MAGIC && launch->version == LAUNCH_VERSION &&
	       launch->size == size && launch->n_argv >= 1 &&
	       (launch->n_candidates >= 1 || launch->looked_up) &&
	       launch->n_candidates <= LAUNCH_CANDIDATES_MAX && launch->umask <= 0777 &&
	       launch->allow_new_privileges <= 1 && launch->cancel_notice <= 1 &&
	       launch->looked_up <= 1;
}

// Turns n offsets at slots into pointers; with a further empty slot behind them if terminated.
static bool resolve_slots(const struct strings *strings, uint64_t *slots, uint64_t n, bool as_paths)
{
	for (uint64_t i = 0; i < n; i++) {
		if (as_paths ? !is_path(strings, slots[i]) : !is_string(strings, slots[i]))
			return false;
		char *text = strings->base + slots[i];
		memcpy(&slots[i], &text, sizeof(text));
	}
	return true;
}

int launch_resolve(void *base, size_t size, struct launch_map *ret_map)
{
	struct launch *launch = base;
	if (size <= sizeof(*launch) || size > LAUNCH_SIZE_MAX || !check_fixed(launch, size))
		return -EBADMSG;
	uint64_t n_argv = launch->n_argv, n_env = launch->n_env, n_paths = launch->n_candidates;
	uint64_t *slots = (uint64_t *)(void *)((char *)base + sizeof(*launch));
	uint64_t table_end = sizeof(*launch) + (n_argv + 1 + n_env + 1 + n_paths) * sizeof(uint64_t);
	struct strings strings = {.base = base, .begin = table_end, .end = size};
	if (table_end >= size || strings.base[size - 1] != '\0')
		return -EBADMSG;
	if (!check_identity(launch) || !check_rlimits(launch) || !is_path(&strings, launch->cwd))
		return -EBADMSG;
	for (int i = 0; i < 3; i++)
		if (!check_stdio(&strings, &launch->stdio[i], i))
			return -EBADMSG;
	uint64_t *env = slots + n_argv + 1, *paths = env + n_env + 1;
	if (slots[n_argv] != 0 || env[n_env] != 0 || !resolve_slots(&strings, slots, n_argv, false) ||
	    !resolve_slots(&strings, env, n_env, false) ||
	    !resolve_slots(&strings, paths, n_paths, true))
		return -EBADMSG;
	*ret_map = (struct launch_map){.base = base,
	    .size = size,
	    .launch = launch,
	    .argv = (char **)(void *)slots,
	    .env = (char **)(void *)env,
	    .candidates = (char **)(void *)paths,
	    .cwd = strings.base + launch->cwd};
	for (int i = 0; i < 3; i++)
		if (launch->stdio[i].kind == LAUNCH_STDIO_FILE)
			ret_map->paths[i] = strings.base + launch->stdio[i].path;
	return 0;
}

// Only a memory file of ordinary pages that can neither change nor shrink is safe to map: no fault
// in it can end this process.
static int measure_sealed(int fd, size_t *ret_size)
{
	struct statfs fs;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS_NEEDED) != SEALS_NEEDED)
		return -EBADMSG;
	if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC || fstat(fd, &st) < 0)
		return -EBADMSG;
	if (!S_ISREG(st.st_mode) || st.st_size <= (off_t)sizeof(struct launch) ||
	    st.st_size > (off_t)LAUNCH_SIZE_MAX)
		return -EBADMSG;
	*ret_size = (size_t)st.st_size;
	return 0;
}

int launch_map(int fd, struct launch_map *ret_map)
{
	size_t size;
	int r = measure_sealed(fd, &size);
	if (r < 0)
		return r;
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	r = launch_resolve(base, size, ret_map);
	if (r < 0)
		munmap(base, size);
	return r;
}

void launch_unmap(struct launch_map *map)
{
	if (map->base)
		munmap(map->base, map->size);
	memset(map, 0, sizeof(*map));
}
