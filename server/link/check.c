// Checks every byte of a received link message that could mislead its reader: a table of kinds for
// sizes, and a function for each kind that holds more than numbers of any value.
#include "server/link/check.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "server/link/launch.h"
#include "server/link/messages.h"

#define SIGNAL_MAX 64u
#define RUNG_MAX   16u // above any ladder that the broker stores

struct rule {
	uint32_t fixed;     // bytes before the tail; all of them where there is no tail
	uint32_t tail_used; // where the count of the tail's bytes lies; 0: no tail
	uint32_t tail_max;
	enum link_direction direction;
	bool (*holds)(const void *message);
};

static bool is_flag(uint32_t value)
{
	return value <= 1;
}

static bool is_text(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static bool is_key(const struct link_key *key)
{
	return key->session_id != 0 && key->request_id != 0;
}

static bool holds_config(const void *message)
{
	const struct link_config *m = message;
	return m->n_uids <= LINK_IDENTITIES_MAX && m->n_gids <= LINK_IDENTITIES_MAX;
}

static bool holds_ready(const void *message)
{
	const struct link_ready *m = message;
	if (!is_text(m->url, sizeof(m->url)) || m->url[0] == '\0')
		return false;
	for (const char *c = m->url; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return false; // it becomes part of a line on standard output
	return true;
}

static bool holds_start(const void *message)
{
	const struct link_start *m = message;
	return m->process_id != 0 && is_key(&m->key);
}

static bool holds_act(const void *message)
{
	const struct link_act *m = message;
	if (m->process_id == 0 || m->rung > RUNG_MAX)
		return false;
	if (m->scope < LINK_SCOPE_LEADER || m->scope > LINK_SCOPE_TREE)
		return false;
	if (m->action == LINK_ACTION_SIGNAL)
		return m->signal >= 1 && m->signal <= SIGNAL_MAX;
	return (m->action == LINK_ACTION_CLOSE_STDIN || m->action == LINK_ACTION_CANCEL_NOTICE) &&
	       m->signal == 0 && m->scope == LINK_SCOPE_LEADER;
}

static bool holds_process(const void *message)
{
	const struct link_drop *m = message; // process_id is first in each kind that uses this
	return m->process_id != 0;
}

static bool holds_session(const void *message)
{
	const struct link_session_keepsake *m = message;
	return m->session_id != 0;
}

static bool holds_tombstone(const void *message)
{
	const struct link_tombstone *m = message;
	return is_key(&m->key) && is_flag(m->drop);
}

static bool holds_watch(const void *message)
{
	const struct link_stream_watch *m = message;
	return m->process_id != 0 && m->stream < LINK_STREAMS && is_flag(m->now);
}

static bool holds_consumed(const void *message)
{
	const struct link_stream_consumed *m = message;
	return m->process_id != 0 && m->stream < LINK_STREAMS;
}

static bool holds_policy(const void *message)
{
	const struct link_stream_policy *m = message;
	return m->process_id != 0 && m->policy <= LINK_POLICY_BLOCK;
}

static bool holds_stdin(const void *message)
{
	const struct link_stdin *m = message;
	return m->process_id != 0 && is_flag(m->close);
}

static bool holds_hello(const void *message)
{
	const struct link_hello *m = message;
	return is_flag(m->realtime_kill) && m->epoch != 0 && m->epoch <= UINT32_MAX;
}

static bool holds_refused(const void *message)
{
	const struct link_refused *m = message;
	return m->process_id != 0 && is_key(&m->key) && m->error > 0;
}

static bool holds_start_failed(const void *message)
{
	const struct link_start_failed *m = message;
	return m->process_id != 0 && m->stage >= LAUNCH_PREPARE && m->stage <= LAUNCH_EXEC &&
	       m->error > 0;
}

static bool are_members(uint32_t n_alive, const struct link_member *members)
{
	for (uint32_t i = 0; i < n_alive && i < LINK_MEMBERS_MAX; i++)
		if (!is_text(members[i].comm, sizeof(members[i].comm)) ||
		    !is_text(members[i].waits_in, sizeof(members[i].waits_in)))
			return false;
	return true;
}

static bool holds_acted(const void *message)
{
	const struct link_acted *m = message;
	return m->process_id != 0 && m->error >= 0 && are_members(m->n_alive, m->members);
}

static bool holds_members(const void *message)
{
	const struct link_members *m = message;
	return m->process_id != 0 && m->blocked <= LINK_BLOCKED_OTHER &&
	       are_members(m->n_alive, m->members);
}

static bool holds_leader_exited(const void *message)
{
	const struct link_leader_exited *m = message;
	if (m->process_id == 0)
		return false;
	if (m->code_kind == CLD_KILLED || m->code_kind == CLD_DUMPED)
		return m->status >= 1 && m->status <= (int)SIGNAL_MAX;
	if (m->code_kind == LINK_STATUS_LOST)
		return m->status == 0;
	return m->code_kind == CLD_EXITED && m->status >= 0 && m->status <= UINT8_MAX;
}

static bool holds_tree_left(const void *message)
{
	const struct link_tree_left *m = message;
	return m->process_id != 0 && m->n_alive != 0;
}

static bool holds_tree_empty(const void *message)
{
	const struct link_tree_empty *m = message;
	return m->process_id != 0 && m->proof >= LINK_PROOF_SUBREAPER && m->proof <= LINK_PROOF_NONE;
}

static bool holds_stream_state(const void *message)
{
	const struct link_stream_state *m = message;
	return m->process_id != 0 && m->stream < LINK_STREAMS && m->eof <= LINK_EOF_FORCED &&
	       m->tail <= m->head;
}

static bool holds_stdin_state(const void *message)
{
	const struct link_stdin_state *m = message;
	return m->process_id != 0 && is_flag(m->room) && is_flag(m->closed) && is_flag(m->broken);
}

static bool holds_shutdown(const void *message)
{
	const struct link_shutdown *m = message;
	return m->count != 0;
}

#define FIXED(type, direction, holds)                                                              \
	{                                                                                              \
		sizeof(struct type), 0, 0, direction, holds                                                \
	}
#define TAILED(type, used, tail, direction, holds)                                                 \
	{                                                                                              \
		offsetof(struct type, tail), offsetof(struct type, used),                                  \
		    sizeof(((struct type *)0)->tail), direction, holds                                     \
	}

static const struct rule rules[] = {
    [LINK_CONFIG] = FIXED(link_config, LINK_TO_ROOT, holds_config),
    [LINK_READY] = FIXED(link_ready, LINK_TO_ROOT, holds_ready),
    [LINK_START] = TAILED(link_start, keepsake_size, keepsake, LINK_TO_ROOT, holds_start),
    [LINK_ACT] = TAILED(link_act, keepsake_size, keepsake, LINK_TO_ROOT, holds_act),
    [LINK_LOOK] = FIXED(link_look, LINK_TO_ROOT, holds_process),
    [LINK_DROP] = FIXED(link_drop, LINK_TO_ROOT, holds_process),
    [LINK_KEEPSAKE] = TAILED(link_keepsake, keepsake_size, keepsake, LINK_TO_ROOT, holds_process),
    [LINK_SESSION_KEEPSAKE] =
        TAILED(link_session_keepsake, keepsake_size, keepsake, LINK_TO_ROOT, holds_session),
    [LINK_TOMBSTONE] = FIXED(link_tombstone, LINK_TO_ROOT, holds_tombstone),
    [LINK_STREAM_WATCH] = FIXED(link_stream_watch, LINK_TO_ROOT, holds_watch),
    [LINK_STREAM_CONSUMED] = FIXED(link_stream_consumed, LINK_TO_ROOT, holds_consumed),
    [LINK_STREAM_POLICY] = FIXED(link_stream_policy, LINK_TO_ROOT, holds_policy),
    [LINK_STDIN] = TAILED(link_stdin, data_size, data, LINK_TO_ROOT, holds_stdin),
    [LINK_PONG] = FIXED(link_pong, LINK_TO_ROOT, NULL),
    [LINK_STOPPED] = FIXED(link_stopped, LINK_TO_ROOT, NULL),
    [LINK_HELLO] = FIXED(link_hello, LINK_TO_BROKER, holds_hello),
    [LINK_REFUSED] = FIXED(link_refused, LINK_TO_BROKER, holds_refused),
    [LINK_STARTED] = FIXED(link_started, LINK_TO_BROKER, holds_process),
    [LINK_START_FAILED] = FIXED(link_start_failed, LINK_TO_BROKER, holds_start_failed),
    [LINK_ACTED] = FIXED(link_acted, LINK_TO_BROKER, holds_acted),
    [LINK_MEMBERS] = FIXED(link_members, LINK_TO_BROKER, holds_members),
    [LINK_LEADER_EXITED] = FIXED(link_leader_exited, LINK_TO_BROKER, holds_leader_exited),
    [LINK_TREE_LEFT] = FIXED(link_tree_left, LINK_TO_BROKER, holds_tree_left),
    [LINK_TREE_EMPTY] = FIXED(link_tree_empty, LINK_TO_BROKER, holds_tree_empty),
    [LINK_STREAM_STATE] = FIXED(link_stream_state, LINK_TO_BROKER, holds_stream_state),
    [LINK_STDIN_STATE] = FIXED(link_stdin_state, LINK_TO_BROKER, holds_stdin_state),
    [LINK_PING] = FIXED(link_ping, LINK_TO_BROKER, NULL),
    [LINK_SHUTDOWN] = FIXED(link_shutdown, LINK_TO_BROKER, holds_shutdown),
};

static const struct rule *find_rule(uint32_t kind)
{
	if (kind >= sizeof(rules) / sizeof(rules[0]) || rules[kind].fixed == 0)
		return NULL;
	return &rules[kind];
}

static uint32_t read_used(const void *message, const struct rule *rule)
{
	uint32_t used = 0;
	if (rule->tail_used != 0)
		memcpy(&used, (const char *)message + rule->tail_used, sizeof(used));
	return used;
}

int link_check(const void *message, size_t size, enum link_direction direction)
{
	const struct link_header *header = message;
	if (size < sizeof(*header) || size > LINK_MESSAGE_MAX || header->size != size)
		return -EBADMSG;
	const struct rule *rule = find_rule(header->kind);
	if (!rule || rule->direction != direction || size < rule->fixed)
		return -EBADMSG;
	uint32_t used = read_used(message, rule);
	// A whole struct may end in padding after its tail.
	uint32_t most = (rule->fixed + rule->tail_max + 7u) & ~7u;
	if (used > rule->tail_max || size < rule->fixed + used || size > most)
		return -EBADMSG;
	if (rule->tail_used == 0 && size != rule->fixed)
		return -EBADMSG;
	return !rule->holds || rule->holds(message) ? 0 : -EBADMSG;
}

bool link_carries_fd(uint32_t kind)
{
	return kind == LINK_START || kind == LINK_HELLO;
}

uint32_t link_message_size(const void *message)
{
	const struct link_header *header = message;
	const struct rule *rule = find_rule(header->kind);
	return rule ? rule->fixed + read_used(message, rule) : 0;
}
