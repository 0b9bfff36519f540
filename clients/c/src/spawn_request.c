// From spawnd_spawn_options to the wire.
#include "clients/c/src/spawn_request.h"

#include "clients/c/src/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTER_BYTES  8u // what a string costs beyond its bytes (SPN-19)
#define NAME_BYTES_MAX 128
#define GROUPS_MAX     64
#define RLIMITS_MAX    16

static ProtobufCBinaryData bytes_of(const char *text)
{
	return (ProtobufCBinaryData){
	    .len = text ? strlen(text) : 0, .data = (uint8_t *)(text ? text : "")};
}

static size_t count(const char *const *strings)
{
	size_t n = 0;
	while (strings && strings[n])
		n++;
	return n;
}

static int fill_argv(struct spawn_request *request, const char *const *argv, uint64_t *launch_bytes,
    struct spawnd_error *err)
{
	size_t n = count(argv);
	if (!n)
		return error_argument(err, "argv", "argv needs at least one element");
	request->argv = calloc(n, sizeof *request->argv);
	if (!request->argv)
		return error_memory(err);
	for (size_t i = 0; i < n; i++) {
		request->argv[i] = bytes_of(argv[i]);
		*launch_bytes += request->argv[i].len + 1 + POINTER_BYTES;
	}
	request->message.argv = request->argv;
	request->message.n_argv = n;
	return 0;
}

static int fill_env(struct spawn_request *request, const char *const *env, uint64_t *launch_bytes,
    struct spawnd_error *err)
{
	size_t n = count(env);
	if (!n)
		return 0;
	request->env = calloc(n, sizeof *request->env);
	request->env_pointers = calloc(n, sizeof(Spawn__V1__EnvVar *));
	if (!request->env || !request->env_pointers)
		return error_memory(err);
	for (size_t i = 0; i < n; i++) {
		const char *equals = strchr(env[i], '=');
		char field[32];
		snprintf(field, sizeof field, "env[%zu].name", i);
		if (!equals || equals == env[i])
			return error_argument(err, field, "an environment entry is NAME=value");
		request->env[i] = (Spawn__V1__EnvVar)SPAWN__V1__ENV_VAR__INIT;
		request->env[i].name.data = (uint8_t *)env[i];
		request->env[i].name.len = (size_t)(equals - env[i]);
		request->env[i].value = bytes_of(equals + 1);
		request->env_pointers[i] = &request->env[i];
		*launch_bytes += strlen(env[i]) + 1 + POINTER_BYTES;
	}
	request->message.env = request->env_pointers;
	request->message.n_env = n;
	return 0;
}

static int fill_stdio(
    struct spawn_request *request, const struct spawnd_stdio stdio[3], struct spawnd_error *err)
{
	static const char *const names[] = {"stdin", "stdout", "stderr"};
	static const Spawn__V1__StdioKind kinds[] = {
	    [SPAWND_NULL] = SPAWN__V1__STDIO_KIND__STDIO_KIND_NULL,
	    [SPAWND_FILE] = SPAWN__V1__STDIO_KIND__STDIO_KIND_FILE,
	    [SPAWND_PIPE] = SPAWN__V1__STDIO_KIND__STDIO_KIND_PIPE,
	    [SPAWND_SAME_AS_STDOUT] = SPAWN__V1__STDIO_KIND__STDIO_KIND_STDOUT};
	static const Spawn__V1__RingPolicy policies[] = {
	    [SPAWND_DROP_OLDEST] = SPAWN__V1__RING_POLICY__RING_POLICY_DROP_OLDEST,
	    [SPAWND_BLOCK] = SPAWN__V1__RING_POLICY__RING_POLICY_BLOCK};
	for (int i = 0; i < 3; i++) {
		const struct spawnd_stdio *from = &stdio[i];
		Spawn__V1__Stdio *to = &request->stdio[i];
		if (from->kind < SPAWND_NULL || from->kind > SPAWND_SAME_AS_STDOUT ||
		    (from->kind == SPAWND_SAME_AS_STDOUT && i != 2))
			return error_argument(err, names[i], "%s cannot be of kind %d", names[i], from->kind);
		if (from->kind == SPAWND_FILE && (!from->path || from->path[0] != '/'))
			return error_argument(err, names[i], "%s: a FILE needs an absolute path", names[i]);
		if (from->policy != SPAWND_DROP_OLDEST && from->policy != SPAWND_BLOCK)
			return error_argument(err, names[i], "%s: no such policy", names[i]);
		*to = (Spawn__V1__Stdio)SPAWN__V1__STDIO__INIT;
		to->kind = kinds[from->kind];
		if (from->kind == SPAWND_FILE) {
			to->path = bytes_of(from->path);
			to->truncate = !!from->truncate;
		}
		if (from->kind == SPAWND_PIPE && i > 0) {
			to->ring_bytes = from->ring_bytes;
			to->policy = policies[from->policy];
		}
	}
	request->message.stdin = &request->stdio[0];
	request->message.stdout = &request->stdio[1];
	request->message.stderr = &request->stdio[2];
	return 0;
}

static int fill_ladder(struct spawn_request *request, const struct spawnd_rung *ladder,
    size_t n_rungs, struct spawnd_error *err)
{
	static const Spawn__V1__Action actions[] = {[SPAWND_SIGNAL] = SPAWN__V1__ACTION__ACTION_SIGNAL,
	    [SPAWND_CLOSE_STDIN] = SPAWN__V1__ACTION__ACTION_CLOSE_STDIN,
	    [SPAWND_CANCEL_NOTICE] = SPAWN__V1__ACTION__ACTION_CANCEL_NOTICE};
	static const Spawn__V1__Scope scopes[] = {[SPAWND_LEADER] = SPAWN__V1__SCOPE__SCOPE_LEADER,
	    [SPAWND_GROUP] = SPAWN__V1__SCOPE__SCOPE_GROUP,
	    [SPAWND_TREE] = SPAWN__V1__SCOPE__SCOPE_TREE};
	if (!ladder)
		n_rungs = 0;
	if (n_rungs > SPAWND_RUNGS_MAX)
		return error_argument(err, "ladder", "a ladder has at most %d rungs", SPAWND_RUNGS_MAX);
	for (size_t i = 0; i < n_rungs; i++) {
		char field[32];
		snprintf(field, sizeof field, "ladder[%zu]", i);
		if (ladder[i].action < SPAWND_SIGNAL || ladder[i].action > SPAWND_CANCEL_NOTICE ||
		    ladder[i].scope < SPAWND_LEADER || ladder[i].scope > SPAWND_TREE ||
		    ladder[i].signal < 0)
			return error_argument(err, field, "rung %zu: no such action, scope or signal", i + 1);
		request->rungs[i] = (Spawn__V1__Rung)SPAWN__V1__RUNG__INIT;
		request->rungs[i].action = actions[ladder[i].action];
		request->rungs[i].scope = scopes[ladder[i].scope];
		request->rungs[i].signal = (uint32_t)ladder[i].signal;
		request->rungs[i].wait_ms = ladder[i].wait_ms;
		request->rung_pointers[i] = &request->rungs[i];
	}
	request->message.ladder = request->rung_pointers;
	request->message.n_ladder = n_rungs;
	return 0;
}

static int fill_identity(
    struct spawn_request *request, const struct spawnd_identity *identity, struct spawnd_error *err)
{
	if (!identity)
		return 0;
	if (identity->n_groups > GROUPS_MAX)
		return error_argument(err, "identity.groups", "at most %d groups", GROUPS_MAX);
	request->identity = (Spawn__V1__Identity)SPAWN__V1__IDENTITY__INIT;
	request->identity.uid = identity->uid;
	request->identity.gid = identity->gid;
	request->identity.groups = (uint32_t *)identity->groups;
	request->identity.n_groups = identity->n_groups;
	request->message.identity = &request->identity;
	return 0;
}

static int fill_rlimits(struct spawn_request *request, const struct spawnd_rlimit *rlimits,
    size_t n_rlimits, struct spawnd_error *err)
{
	if (!rlimits || !n_rlimits)
		return 0;
	if (n_rlimits > RLIMITS_MAX)
		return error_argument(err, "rlimits", "at most %d limits", RLIMITS_MAX);
	request->rlimits = calloc(n_rlimits, sizeof *request->rlimits);
	request->rlimit_pointers = calloc(n_rlimits, sizeof(Spawn__V1__Rlimit *));
	if (!request->rlimits || !request->rlimit_pointers)
		return error_memory(err);
	for (size_t i = 0; i < n_rlimits; i++) {
		request->rlimits[i] = (Spawn__V1__Rlimit)SPAWN__V1__RLIMIT__INIT;
		request->rlimits[i].resource = rlimits[i].resource;
		request->rlimits[i].soft = rlimits[i].soft;
		request->rlimits[i].hard = rlimits[i].hard;
		request->rlimit_pointers[i] = &request->rlimits[i];
	}
	request->message.rlimits = request->rlimit_pointers;
	request->message.n_rlimits = n_rlimits;
	return 0;
}

static int fill_rest(struct spawn_request *request, const struct spawnd_spawn_options *options,
    const struct limits *limits, struct spawnd_error *err)
{
	static const Spawn__V1__OnOwnerLost owner_lost[] = {
	    [SPAWND_OWNER_LOST_CANCEL] = SPAWN__V1__ON_OWNER_LOST__ON_OWNER_LOST_CANCEL,
	    [SPAWND_OWNER_LOST_KILL] = SPAWN__V1__ON_OWNER_LOST__ON_OWNER_LOST_KILL,
	    [SPAWND_OWNER_LOST_KEEP] = SPAWN__V1__ON_OWNER_LOST__ON_OWNER_LOST_KEEP};
	static const Spawn__V1__OnLeaderExit leader_exit[] = {
	    [SPAWND_LEADER_EXIT_CANCEL_TREE] = SPAWN__V1__ON_LEADER_EXIT__ON_LEADER_EXIT_CANCEL_TREE,
	    [SPAWND_LEADER_EXIT_KEEP] = SPAWN__V1__ON_LEADER_EXIT__ON_LEADER_EXIT_KEEP};
	Spawn__V1__SpawnRequest *message = &request->message;
	if (options->on_owner_lost < 0 || options->on_owner_lost > SPAWND_OWNER_LOST_KEEP)
		return error_argument(err, "on_owner_lost", "no such value");
	if (options->on_leader_exit < 0 || options->on_leader_exit > SPAWND_LEADER_EXIT_KEEP)
		return error_argument(err, "on_leader_exit", "no such value");
	if (options->umask < -1 || options->umask > 0777)
		return error_argument(err, "umask.mode", "a umask is 0 to 0777");
	if (options->name && strlen(options->name) > NAME_BYTES_MAX)
		return error_argument(err, "name", "a name has at most %d bytes", NAME_BYTES_MAX);
	if (options->hold_ms > limits->max_spawn_hold_ms)
		return error_argument(
		    err, "hold_ms", "the hold is at most %" PRIu64 " ms", limits->max_spawn_hold_ms);
	message->program = bytes_of(options->program);
	message->cwd = bytes_of(options->cwd);
	message->name = bytes_of(options->name);
	message->env_base = !!options->env_base;
	message->on_owner_lost = owner_lost[options->on_owner_lost];
	message->on_leader_exit = leader_exit[options->on_leader_exit];
	message->run_ms = options->run_ms;
	message->hold_ms = options->hold_ms;
	message->allow_new_privileges = !!options->allow_new_privileges;
	if (options->umask >= 0) {
		request->umask = (Spawn__V1__Umask)SPAWN__V1__UMASK__INIT;
		request->umask.mode = (uint32_t)options->umask;
		message->umask = &request->umask;
	}
	return 0;
}

int spawn_request_fill(struct spawn_request *request, const struct spawnd_spawn_options *options,
    const struct limits *limits, struct spawnd_error *err)
{
	uint64_t launch_bytes = 0;
	memset(request, 0, sizeof *request);
	request->message = (Spawn__V1__SpawnRequest)SPAWN__V1__SPAWN_REQUEST__INIT;
	if (fill_argv(request, options->argv, &launch_bytes, err) < 0 ||
	    fill_env(request, options->env, &launch_bytes, err) < 0 ||
	    fill_stdio(request, options->stdio, err) < 0 ||
	    fill_ladder(request, options->ladder, options->n_rungs, err) < 0 ||
	    fill_identity(request, options->identity, err) < 0 ||
	    fill_rlimits(request, options->rlimits, options->n_rlimits, err) < 0 ||
	    fill_rest(request, options, limits, err) < 0)
		return -1;
	if (launch_bytes > limits->max_launch_bytes)
		return error_argument(err, "argv",
		    "arguments and environment take %" PRIu64 " bytes, the limit is %" PRIu64, launch_bytes,
		    limits->max_launch_bytes);
	return 0;
}

void spawn_request_free(struct spawn_request *request)
{
	free(request->argv);
	free(request->env);
	free(request->env_pointers);
	free(request->rlimits);
	free(request->rlimit_pointers);
}
