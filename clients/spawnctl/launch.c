// What a process is started with.
#include "clients/spawnctl/launch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool same_name(const char *a, const char *b)
{
	size_t length = strcspn(a, "=");

	return strncmp(a, b, length) == 0 && b[length] == '=';
}

static bool is_variable(const char *entry)
{
	return entry[0] != '=' && strchr(entry, '=') != NULL;
}

static const char **find_variable(const char **env, size_t n, const char *entry)
{
	for (size_t i = 0; i < n; i++)
		if (same_name(entry, env[i]))
			return &env[i];
	return NULL;
}

const char **launch_merge_env(
    const char *const *environment, const char *const *additions, size_t n_additions)
{
	size_t n_environment = 0, n = 0;
	const char **env, **known;

	while (environment && environment[n_environment])
		n_environment++;
	env = calloc(n_environment + n_additions + 1, sizeof *env);
	if (!env)
		return NULL;
	for (size_t i = 0; i < n_environment; i++)
		if (is_variable(environment[i]) && !find_variable(env, n, environment[i]))
			env[n++] = environment[i];
	for (size_t i = 0; i < n_additions; i++) {
		known = find_variable(env, n, additions[i]);
		if (known)
			*known = additions[i];
		else
			env[n++] = additions[i];
	}
	return env;
}

char *launch_join_path(const char *base, const char *path)
{
	size_t base_length = strlen(base);
	char *joined;

	if (path[0] == '/')
		return strdup(path);
	joined = malloc(base_length + 1 + strlen(path) + 1);
	if (!joined)
		return NULL;
	memcpy(joined, base, base_length);
	if (base_length == 0 || base[base_length - 1] != '/')
		joined[base_length++] = '/';
	strcpy(joined + base_length, path);
	return joined;
}

// A program with a slash in its name is looked for from its own working directory, as after cd.
static int place_program(struct launch *launch, const struct options *options)
{
	const char *name = options->operands[0];

	if (name[0] == '/' || !strchr(name, '/'))
		return 0; // the server looks a bare name up in the PATH that it is given
	launch->program = launch_join_path(launch->cwd, name);
	launch->spawn.program = launch->program;
	return launch->program ? 0 : -ENOMEM;
}

static int place_output(
    struct spawnd_stdio *stdio, char **ret_path, const char *here, const char *path)
{
	if (!path)
		return 0;
	*ret_path = launch_join_path(here, path);
	if (!*ret_path)
		return -ENOMEM;
	stdio->kind = SPAWND_FILE;
	stdio->path = *ret_path;
	return 0;
}

static int place_outputs(struct launch *launch, const struct options *options, const char *here)
{
	struct spawnd_stdio *stdio = launch->spawn.stdio;
	int rc = place_output(&stdio[1], &launch->stdout_path, here, options->stdout_path);

	if (rc < 0)
		return rc;
	if (options->stdout_path && options->stderr_path &&
	    strcmp(options->stdout_path, options->stderr_path) == 0) {
		stdio[2].kind = SPAWND_SAME_AS_STDOUT; // one open file: neither writes over the other
		return 0;
	}
	return place_output(&stdio[2], &launch->stderr_path, here, options->stderr_path);
}

static int own_umask(void)
{
	mode_t mask = umask(077);

	umask(mask);
	return (int)mask;
}

// Copies what needs no conversion.
static void copy_choices(struct launch *launch, const struct options *options, int on_owner_lost)
{
	struct spawnd_spawn_options *spawn = &launch->spawn;

	spawn->argv = options->operands;
	spawn->env = launch->env;
	spawn->cwd = launch->cwd;
	if (options->n_rungs > 0) {
		spawn->ladder = options->ladder;
		spawn->n_rungs = options->n_rungs;
	}
	spawn->on_owner_lost = options->on_owner_lost >= 0 ? options->on_owner_lost : on_owner_lost;
	spawn->on_leader_exit = options->on_leader_exit;
	spawn->run_ms = options->run_ms;
	spawn->name = options->name;
	spawn->umask = options->umask >= 0 ? options->umask : own_umask();
}

int launch_make(struct launch *launch, const struct options *options,
    const char *const *environment, int on_owner_lost, const char **ret_about)
{
	char *here = getcwd(NULL, 0);
	int rc = -ENOMEM;

	*launch = (struct launch){.spawn = SPAWND_SPAWN_OPTIONS_INIT};
	*ret_about = "the current directory";
	if (!here)
		return -errno;
	*ret_about = "making ready";
	launch->cwd = options->cwd ? launch_join_path(here, options->cwd) : strdup(here);
	launch->env =
	    launch_merge_env(options->clear_env ? NULL : environment, options->env, options->n_env);
	if (launch->cwd && launch->env) {
		copy_choices(launch, options, on_owner_lost);
		rc = place_program(launch, options);
	}
	if (rc == 0)
		rc = place_outputs(launch, options, here);
	free(here);
	if (rc < 0)
		launch_clear(launch);
	return rc;
}

void launch_clear(struct launch *launch)
{
	free(launch->env);
	free(launch->cwd);
	free(launch->program);
	free(launch->stdout_path);
	free(launch->stderr_path);
	*launch = (struct launch){0};
}
