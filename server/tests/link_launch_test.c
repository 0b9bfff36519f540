// Unit tests: launch files, built and mapped, and mapped when hostile.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/link/launch_build.h"
#include "server/link/launch_map.h"
#include "server/link/messages.h"

#define TEXT(literal)                                                                              \
	{                                                                                              \
		.data = (literal), .size = sizeof(literal) - 1                                             \
	}

static const struct launch_bytes argv[] = {TEXT("name"), TEXT(""), TEXT("b c")};
static const struct launch_variable env[] = {{TEXT("A"), TEXT("1=2")}, {TEXT("EMPTY"), TEXT("")}};
static const struct launch_bytes candidates[] = {TEXT("/usr/x"), TEXT("/bin/x")};
static const uint32_t groups[] = {3, 4};
static const struct launch_rlimit rlimits[] = {{.resource = RLIMIT_NOFILE, .soft = 5, .hard = 6}};

static struct launch_input rich_input(void)
{
	return (struct launch_input){.argv = argv,
	    .n_argv = 3,
	    .env = env,
	    .n_env = 2,
	    .candidates = candidates,
	    .n_candidates = 2,
	    .cwd = TEXT("/usr"),
	    .umask = 027,
	    .stdio = {{.kind = LAUNCH_STDIO_PIPE},
	        {.kind = LAUNCH_STDIO_FILE, .path = TEXT("/tmp/out"), .truncate = true},
	        {.kind = LAUNCH_STDIO_PIPE, .ring_bytes = 1 << 20, .policy = LINK_POLICY_BLOCK}},
	    .has_identity = true,
	    .uid = 7,
	    .gid = 8,
	    .groups = groups,
	    .n_groups = 2,
	    .rlimits = rlimits,
	    .n_rlimits = 1,
	    .cancel_notice = true};
}

Test(link_launch, what_is_built_is_what_is_mapped)
{
	struct launch_input input = rich_input();
	struct launch_map map;
	int fd = -1;
	cr_assert(eq(int, launch_build(&input, &fd), 0));
	cr_assert(eq(int, launch_map(fd, &map), 0));
	cr_assert(eq(int, strcmp(map.argv[0], "name"), 0));
	cr_assert(eq(int, strcmp(map.argv[1], ""), 0));
	cr_assert(eq(int, strcmp(map.argv[2], "b c"), 0));
	cr_assert(eq(ptr, map.argv[3], NULL));
	cr_assert(eq(int, strcmp(map.env[0], "A=1=2"), 0));
	cr_assert(eq(int, strcmp(map.env[1], "EMPTY="), 0));
	cr_assert(eq(ptr, map.env[2], NULL));
	cr_assert(eq(int, strcmp(map.candidates[1], "/bin/x"), 0));
	cr_assert(eq(int, strcmp(map.cwd, "/usr"), 0));
	cr_assert(eq(ptr, (void *)map.paths[0], NULL));
	cr_assert(eq(int, strcmp(map.paths[1], "/tmp/out"), 0));
	const struct launch *launch = map.launch;
	cr_assert(eq(u32, launch->umask, 027));
	cr_assert(eq(u32, launch->stdio[1].truncate, 1));
	cr_assert(eq(u64, launch->stdio[2].ring_bytes, 1 << 20));
	cr_assert(eq(u32, launch->stdio[2].policy, LINK_POLICY_BLOCK));
	cr_assert(eq(u32, launch->uid, 7));
	cr_assert(eq(u32, launch->groups[1], 4));
	cr_assert(eq(u64, launch->rlimits[0].hard, 6));
	cr_assert(eq(u32, launch->cancel_notice, 1));
	launch_unmap(&map);
	launch_unmap(&map);
}

Test(link_launch, the_file_is_sealed)
{
	struct launch_input input = rich_input();
	int fd = -1;
	cr_assert(eq(int, launch_build(&input, &fd), 0));
	cr_assert(lt(int, (int)write(fd, "x", 1), 0));
	cr_assert(lt(int, ftruncate(fd, 0), 0));
	cr_assert(lt(int, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0));
	cr_assert(ne(int, fcntl(fd, F_GETFD) & FD_CLOEXEC, 0));
}

Test(link_launch, bad_input_is_refused_by_the_builder)
{
	static const struct launch_bytes nul[] = {{.data = "a\0b", .size = 3}};
	static const struct launch_bytes relative[] = {TEXT("bin/x")};
	static const struct launch_variable no_name[] = {{TEXT(""), TEXT("x")}};
	static const struct launch_variable equals[] = {{TEXT("A=B"), TEXT("x")}};
	static const struct launch_rlimit locks[] = {{.resource = RLIMIT_LOCKS}};
	static const struct launch_rlimit upside_down[] = {{.resource = 7, .soft = 2, .hard = 1}};
	static char huge[LAUNCH_SIZE_MAX];
	struct launch_bytes too_long = {.data = huge, .size = sizeof(huge)};
	int fd = -1;
	memset(huge, 'x', sizeof(huge));
#define REFUSED(error, ...)                                                                        \
	do {                                                                                           \
		struct launch_input input = rich_input();                                                  \
		__VA_ARGS__;                                                                               \
		cr_assert(eq(int, launch_build(&input, &fd), -(error)), #__VA_ARGS__);                     \
	} while (0)
	REFUSED(EINVAL, input.n_argv = 0);
	REFUSED(EINVAL, input.argv = nul, input.n_argv = 1);
	REFUSED(EINVAL, input.candidates = relative, input.n_candidates = 1);
	REFUSED(EINVAL, input.n_candidates = 0);
	REFUSED(EINVAL, input.env = no_name, input.n_env = 1);
	REFUSED(EINVAL, input.env = equals, input.n_env = 1);
	REFUSED(EINVAL, input.cwd = relative[0]);
	REFUSED(EINVAL, input.umask = 01000);
	REFUSED(EINVAL, input.rlimits = locks);
	REFUSED(EINVAL, input.rlimits = upside_down);
	REFUSED(EINVAL, input.uid = UINT32_MAX);
	REFUSED(EINVAL, input.stdio[2].ring_bytes = (1 << 20) + 1);
	REFUSED(EINVAL, input.stdio[2].ring_bytes = 4096);
	REFUSED(EINVAL, input.stdio[2].ring_bytes = 1u << 30);
	REFUSED(EINVAL, input.stdio[2].policy = 2);
	REFUSED(EINVAL, input.stdio[0].kind = LAUNCH_STDIO_STDOUT);
	REFUSED(EINVAL, input.stdio[0].kind = 0);
	REFUSED(EINVAL, input.stdio[1].path = relative[0]);
	REFUSED(E2BIG, input.argv = &too_long, input.n_argv = 1);
#undef REFUSED
	cr_assert(eq(int, fd, -1), "untouched");
}

// --- hostile files -------------------------------------------------------------------------------

static int memory_file(const void *data, size_t size, int seals)
{
	int fd = memfd_create("hostile", MFD_ALLOW_SEALING);
	cr_assert(ge(int, fd, 0));
	cr_assert(eq(sz, (size_t)write(fd, data, size), size));
	cr_assert(eq(int, fcntl(fd, F_ADD_SEALS, seals), 0));
	return fd;
}

static size_t good_bytes(unsigned char *ret_bytes)
{
	struct launch_input input = rich_input();
	int fd = -1;
	cr_assert(eq(int, launch_build(&input, &fd), 0));
	ssize_t n = read(fd, ret_bytes, 8192);
	close(fd);
	return (size_t)n;
}

Test(link_launch, only_a_sealed_memory_file_is_mapped)
{
	const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	const int seals[] = {
	    0, F_SEAL_SHRINK, F_SEAL_WRITE, F_SEAL_GROW | F_SEAL_WRITE, F_SEAL_SHRINK | F_SEAL_GROW};
	unsigned char bytes[8192];
	struct launch_map map;
	size_t size = good_bytes(bytes);
	for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++)
		cr_assert(eq(int, launch_map(memory_file(bytes, size, seals[i]), &map), -EBADMSG));
	cr_assert(eq(int, launch_map(memory_file(bytes, size, all), &map), 0));
	cr_assert(eq(int, launch_map(memory_file(bytes, size - 1, all), &map), -EBADMSG));
	cr_assert(eq(int, launch_map(memory_file(bytes, 0, all), &map), -EBADMSG));
	cr_assert(eq(int, launch_map(open("/dev/null", O_RDWR), &map), -EBADMSG));
	cr_assert(eq(int, launch_map(open("/etc/passwd", O_RDONLY), &map), -EBADMSG));
	cr_assert(eq(int, launch_map(-1, &map), -EBADMSG));
}

static bool lies_inside(const struct launch_map *map, const char *text)
{
	const char *begin = map->base, *end = begin + map->size;
	return text >= begin && text < end && memchr(text, 0, (size_t)(end - text));
}

static void check_inside(const struct launch_map *map)
{
	for (char **list = map->argv; *list; list++)
		cr_assert(lies_inside(map, *list));
	for (char **list = map->env; *list; list++)
		cr_assert(lies_inside(map, *list));
	for (uint32_t i = 0; i < map->launch->n_candidates; i++)
		cr_assert(lies_inside(map, map->candidates[i]));
	cr_assert(lies_inside(map, map->cwd));
	for (int i = 0; i < 3; i++)
		if (map->paths[i])
			cr_assert(lies_inside(map, map->paths[i]));
}

// Each byte in turn takes values that hurt: whatever is still accepted lies inside the file.
Test(link_launch, no_changed_byte_leads_outside)
{
	static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	_Alignas(uint64_t) unsigned char good[8192], bad[8192];
	size_t size = good_bytes(good), accepted = 0;
	for (size_t at = 0; at < size; at++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			struct launch_map map;
			memcpy(bad, good, size);
			bad[at] = values[v];
			if (launch_resolve(bad, size, &map) < 0)
				continue;
			check_inside(&map);
			accepted++;
		}
	}
	cr_assert(gt(sz, accepted, size), "most bytes are of texts");
}

Test(link_launch, no_cut_is_accepted)
{
	_Alignas(uint64_t) unsigned char good[8192], cut[8192];
	struct launch_map map;
	size_t size = good_bytes(good);
	for (size_t shorter = 0; shorter < size; shorter++) {
		memcpy(cut, good, size);
		cr_assert(eq(int, launch_resolve(cut, shorter, &map), -EBADMSG));
	}
}
