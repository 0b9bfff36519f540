// Builds a launch file: measures, lays out, writes, checks, seals.
#include "server/link/launch_build.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/common/cleanup.h"
#include "server/common/os.h"
#include "server/link/launch_map.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

// Writes strings one after the other behind the offset table.
struct writer {
	char *base;
	uint64_t *next_slot;
	uint64_t end;
};

static bool is_clean(struct launch_bytes text)
{
	return text.size == 0 || memchr(text.data, 0, text.size) == NULL;
}

static bool add_size(uint64_t *total, struct launch_bytes text)
{
	if (text.size > LAUNCH_SIZE_MAX || !is_clean(text))
		return false;
	*total += text.size + 1;
	return true;
}

static bool are_counts_ok(const struct launch_input *input)
{
	return input->n_argv >= 1 && input->n_argv <= LAUNCH_SIZE_MAX / 8 &&
	       input->n_env <= LAUNCH_SIZE_MAX / 8 && (input->n_candidates >= 1 || input->looked_up) &&
	       input->n_candidates <= LAUNCH_CANDIDATES_MAX && input->n_groups <= LAUNCH_GROUPS_MAX &&
	       input->n_rlimits <= LAUNCH_RLIMITS_MAX;
}

static bool is_variable(const struct launch_variable *variable)
{
	return variable->name.size > 0 && !memchr(variable->name.data, '=', variable->name.size);
}

static uint64_t table_end(const struct launch_input *input)
{
	uint64_t slots = input->n_argv + 1 + input->n_env + 1 + input->n_candidates;
	return sizeof(struct launch) + slots * sizeof(uint64_t);
}

static int measure(const struct launch_input *input, uint64_t *ret_size)
{
	if (!are_counts_ok(input))
		return -EINVAL;
	uint64_t total = table_end(input);
	for (size_t i = 0; i < input->n_argv; i++)
		if (!add_size(&total, input->argv[i]))
			return -EINVAL;
	for (size_t i = 0; i < input->n_env; i++)
		if (!is_variable(&input->env[i]) || !add_size(&total, input->env[i].name) ||
		    !add_size(&total, input->env[i].value))
			return -EINVAL;
	for (size_t i = 0; i < input->n_candidates; i++)
		if (!add_size(&total, input->candidates[i]))
			return -EINVAL;
	if (!add_size(&total, input->cwd))
		return -EINVAL;
	for (size_t i = 0; i < 3; i++)
		if (input->stdio[i].kind == LAUNCH_STDIO_FILE && !add_size(&total, input->stdio[i].path))
			return -EINVAL;
	if (total > LAUNCH_SIZE_MAX)
		return -E2BIG;
	*ret_size = total;
	return 0;
}

static void put_bytes(struct writer *writer, struct launch_bytes text)
{
	if (text.size > 0)
		memcpy(writer->base + writer->end, text.data, text.size);
	writer->end += text.size;
}

static uint64_t put_text(struct writer *writer, struct launch_bytes text)
{
	uint64_t offset = writer->end;
	put_bytes(writer, text);
	writer->base[writer->end++] = '\0';
	return offset;
}

static void put_tables(struct writer *writer, const struct launch_input *input)
{
	for (size_t i = 0; i < input->n_argv; i++)
		*writer->next_slot++ = put_text(writer, input->argv[i]);
	*writer->next_slot++ = 0;
	for (size_t i = 0; i < input->n_env; i++) {
		*writer->next_slot++ = writer->end;
		put_bytes(writer, input->env[i].name);
		writer->base[writer->end++] = '=';
		put_text(writer, input->env[i].value);
	}
	*writer->next_slot++ = 0;
	for (size_t i = 0; i < input->n_candidates; i++)
		*writer->next_slot++ = put_text(writer, input->candidates[i]);
}

static void put_stdio(
    struct writer *writer, struct launch_stdio *to, const struct launch_input_stdio *from)
{
	to->kind = from->kind;
	to->truncate = from->kind == LAUNCH_STDIO_FILE && from->truncate;
	if (from->kind == LAUNCH_STDIO_FILE)
		to->path = put_text(writer, from->path);
	if (from->kind == LAUNCH_STDIO_PIPE) {
		to->ring_bytes = from->ring_bytes;
		to->policy = from->policy;
	}
}

static void put_all(char *base, uint64_t size, const struct launch_input *input)
{
	struct launch *launch = (struct launch *)(void *)base;
	struct writer writer = {.base = base, .end = table_end(input)};
	writer.next_slot = (uint64_t *)(void *)(base + sizeof(*launch));
	launch->magic = LAUNCH_MAGIC;
	launch->version = LAUNCH_VERSION;
	launch->size = size;
	launch->n_argv = (uint32_t)input->n_argv;
	launch->n_env = (uint32_t)input->n_env;
	launch->n_candidates = (uint32_t)input->n_candidates;
	launch->umask = input->umask;
	launch->has_identity = input->has_identity;
	launch->uid = input->has_identity ? input->uid : 0;
	launch->gid = input->has_identity ? input->gid : 0;
	launch->n_groups = (uint32_t)input->n_groups;
	for (size_t i = 0; i < input->n_groups; i++)
		launch->groups[i] = input->groups[i];
	launch->n_rlimits = (uint32_t)input->n_rlimits;
	for (size_t i = 0; i < input->n_rlimits; i++)
		launch->rlimits[i] = input->rlimits[i];
	launch->allow_new_privileges = input->allow_new_privileges;
	launch->cancel_notice = input->cancel_notice;
	launch->looked_up = input->looked_up;
	put_tables(&writer, input);
	launch->cwd = put_text(&writer, input->cwd);
	for (size_t i = 0; i < 3; i++)
		put_stdio(&writer, &launch->stdio[i], &input->stdio[i]);
}

// A writable mapping forbids the seal, so the file is filled and unmapped first.
static int fill(int fd, uint64_t size, const struct launch_input *input)
{
	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	put_all(base, size, input);
	munmap(base, size);
	return 0;
}

int launch_build(const struct launch_input *input, int *ret_fd)
{
	uint64_t size;
	int r = measure(input, &size);
	if (r < 0)
		return r;
	CLEANUP_FD int fd = os_memory_file("spawnd-launch");
	if (fd < 0)
		return fd;
	r = fill(fd, size, input);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	// The root's own check, here where a refusal still has a caller to answer to.
	struct launch_map map;
	r = launch_map(fd, &map);
	if (r < 0)
		return r == -EBADMSG ? -EINVAL : r;
	launch_unmap(&map);
	*ret_fd = fd;
	fd = -1;
	return 0;
}
