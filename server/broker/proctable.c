// The indices of the process table, and how long a record is kept.
#include "server/broker/proctable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "server/broker/climb.h"
#include "server/broker/exits.h"
#include "server/broker/sessions.h"
#include "server/common/clock.h"

static void retention_over(void *user, uint64_t now)
{
	(void)now;
	process_release(user);
}

int process_add(struct broker *broker, const struct link_key *key, const struct process_name *name,
    struct process **ret_process)
{
	struct process *process = calloc(1, sizeof *process);
	if (!process)
		return -ENOMEM;
	process->broker = broker;
	process->id = broker->hello.epoch << 32 | broker->next_process++;
	process->key = *key;
	process->name = *name;
	process->phase = PROCESS_STARTING;
	deadline_init(&process->climb_due, climb_due, process);
	deadline_init(&process->act_due, climb_again_due, process);
	deadline_init(&process->run_due, NULL, process);
	deadline_init(&process->retention_due, retention_over, process);
	HASH_ADD(hh_id, broker->processes_by_id, id, sizeof process->id, process);
	HASH_ADD(hh_key, broker->processes_by_key, key, sizeof process->key, process);
	if (name->size)
		HASH_ADD(hh_name, broker->processes_by_name, name, sizeof process->name, process);
	broker->n_alive++;
	DL_APPEND2(broker->alive, process, alive_prev, alive_next);
	struct session *session = session_find(broker, key->session_id);
	if (session) {
		DL_APPEND2(session->owned, process, owned_prev, owned_next);
	}
	*ret_process = process;
	return 0;
}

static void free_process(struct process *process)
{
	struct deadlines *deadlines = &process->broker->deadlines;
	deadlines_set(deadlines, &process->climb_due, DEADLINE_NEVER);
	deadlines_set(deadlines, &process->act_due, DEADLINE_NEVER);
	deadlines_set(deadlines, &process->run_due, DEADLINE_NEVER);
	deadlines_set(deadlines, &process->retention_due, DEADLINE_NEVER);
	for (size_t i = 0; i < LADDER_RUNGS_MAX; i++)
		free(process->journal[i]);
	free(process->argv);
	free(process);
}

static void leave_session(struct process *process, struct session *session)
{
	if (process->phase == PROCESS_ENDED)
		session->n_unreleased--;
	DL_DELETE2(session->owned, process, owned_prev, owned_next);
}

// The books of one user; NULL where there is no memory.
static struct principal *principal_of(struct broker *broker, uid_t uid)
{
	struct principal *principal;
	HASH_FIND(hh, broker->principals, &uid, sizeof uid, principal);
	if (principal)
		return principal;
	principal = calloc(1, sizeof *principal);
	if (!principal)
		return NULL;
	principal->uid = uid;
	HASH_ADD(hh, broker->principals, uid, sizeof principal->uid, principal);
	return principal;
}

static void stop_retaining(struct process *process)
{
	struct principal *principal = principal_of(process->broker, process->name.uid);
	principal->n_retained--;
	DL_DELETE2(process->broker->retained, process, retained_prev, retained_next);
	process->retained = false;
}

static void remove_process(struct process *process)
{
	struct broker *broker = process->broker;
	HASH_DELETE(hh_id, broker->processes_by_id, process);
	HASH_DELETE(hh_key, broker->processes_by_key, process);
	struct session *session = session_find(broker, process->key.session_id);
	if (session)
		leave_session(process, session);
	if (process->retained)
		stop_retaining(process);
	free_process(process);
}

static void free_name(struct process *process)
{
	struct process *holder = NULL;
	if (process->name.size)
		holder = process_find_name(process->broker, &process->name);
	if (holder == process)
		HASH_DELETE(hh_name, process->broker->processes_by_name, process);
}

void process_discard(struct process *process)
{
	free_name(process);
	process->broker->n_alive--;
	DL_DELETE2(process->broker->alive, process, alive_prev, alive_next);
	remove_process(process);
}

void process_release(struct process *process)
{
	exits_forget(process);
	struct link_drop drop = {.header.kind = LINK_DROP, .process_id = process->id};
	broker_send(process->broker, &drop);
	remove_process(process);
}

struct process *process_find(struct broker *broker, uint64_t id)
{
	struct process *process;
	HASH_FIND(hh_id, broker->processes_by_id, &id, sizeof id, process);
	return process;
}

struct process *process_find_key(struct broker *broker, const struct link_key *key)
{
	struct process *process;
	HASH_FIND(hh_key, broker->processes_by_key, key, sizeof *key, process);
	return process;
}

struct process *process_find_name(struct broker *broker, const struct process_name *name)
{
	struct process *process;
	HASH_FIND(hh_name, broker->processes_by_name, name, sizeof *name, process);
	return process;
}

// Beyond the number of records that one user may leave behind, the oldest go first.
static void release_oldest(struct broker *broker, const struct principal *principal)
{
	struct process *process, *next;
	DL_FOREACH_SAFE2(broker->retained, process, next, retained_next)
	{
		if (principal->n_retained <= broker->config->retention_records)
			return;
		if (process->name.uid == principal->uid)
			process_release(process);
	}
}

// A record of a session is kept until it is released; after the session, for a time, counted from
// the later of its end and the session's. Streams need no time of their own: without an owner they
// end with the tree. (AWT-6)
void process_retain(struct process *process)
{
	struct broker *broker = process->broker;
	if (process->phase != PROCESS_ENDED || !process->owner_lost || process->retained)
		return;
	struct principal *principal = principal_of(broker, process->name.uid);
	if (!principal)
		return; // no memory: kept until it is released
	process->retained = true;
	principal->n_retained++;
	DL_APPEND2(broker->retained, process, retained_prev, retained_next);
	deadlines_set(
	    &broker->deadlines, &process->retention_due, now_ms() + broker->config->retention_ms);
	release_oldest(broker, principal);
}

static void leave_alive(struct process *process)
{
	process->broker->n_alive--;
	DL_DELETE2(process->broker->alive, process, alive_prev, alive_next);
}

void process_ended(struct process *process)
{
	free_name(process);
	process->phase = PROCESS_ENDED;
	leave_alive(process);
	struct session *session = session_find(process->broker, process->key.session_id);
	if (session)
		session->n_unreleased++;
	deadlines_set(&process->broker->deadlines, &process->climb_due, DEADLINE_NEVER);
	deadlines_set(&process->broker->deadlines, &process->run_due, DEADLINE_NEVER);
}

void process_owner_gone(struct process *process, struct session *session)
{
	leave_session(process, session);
	process_retain(process);
}

bool process_is_alive(const struct process *process)
{
	return process->phase != PROCESS_ENDED;
}

void processes_destroy(struct broker *broker)
{
	struct process *process, *next;
	HASH_CLEAR(hh_key, broker->processes_by_key);
	HASH_CLEAR(hh_name, broker->processes_by_name);
	HASH_ITER(hh_id, broker->processes_by_id, process, next)
	{
		HASH_DELETE(hh_id, broker->processes_by_id, process);
		free_process(process);
	}
	struct principal *principal, *next_principal;
	HASH_ITER(hh, broker->principals, principal, next_principal)
	{
		HASH_DEL(broker->principals, principal);
		free(principal);
	}
}
