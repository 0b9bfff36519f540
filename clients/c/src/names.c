// The words for the library's numbers.
#include "spawnd/client.h"

#include <stddef.h>

#define NAME_OF(table, number) name_of(table, sizeof(table) / sizeof(table)[0], number)

static const char *name_of(const char *const *table, size_t size, int number)
{
	if (number < 0 || (size_t)number >= size || !table[number])
		return "UNRECOGNISED";
	return table[number];
}

const char *spawnd_error_kind_name(int kind)
{
	static const char *const names[] = {
	    [SPAWND_E_NONE] = "none",
	    [SPAWND_E_ARGUMENT] = "argument",
	    [SPAWND_E_MEMORY] = "memory",
	    [SPAWND_E_UNREACHABLE] = "unreachable",
	    [SPAWND_E_INDETERMINATE] = "indeterminate",
	    [SPAWND_E_START_FAILED] = "start_failed",
	    [SPAWND_E_NOT_FOUND] = "not_found",
	    [SPAWND_E_LOST] = "lost",
	    [SPAWND_E_EXISTS] = "exists",
	    [SPAWND_E_UNREAPED] = "unreaped",
	    [SPAWND_E_TIMEOUT] = "timeout",
	    [SPAWND_E_STATE] = "state",
	    [SPAWND_E_LIMIT] = "limit",
	    [SPAWND_E_UNAVAILABLE] = "unavailable",
	    [SPAWND_E_DENIED] = "denied",
	    [SPAWND_E_VERSION] = "version",
	    [SPAWND_E_UNSUPPORTED] = "unsupported",
	    [SPAWND_E_CANCELLED] = "cancelled",
	    [SPAWND_E_CLOSED] = "closed",
	    [SPAWND_E_PROTOCOL] = "protocol",
	    [SPAWND_E_UNKNOWN] = "unknown",
	};
	if (kind < 0 || (size_t)kind >= sizeof names / sizeof names[0])
		return "unknown";
	return names[kind];
}

const char *spawnd_stage_name(int stage)
{
	// StartStage of status.proto.
	static const char *const names[] = {NULL, "prepare", "clone", "descriptors", "session",
	    "rlimit", "identity", "cwd", "stdin", "stdout", "stderr", "process_state", "exec"};
	return NAME_OF(names, stage);
}

const char *spawnd_exit_kind_name(int kind)
{
	static const char *const names[] = {[SPAWND_EXITED] = "EXITED",
	    [SPAWND_SIGNALED] = "SIGNALED",
	    [SPAWND_START_FAILED] = "START_FAILED",
	    [SPAWND_LOST] = "LOST"};
	return NAME_OF(names, kind);
}

const char *spawnd_exit_cause_name(int cause)
{
	static const char *const names[] = {[SPAWND_CAUSE_ITSELF] = "ITSELF",
	    [SPAWND_CAUSE_CANCEL] = "CANCEL",
	    [SPAWND_CAUSE_OWNER_LOST] = "OWNER_LOST",
	    [SPAWND_CAUSE_DEADLINE] = "DEADLINE",
	    [SPAWND_CAUSE_SERVER_SHUTDOWN] = "SERVER_SHUTDOWN",
	    [SPAWND_CAUSE_LEADER_GONE] = "LEADER_GONE",
	    [SPAWND_CAUSE_OUTSIDE_SIGNAL] = "OUTSIDE_SIGNAL",
	    [SPAWND_CAUSE_OUT_OF_MEMORY] = "OUT_OF_MEMORY",
	    [SPAWND_CAUSE_SIGNAL_CALL] = "SIGNAL_CALL"};
	return NAME_OF(names, cause);
}

const char *spawnd_tree_proof_name(int proof)
{
	static const char *const names[] = {[SPAWND_PROOF_UNSPECIFIED] = "UNSPECIFIED",
	    [SPAWND_PROOF_CGROUP] = "CGROUP",
	    [SPAWND_PROOF_SUBREAPER] = "SUBREAPER",
	    [SPAWND_PROOF_NONE] = "NONE"};
	return NAME_OF(names, proof);
}

const char *spawnd_climber_name(int climber)
{
	static const char *const names[] = {
	    [SPAWND_CLIMBER_CLIENT] = "CLIENT", [SPAWND_CLIMBER_NET] = "NET"};
	return NAME_OF(names, climber);
}

const char *spawnd_action_name(int action)
{
	static const char *const names[] = {[SPAWND_SIGNAL] = "SIGNAL",
	    [SPAWND_CLOSE_STDIN] = "CLOSE_STDIN",
	    [SPAWND_CANCEL_NOTICE] = "CANCEL_NOTICE"};
	return NAME_OF(names, action);
}

const char *spawnd_scope_name(int scope)
{
	static const char *const names[] = {
	    [SPAWND_LEADER] = "LEADER", [SPAWND_GROUP] = "GROUP", [SPAWND_TREE] = "TREE"};
	return NAME_OF(names, scope);
}

const char *spawnd_process_state_name(int state)
{
	static const char *const names[] = {[SPAWND_STATE_STARTING] = "STARTING",
	    [SPAWND_STATE_RUNNING] = "RUNNING",
	    [SPAWND_STATE_CANCELLING] = "CANCELLING",
	    [SPAWND_STATE_LEADER_EXITED] = "LEADER_EXITED",
	    [SPAWND_STATE_ENDED] = "ENDED"};
	return NAME_OF(names, state);
}

const char *spawnd_blocked_name(int blocked)
{
	static const char *const names[] = {[SPAWND_BLOCKED_NO] = "NO",
	    [SPAWND_BLOCKED_TRACED] = "TRACED",
	    [SPAWND_BLOCKED_UNINTERRUPTIBLE] = "UNINTERRUPTIBLE",
	    [SPAWND_BLOCKED_FROZEN] = "FROZEN",
	    [SPAWND_BLOCKED_OTHER] = "OTHER"};
	return NAME_OF(names, blocked);
}

const char *spawnd_on_owner_lost_name(int on_owner_lost)
{
	static const char *const names[] = {[SPAWND_OWNER_LOST_CANCEL] = "CANCEL",
	    [SPAWND_OWNER_LOST_KILL] = "KILL",
	    [SPAWND_OWNER_LOST_KEEP] = "KEEP"};
	return NAME_OF(names, on_owner_lost);
}

const char *spawnd_version(void)
{
	return SPAWND_VERSION;
}
