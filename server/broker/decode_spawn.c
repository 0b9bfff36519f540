// Checks a SpawnRequest clause by clause (SPN-17 to SPN-25) and makes a spawn_order of it.
#include "server/broker/decode_spawn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/broker/decode.h"
#include "server/broker/decode_environment.h"
#include "server/broker/reply_info.h"
#include "server/common/cleanup.h"
#include "server/link/launch_build.h"

#define RING_MIN     (UINT64_C(64) << 10)
#define RING_DEFAULT (UINT64_C(1) << 20)

static struct launch_bytes bytes_of(ProtobufCBinaryData data)
{
	return (struct launch_bytes){data.data, data.len};
}

static bool has_nul(ProtobufCBinaryData data)
{
	return data.len && memchr(data.data, 0, data.len) != NULL;
}

static bool is_absolute(ProtobufCBinaryData data)
{
	return data.len && data.data[0] == '/';
}

static bool check_argv(const Spawn__V1__SpawnRequest *request, struct refusal *refusal)
{
	if (request->n_argv == 0) {
		refuse_field(refusal, "argv", 0, "at least one argument is needed");
		return false;
	}
	for (size_t i = 0; i < request->n_argv; i++) {
		if (has_nul(request->argv[i])) {
			refuse_field(refusal, "argv[%zu]", i, "holds a NUL");
			return false;
		}
	}
	return true;
}

// An absolute path, or a name without "/". (SPN-18)
static bool check_program(const Spawn__V1__SpawnRequest *request, struct refusal *refusal)
{
	const char *field = request->program.len ? "program" : "argv[0]";
	ProtobufCBinaryData program = request->program.len ? request->program : request->argv[0];
	if (has_nul(program))
		refuse_field(refusal, field, 0, "holds a NUL");
	else if (program.len == 0)
		refuse_field(refusal, field, 0, "names no program");
	else if (!is_absolute(program) && memchr(program.data, '/', program.len))
		refuse_field(
		    refusal, field, 0, "a relative path: give an absolute one, or a name for PATH");
	else
		return true;
	return false;
}

static bool check_paths(const Spawn__V1__SpawnRequest *request, struct refusal *refusal)
{
	if (has_nul(request->cwd))
		refuse_field(refusal, "cwd", 0, "holds a NUL");
	else if (request->cwd.len && !is_absolute(request->cwd))
		refuse_field(refusal, "cwd", 0, "not an absolute path");
	else if (request->umask && request->umask->mode > 0777)
		refuse_field(refusal, "umask.mode", 0, "0 to 0777");
	else
		return true;
	return false;
}

// All bytes of argv and environment as the kernel will count them. (SPN-19)
static bool check_size(
    const struct broker *broker, const Spawn__V1__SpawnRequest *request, struct refusal *refusal)
{
	uint64_t size = 0;
	for (size_t i = 0; i < request->n_argv; i++)
		size += request->argv[i].len + 9;
	for (size_t i = 0; i < request->n_env; i++)
		size += request->env[i]->name.len + request->env[i]->value.len + 10;
	uint64_t max = reply_info_max_launch_bytes(broker);
	if (size <= max)
		return true;
	refuse_limit(refusal, REFUSAL_TOO_LARGE, "max_launch_bytes", max,
	    "arguments and environment are too large");
	return false;
}

static uint64_t ring_size(uint64_t asked)
{
	uint64_t size = RING_MIN;
	while (size < (asked ? asked : RING_DEFAULT))
		size *= 2;
	return size;
}

static bool fill_pipe(const Spawn__V1__Stdio *stdio, const char *name,
    struct launch_input_stdio *input, struct refusal *refusal)
{
	char field[32];
	input->kind = LAUNCH_STDIO_PIPE;
	if (strcmp(name, "stdin") == 0)
		return true;
	if (stdio->ring_bytes > INFO_MAX_RING_BYTES) {
		refuse_limit(refusal, REFUSAL_TOO_LARGE, "max_ring_bytes", INFO_MAX_RING_BYTES,
		    "the ring is too large");
		return false;
	}
	input->ring_bytes = ring_size(stdio->ring_bytes);
	switch ((int)stdio->policy) {
	case SPAWN__V1__RING_POLICY__RING_POLICY_UNSPECIFIED:
	case SPAWN__V1__RING_POLICY__RING_POLICY_DROP_OLDEST:
		input->policy = LINK_POLICY_DROP_OLDEST;
		return true;
	case SPAWN__V1__RING_POLICY__RING_POLICY_BLOCK:
		input->policy = LINK_POLICY_BLOCK;
		return true;
	default:
		snprintf(field, sizeof field, "%s.policy", name);
		refuse_field(refusal, field, 0, "not a known policy");
		return false;
	}
}

// What a descriptor is by default, and the kinds that need nothing else. False: kind is another.
static bool fill_plain(int kind, bool is_stderr, struct launch_input_stdio *input)
{
	input->kind = LAUNCH_STDIO_NULL;
	if (kind == SPAWN__V1__STDIO_KIND__STDIO_KIND_STDOUT && is_stderr)
		input->kind = LAUNCH_STDIO_STDOUT;
	return input->kind == LAUNCH_STDIO_STDOUT ||
	       kind == SPAWN__V1__STDIO_KIND__STDIO_KIND_UNSPECIFIED ||
	       kind == SPAWN__V1__STDIO_KIND__STDIO_KIND_NULL;
}

static bool fill_file(const Spawn__V1__Stdio *stdio, const char *name,
    struct launch_input_stdio *input, struct refusal *refusal)
{
	char field[32];
	if (!is_absolute(stdio->path) || has_nul(stdio->path)) {
		snprintf(field, sizeof field, "%s.path", name);
		refuse_field(refusal, field, 0, "not an absolute path");
		return false;
	}
	input->kind = LAUNCH_STDIO_FILE;
	input->path = bytes_of(stdio->path);
	input->truncate = stdio->truncate && strcmp(name, "stdin") != 0;
	return true;
}

static bool fill_stdio(const Spawn__V1__Stdio *stdio, const char *name,
    struct launch_input_stdio *input, struct refusal *refusal)
{
	char field[32];
	int kind = stdio ? (int)stdio->kind : SPAWN__V1__STDIO_KIND__STDIO_KIND_NULL;
	if (fill_plain(kind, strcmp(name, "stderr") == 0, input))
		return true;
	if (kind == SPAWN__V1__STDIO_KIND__STDIO_KIND_FILE)
		return fill_file(stdio, name, input, refusal);
	if (kind == SPAWN__V1__STDIO_KIND__STDIO_KIND_PIPE)
		return fill_pipe(stdio, name, input, refusal);
	snprintf(field, sizeof field, "%s.kind", name);
	refuse_field(refusal, field, 0, "not a kind of this descriptor");
	return false;
}

// 2^32-1 means "leave it as it is" to the kernel.
static bool names_nobody(const Spawn__V1__Identity *identity)
{
	bool nobody = identity->uid == UINT32_MAX || identity->gid == UINT32_MAX;
	for (size_t i = 0; i < identity->n_groups; i++)
		nobody |= identity->groups[i] == UINT32_MAX;
	return nobody;
}

static bool fill_identity(
    const Spawn__V1__Identity *identity, struct launch_input *input, struct refusal *refusal)
{
	if (!identity)
		return true;
	if (identity->n_groups > LAUNCH_GROUPS_MAX) {
		refuse_field(refusal, "identity.groups", 0, "at most 64");
		return false;
	}
	if (names_nobody(identity)) {
		refuse(refusal, REFUSAL_DENIED, "identity: 4294967295 is no user and no group");
		snprintf(refusal->name, sizeof refusal->name, "identity");
		return false;
	}
	input->has_identity = true;
	input->uid = identity->uid;
	input->gid = identity->gid;
	input->groups = identity->groups;
	input->n_groups = identity->n_groups;
	return true;
}

static bool fill_rlimits(const Spawn__V1__SpawnRequest *request, struct launch_rlimit *rlimits,
    struct launch_input *input, struct refusal *refusal)
{
	uint64_t seen = 0;
	if (request->n_rlimits > LAUNCH_RLIMITS_MAX) {
		refuse_field(refusal, "rlimits", 0, "at most 16");
		return false;
	}
	for (size_t i = 0; i < request->n_rlimits; i++) {
		const Spawn__V1__Rlimit *rlimit = request->rlimits[i];
		if (rlimit->resource >= RLIM_NLIMITS || rlimit->resource == RLIMIT_LOCKS ||
		    (seen >> rlimit->resource & 1)) {
			refuse_field(refusal, "rlimits[%zu].resource", i,
			    "not a Linux resource, the server's own (10), or named twice");
			return false;
		}
		if (rlimit->soft > rlimit->hard) {
			refuse_field(refusal, "rlimits[%zu].soft", i, "above the hard limit");
			return false;
		}
		seen |= UINT64_C(1) << rlimit->resource;
		rlimits[i] = (struct launch_rlimit){
		    .resource = rlimit->resource, .soft = rlimit->soft, .hard = rlimit->hard};
	}
	input->rlimits = rlimits;
	input->n_rlimits = request->n_rlimits;
	return true;
}

static bool decode_policies(
    const Spawn__V1__SpawnRequest *request, struct spawn_order *order, struct refusal *refusal)
{
	switch ((int)request->on_owner_lost) {
	case SPAWN__V1__ON_OWNER_LOST__ON_OWNER_LOST_UNSPECIFIED:
	case SPAWN__V1__ON_OWNER_LOST__ON_OWNER_LOST_CANCEL:
		order->on_owner_lost = OWNER_LOST_CANCEL;
		break;
	case SPAWN__V1__ON_OWNER_LOST__ON_OWNER_LOST_KILL:
		order->on_owner_lost = OWNER_LOST_KILL;
		break;
	case SPAWN__V1__ON_OWNER_LOST__ON_OWNER_LOST_KEEP:
		order->on_owner_lost = OWNER_LOST_KEEP;
		break;
	default:
		refuse_field(refusal, "on_owner_lost", 0, "CANCEL, KILL or KEEP");
		return false;
	}
	unsigned on_leader_exit = (unsigned)request->on_leader_exit; // below 0 is unknown too
	order->keep_on_leader_exit = on_leader_exit == SPAWN__V1__ON_LEADER_EXIT__ON_LEADER_EXIT_KEEP;
	if (on_leader_exit <= SPAWN__V1__ON_LEADER_EXIT__ON_LEADER_EXIT_KEEP)
		return true;
	refuse_field(refusal, "on_leader_exit", 0, "CANCEL_TREE or KEEP");
	return false;
}

static bool fill_descriptors(const Spawn__V1__SpawnRequest *request, struct spawn_order *order,
    struct launch_input *input, struct refusal *refusal)
{
	const Spawn__V1__Stdio *const asked[3] = {request->stdin, request->stdout, request->stderr};
	static const char *const names[3] = {"stdin", "stdout", "stderr"};
	for (size_t i = 0; i < 3; i++) {
		if (!fill_stdio(asked[i], names[i], &input->stdio[i], refusal))
			return false;
		order->is_pipe[i] = input->stdio[i].kind == LAUNCH_STDIO_PIPE;
		order->policy[i] = input->stdio[i].policy;
	}
	return true;
}

static void refuse_build(int error, struct refusal *refusal)
{
	if (error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -ENOSPC)
		refuse_limit(refusal, REFUSAL_LIMIT, "memory", 0, "no room for the launch file");
	else
		refuse(
		    refusal, REFUSAL_INTERNAL, "the launch file could not be made: %s", strerror(-error));
}

// Program, environment and argv as the launch file wants them, and the file itself.
static bool build(const Spawn__V1__SpawnRequest *request, struct launch_input *input,
    struct spawn_order *order, struct refusal *refusal)
{
	CLEANUP_FREE struct launch_bytes *argv = calloc(request->n_argv, sizeof *argv);
	CLEANUP(decode_environment_free) struct spawn_environment environment = {0};
	if (!argv) {
		refuse_build(-ENOMEM, refusal);
		return false;
	}
	for (size_t i = 0; i < request->n_argv; i++)
		argv[i] = bytes_of(request->argv[i]);
	input->argv = argv;
	input->n_argv = request->n_argv;
	if (!decode_environment(request, input->has_identity ? input->uid : getuid(),
	        input->cancel_notice, &environment, refusal))
		return false;
	input->env = environment.variables;
	input->n_env = environment.n_variables;
	input->candidates = environment.candidates;
	input->n_candidates = environment.n_candidates;
	input->looked_up =
	    ((const char *)(request->program.len ? request->program : request->argv[0]).data)[0] != '/';
	int error = launch_build(input, &order->launch_fd);
	if (error)
		refuse_build(error, refusal);
	return error == 0;
}

bool decode_spawn(const struct broker *broker, const Spawn__V1__SpawnRequest *request,
    struct spawn_order *ret_order, struct refusal *refusal)
{
	struct spawn_order order = {.launch_fd = -1};
	struct launch_rlimit rlimits[LAUNCH_RLIMITS_MAX];
	struct launch_input input = {
	    .cwd = request->cwd.len ? bytes_of(request->cwd) : (struct launch_bytes){"/", 1},
	    .umask = request->umask ? request->umask->mode : 022,
	    .allow_new_privileges = request->allow_new_privileges,
	};
	if (!check_argv(request, refusal) || !check_program(request, refusal) ||
	    !check_paths(request, refusal) || !check_size(broker, request, refusal) ||
	    !decode_policies(request, &order, refusal) ||
	    !fill_descriptors(request, &order, &input, refusal) ||
	    !fill_identity(request->identity, &input, refusal) ||
	    !fill_rlimits(request, rlimits, &input, refusal) ||
	    !decode_ladder(
	        request->ladder, request->n_ladder, order.is_pipe[0], &order.ladder, refusal))
		return false;
	input.cancel_notice = ladder_has_cancel_notice(&order.ladder);
	if (!build(request, &input, &order, refusal))
		return false;
	*ret_order = order;
	return true;
}
