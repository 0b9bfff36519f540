// Puts a child's environment together and looks its program up in it.
#include "server/broker/decode_environment.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
#define BASE_COUNT   5u
#define OWN_COUNT    (BASE_COUNT + 1u) // and SPAWND_CANCEL_FD
#define CANCEL_FD    "SPAWND_CANCEL_FD"

static struct launch_bytes bytes_of(ProtobufCBinaryData data)
{
	return (struct launch_bytes){data.data, data.len};
}

static struct launch_bytes bytes_of_text(const char *text)
{
	return (struct launch_bytes){text, strlen(text)};
}

static int compare(const void *left, const void *right)
{
	const Spawn__V1__EnvVar *const *a = left, *const *b = right;
	size_t shorter = (*a)->name.len < (*b)->name.len ? (*a)->name.len : (*b)->name.len;
	int order = shorter ? memcmp((*a)->name.data, (*b)->name.data, shorter) : 0;
	if (order)
		return order;
	return (*a)->name.len < (*b)->name.len ? -1 : (*a)->name.len > (*b)->name.len;
}

static bool check_names(const Spawn__V1__SpawnRequest *request, struct refusal *refusal)
{
	for (size_t i = 0; i < request->n_env; i++) {
		ProtobufCBinaryData name = request->env[i]->name, value = request->env[i]->value;
		if (name.len == 0 || memchr(name.data, '=', name.len) || memchr(name.data, 0, name.len)) {
			refuse_field(refusal, "env[%zu].name", i, "empty, or holds \"=\" or a NUL");
			return false;
		}
		if (value.len && memchr(value.data, 0, value.len)) {
			refuse_field(refusal, "env[%zu].value", i, "holds a NUL");
			return false;
		}
	}
	return true;
}

// Sorted copies stand beside each other where names repeat.
static bool check_unique(const Spawn__V1__SpawnRequest *request, struct refusal *refusal)
{
	if (request->n_env < 2)
		return true;
	Spawn__V1__EnvVar **sorted = calloc(request->n_env, sizeof *sorted);
	if (!sorted) {
		refuse_limit(refusal, REFUSAL_LIMIT, "memory", 0, "no memory for the environment");
		return false;
	}
	memcpy(sorted, request->env, request->n_env * sizeof *sorted);
	qsort(sorted, request->n_env, sizeof *sorted, compare);
	const Spawn__V1__EnvVar *twice = NULL;
	for (size_t i = 1; i < request->n_env && !twice; i++)
		if (compare(&sorted[i - 1], &sorted[i]) == 0)
			twice = sorted[i];
	free(sorted);
	for (size_t i = 0; twice && i < request->n_env; i++) {
		if (request->env[i] == twice)
			refuse_field(refusal, "env[%zu].name", i, "given twice");
	}
	return !twice;
}

static bool is_given(const Spawn__V1__SpawnRequest *request, const char *name)
{
	size_t size = strlen(name);
	for (size_t i = 0; i < request->n_env; i++)
		if (request->env[i]->name.len == size &&
		    memcmp(request->env[i]->name.data, name, size) == 0)
			return true;
	return false;
}

static char *keep_text(struct spawn_environment *environment, char *text)
{
	if (text)
		environment->texts[environment->n_texts++] = text;
	return text;
}

static void add_text(struct spawn_environment *environment, const char *name, const char *value)
{
	char *kept = keep_text(environment, strdup(value));
	if (!kept)
		return;
	environment->variables[environment->n_variables++] =
	    (struct launch_variable){bytes_of_text(name), bytes_of_text(kept)};
}

// What the user database says; a uid that it does not know gets PATH alone. (SPN-11)
static void add_base(
    struct spawn_environment *environment, const Spawn__V1__SpawnRequest *request, uid_t uid)
{
	const struct passwd *user = getpwuid(uid);
	const struct {
		const char *name, *value;
	} base[BASE_COUNT] = {
	    {"PATH", DEFAULT_PATH},
	    {"HOME", user ? user->pw_dir : NULL},
	    {"USER", user ? user->pw_name : NULL},
	    {"LOGNAME", user ? user->pw_name : NULL},
	    {"SHELL", user ? user->pw_shell : NULL},
	};
	for (size_t i = 0; i < BASE_COUNT; i++)
		if (base[i].value && !is_given(request, base[i].name))
			add_text(environment, base[i].name, base[i].value);
}

static void add_given(struct spawn_environment *environment, const Spawn__V1__SpawnRequest *request,
    bool cancel_notice)
{
	for (size_t i = 0; i < request->n_env; i++) {
		struct launch_bytes name = bytes_of(request->env[i]->name);
		if (cancel_notice && name.size == strlen(CANCEL_FD) &&
		    memcmp(name.data, CANCEL_FD, name.size) == 0)
			continue;
		environment->variables[environment->n_variables++] =
		    (struct launch_variable){name, bytes_of(request->env[i]->value)};
	}
	if (cancel_notice)
		add_text(environment, CANCEL_FD, "3");
}

static struct launch_bytes find_path(const struct spawn_environment *environment)
{
	for (size_t i = 0; i < environment->n_variables; i++) {
		const struct launch_variable *variable = &environment->variables[i];
		if (variable->name.size == 4 && memcmp(variable->name.data, "PATH", 4) == 0)
			return variable->value;
	}
	return bytes_of_text(DEFAULT_PATH);
}

static bool add_candidate(struct spawn_environment *environment, const char *directory,
    size_t directory_size, struct launch_bytes name)
{
	char *path = keep_text(environment, malloc(directory_size + name.size + 2));
	if (!path)
		return false;
	memcpy(path, directory, directory_size);
	path[directory_size] = '/';
	memcpy(path + directory_size + 1, name.data, name.size);
	environment->candidates[environment->n_candidates++] =
	    (struct launch_bytes){path, directory_size + 1 + name.size};
	path[directory_size + 1 + name.size] = 0;
	return true;
}

// An absolute program stands for itself; a name is tried in each absolute entry of PATH. (SPN-18)
static bool look_up(struct spawn_environment *environment, struct launch_bytes program)
{
	if (((const char *)program.data)[0] == '/') {
		environment->candidates[environment->n_candidates++] = program;
		return true;
	}
	struct launch_bytes path = find_path(environment);
	const char *at = path.data, *end = at + path.size;
	while (at < end && environment->n_candidates < LAUNCH_CANDIDATES_MAX) {
		const char *colon = memchr(at, ':', (size_t)(end - at));
		size_t size = (size_t)((colon ? colon : end) - at);
		if (size && *at == '/' && !add_candidate(environment, at, size, program))
			return false;
		at += size + 1;
	}
	return true;
}

bool decode_environment(const Spawn__V1__SpawnRequest *request, uid_t uid, bool cancel_notice,
    struct spawn_environment *ret_environment, struct refusal *refusal)
{
	if (!check_names(request, refusal) || !check_unique(request, refusal))
		return false;
	struct spawn_environment environment = {
	    .variables = calloc(request->n_env + OWN_COUNT, sizeof *environment.variables),
	    .candidates = calloc(LAUNCH_CANDIDATES_MAX, sizeof *environment.candidates),
	    .texts = calloc(LAUNCH_CANDIDATES_MAX + OWN_COUNT, sizeof *environment.texts),
	};
	bool made = environment.variables && environment.candidates && environment.texts;
	if (made) {
		if (request->env_base)
			add_base(&environment, request, uid);
		add_given(&environment, request, cancel_notice);
		made = look_up(
		    &environment, bytes_of(request->program.len ? request->program : request->argv[0]));
	}
	if (!made) {
		refuse_limit(refusal, REFUSAL_LIMIT, "memory", 0, "no memory for the environment");
		decode_environment_free(&environment);
		return false;
	}
	*ret_environment = environment;
	return true;
}

void decode_environment_free(struct spawn_environment *environment)
{
	for (size_t i = 0; i < environment->n_texts; i++)
		free(environment->texts[i]);
	free(environment->texts);
	free(environment->candidates);
	free(environment->variables);
}
