// Single values of the wire. The library's enums keep the protocol's numbers where they can, yet a
// number is let through only where both sides know it.
#include "clients/c/src/decode_words.h"

#include "spawn/v1/exit.pb-c.h"
#include "spawn/v1/inspect.pb-c.h"
#include "spawn/v1/spawn.pb-c.h"
#include "spawn/v1/stream.pb-c.h"
#include "spawnd/client.h"

int decode_action(int action)
{
	switch (action) {
	case SPAWN__V1__ACTION__ACTION_SIGNAL:
		return SPAWND_SIGNAL;
	case SPAWN__V1__ACTION__ACTION_CLOSE_STDIN:
		return SPAWND_CLOSE_STDIN;
	case SPAWN__V1__ACTION__ACTION_CANCEL_NOTICE:
		return SPAWND_CANCEL_NOTICE;
	default:
		return 0;
	}
}

int decode_scope(int scope)
{
	switch (scope) {
	case SPAWN__V1__SCOPE__SCOPE_LEADER:
		return SPAWND_LEADER;
	case SPAWN__V1__SCOPE__SCOPE_GROUP:
		return SPAWND_GROUP;
	case SPAWN__V1__SCOPE__SCOPE_TREE:
		return SPAWND_TREE;
	default:
		return 0;
	}
}

int decode_stage(int stage)
{
	return stage >= SPAWN__V1__START_STAGE__START_STAGE_PREPARE &&
	               stage <= SPAWN__V1__START_STAGE__START_STAGE_EXEC
	           ? stage
	           : 0;
}

int decode_exit_kind(int kind)
{
	switch (kind) {
	case SPAWN__V1__EXIT_KIND__EXIT_KIND_EXITED:
		return SPAWND_EXITED;
	case SPAWN__V1__EXIT_KIND__EXIT_KIND_SIGNALED:
		return SPAWND_SIGNALED;
	case SPAWN__V1__EXIT_KIND__EXIT_KIND_START_FAILED:
		return SPAWND_START_FAILED;
	case SPAWN__V1__EXIT_KIND__EXIT_KIND_LOST:
		return SPAWND_LOST;
	default:
		return SPAWND_EXIT_UNRECOGNISED;
	}
}

int decode_exit_cause(int cause)
{
	switch (cause) {
	case SPAWN__V1__EXIT_CAUSE__EXIT_CAUSE_ITSELF:
		return SPAWND_CAUSE_ITSELF;
	case SPAWN__V1__EXIT_CAUSE__EXIT_CAUSE_CANCEL:
		return SPAWND_CAUSE_CANCEL;
	case SPAWN__V1__EXIT_CAUSE__EXIT_CAUSE_OWNER_LOST:
		return SPAWND_CAUSE_OWNER_LOST;
	case SPAWN__V1__EXIT_CAUSE__EXIT_CAUSE_DEADLINE:
		return SPAWND_CAUSE_DEADLINE;
	case SPAWN__V1__EXIT_CAUSE__EXIT_CAUSE_SERVER_SHUTDOWN:
		return SPAWND_CAUSE_SERVER_SHUTDOWN;
	case SPAWN__V1__EXIT_CAUSE__EXIT_CAUSE_LEADER_GONE:
		return SPAWND_CAUSE_LEADER_GONE;
	case SPAWN__V1__EXIT_CAUSE__EXIT_CAUSE_OUTSIDE_SIGNAL:
		return SPAWND_CAUSE_OUTSIDE_SIGNAL;
	case SPAWN__V1__EXIT_CAUSE__EXIT_CAUSE_OUT_OF_MEMORY:
		return SPAWND_CAUSE_OUT_OF_MEMORY;
	case SPAWN__V1__EXIT_CAUSE__EXIT_CAUSE_SIGNAL_CALL:
		return SPAWND_CAUSE_SIGNAL_CALL;
	default:
		return SPAWND_CAUSE_UNRECOGNISED;
	}
}

int decode_tree_proof(int proof)
{
	switch (proof) {
	case SPAWN__V1__TREE_PROOF__TREE_PROOF_UNSPECIFIED:
		return SPAWND_PROOF_UNSPECIFIED;
	case SPAWN__V1__TREE_PROOF__TREE_PROOF_CGROUP:
		return SPAWND_PROOF_CGROUP;
	case SPAWN__V1__TREE_PROOF__TREE_PROOF_SUBREAPER:
		return SPAWND_PROOF_SUBREAPER;
	case SPAWN__V1__TREE_PROOF__TREE_PROOF_NONE:
		return SPAWND_PROOF_NONE;
	default:
		return -1;
	}
}

int decode_climber(int climber)
{
	switch (climber) {
	case SPAWN__V1__CLIMBER__CLIMBER_CLIENT:
		return SPAWND_CLIMBER_CLIENT;
	case SPAWN__V1__CLIMBER__CLIMBER_NET:
		return SPAWND_CLIMBER_NET;
	default:
		return SPAWND_CLIMBER_UNRECOGNISED;
	}
}

int decode_state(int state)
{
	switch (state) {
	case SPAWN__V1__PROCESS_STATE__PROCESS_STATE_STARTING:
		return SPAWND_STATE_STARTING;
	case SPAWN__V1__PROCESS_STATE__PROCESS_STATE_RUNNING:
		return SPAWND_STATE_RUNNING;
	case SPAWN__V1__PROCESS_STATE__PROCESS_STATE_CANCELLING:
		return SPAWND_STATE_CANCELLING;
	case SPAWN__V1__PROCESS_STATE__PROCESS_STATE_LEADER_EXITED:
		return SPAWND_STATE_LEADER_EXITED;
	case SPAWN__V1__PROCESS_STATE__PROCESS_STATE_ENDED:
		return SPAWND_STATE_ENDED;
	default:
		return SPAWND_STATE_UNRECOGNISED;
	}
}

int decode_blocked(int blocked)
{
	switch (blocked) {
	case SPAWN__V1__BLOCKED__BLOCKED_UNSPECIFIED:
		return SPAWND_BLOCKED_NO;
	case SPAWN__V1__BLOCKED__BLOCKED_TRACED:
		return SPAWND_BLOCKED_TRACED;
	case SPAWN__V1__BLOCKED__BLOCKED_UNINTERRUPTIBLE:
		return SPAWND_BLOCKED_UNINTERRUPTIBLE;
	case SPAWN__V1__BLOCKED__BLOCKED_FROZEN:
		return SPAWND_BLOCKED_FROZEN;
	default:
		return SPAWND_BLOCKED_OTHER;
	}
}

int decode_on_owner_lost(int on_owner_lost)
{
	switch (on_owner_lost) {
	case SPAWN__V1__ON_OWNER_LOST__ON_OWNER_LOST_UNSPECIFIED:
	case SPAWN__V1__ON_OWNER_LOST__ON_OWNER_LOST_CANCEL:
		return SPAWND_OWNER_LOST_CANCEL;
	case SPAWN__V1__ON_OWNER_LOST__ON_OWNER_LOST_KILL:
		return SPAWND_OWNER_LOST_KILL;
	case SPAWN__V1__ON_OWNER_LOST__ON_OWNER_LOST_KEEP:
		return SPAWND_OWNER_LOST_KEEP;
	default:
		return -1;
	}
}

int decode_eof(int eof)
{
	switch (eof) {
	case SPAWN__V1__EOF__EOF_UNSPECIFIED:
		return SPAWND_EOF_NO;
	case SPAWN__V1__EOF__EOF_CLOSED:
		return SPAWND_EOF_CLOSED;
	case SPAWN__V1__EOF__EOF_FORCED:
		return SPAWND_EOF_FORCED;
	default:
		return -1;
	}
}

void decode_text(char *buffer, size_t size, const char *text, size_t length)
{
	size_t copied = 0;
	while (copied < length && copied + 1 < size && text[copied]) {
		unsigned char byte = (unsigned char)text[copied];
		buffer[copied++] = byte < 0x20 || byte == 0x7f ? '?' : (char)byte;
	}
	buffer[copied] = '\0';
}
