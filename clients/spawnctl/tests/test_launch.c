// What a process is started with: environment, paths, defaults.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "clients/spawnctl/launch.h"

static void joins(const char *base, const char *path, const char *wanted)
{
	char *joined = launch_join_path(base, path);

	cr_assert_str_eq(joined, wanted);
	free(joined);
}

Test(launch, joins_paths)
{
	joins("/a", "b/c", "/a/b/c");
	joins("/", "b", "/b");
	joins("/a", "/b", "/b");
}

Test(launch, the_environment_has_each_name_once)
{
	const char *const given[] = {"A=1", "=C:=x", "odd", "AB=2", "A=9", "E=", NULL};
	const char *const more[] = {"B=3", "A=4", "B=5"};
	const char *const wanted[] = {"A=4", "AB=2", "E=", "B=5", NULL};
	const char **env = launch_merge_env(given, more, 3);

	for (size_t i = 0; i < 4; i++)
		cr_assert_str_eq(env[i], wanted[i]);
	cr_assert(eq(ptr, (void *)env[4], NULL));
	free(env);
}

static struct launch made(const char **operands, const char *cwd)
{
	static const char *const environment[] = {"HOME=/h", NULL};
	struct options options;
	struct launch launch;
	const char *about;

	options_init(&options);
	options.operands = operands;
	options.cwd = cwd;
	cr_assert(
	    eq(int, launch_make(&launch, &options, environment, SPAWND_OWNER_LOST_KEEP, &about), 0));
	return launch;
}

Test(launch, takes_on_where_it_is)
{
	char *here = getcwd(NULL, 0);
	struct launch launch;

	umask(031);
	launch = made((const char *[]){"ls", NULL}, NULL);
	cr_assert_str_eq(launch.spawn.cwd, here);
	cr_assert(eq(int, launch.spawn.umask, 031));
	cr_assert(eq(int, (int)umask(022), 031), "and leaves it");
	cr_assert(eq(ptr, (void *)launch.spawn.program, NULL), "looked up by the server");
	cr_assert_str_eq(launch.spawn.env[0], "HOME=/h");
	cr_assert(eq(int, launch.spawn.on_owner_lost, SPAWND_OWNER_LOST_KEEP));
	launch_clear(&launch);
	free(here);
}

Test(launch, a_path_is_meant_from_the_working_directory_asked_for)
{
	struct launch launch = made((const char *[]){"./tool", NULL}, "/usr/bin");

	cr_assert_str_eq(launch.spawn.program, "/usr/bin/./tool");
	cr_assert_str_eq(launch.spawn.argv[0], "./tool");
	launch_clear(&launch);
}
