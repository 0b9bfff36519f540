// Fills in exit records for the wire.
#include "server/broker/reply_record.h"

#include <signal.h>
#include <string.h>

#include "server/broker/exits.h"

// Milliseconds since exec; what came before counts as 0.
static uint64_t since_start(const struct process *process, uint64_t at_ms)
{
	return at_ms > process->started_ms ? at_ms - process->started_ms : 0;
}

static void fill_members(struct record *record, size_t index, const struct journal_entry *entry)
{
	Spawn__V1__JournalEntry *message = &record->entries[index];
	message->left_count = entry->left_count;
	message->n_left = entry->n_left;
	message->left = record->member_lists[index];
	for (size_t i = 0; i < entry->n_left; i++) {
		const struct link_member *from = &entry->left[i];
		Spawn__V1__Member *to = &record->members[index][i];
		spawn__v1__member__init(to);
		to->pid = from->pid;
		to->comm.data = (uint8_t *)from->comm;
		to->comm.len = strnlen(from->comm, sizeof from->comm);
		record->states[index][i][0] = from->state;
		record->states[index][i][1] = 0;
		to->state = record->states[index][i];
		to->waits_in = (char *)from->waits_in;
		record->member_lists[index][i] = to;
	}
}

static void fill_entry(struct record *record, size_t index, const struct process *process,
    const struct journal_entry *entry)
{
	const struct ladder_rung *rung = &process->ladder.rungs[entry->rung - 1];
	Spawn__V1__JournalEntry *message = &record->entries[index];
	spawn__v1__journal_entry__init(message);
	message->rung = entry->rung;
	message->at_ms = since_start(process, entry->at_ms);
	message->action = (Spawn__V1__Action)rung->action;
	message->signal = rung->signal;
	message->scope = (Spawn__V1__Scope)rung->scope;
	message->hit = entry->hit;
	message->climber =
	    entry->by_net ? SPAWN__V1__CLIMBER__CLIMBER_NET : SPAWN__V1__CLIMBER__CLIMBER_CLIENT;
	message->skipped = entry->skipped;
	message->wait_ms = entry->wait_ms;
	fill_members(record, index, entry);
	record->entry_list[index] = message;
}

static void fill_journal(struct record *record, const struct process *process)
{
	size_t n = 0;
	for (size_t i = 0; i < LADDER_RUNGS_MAX; i++)
		if (process->journal[i])
			fill_entry(record, n++, process, process->journal[i]);
	record->message.n_journal = n;
	record->message.journal = record->entry_list;
}

static void fill_usage(struct record *record, const struct link_usage *usage)
{
	Spawn__V1__Usage *message = &record->usage;
	spawn__v1__usage__init(message);
	message->user_us = usage->user_us;
	message->system_us = usage->system_us;
	message->max_rss_kib = usage->max_rss_kib;
	message->minor_faults = usage->minor_faults;
	message->major_faults = usage->major_faults;
	message->in_blocks = usage->in_blocks;
	message->out_blocks = usage->out_blocks;
	message->voluntary_switches = usage->voluntary_switches;
	message->involuntary_switches = usage->involuntary_switches;
	record->message.usage = message;
}

static void fill_start_failed(struct record *record, const struct process *process)
{
	spawn__v1__start_failed__init(&record->start_failed);
	record->start_failed.stage = (Spawn__V1__StartStage)process->fail_stage;
	record->start_failed.errno_code = process->fail_error;
	record->message.kind = SPAWN__V1__EXIT_KIND__EXIT_KIND_START_FAILED;
	record->message.cause = SPAWN__V1__EXIT_CAUSE__EXIT_CAUSE_ITSELF;
	record->message.start_failed = &record->start_failed;
	record->message.tree_empty = true;
	record->message.tree_proof = SPAWN__V1__TREE_PROOF__TREE_PROOF_SUBREAPER;
	record->message.leader_exit_ms = record->message.tree_empty_ms = 0;
}

static void fill_exit(struct record *record, const struct process *process)
{
	Spawn__V1__ExitRecord *message = &record->message;
	bool exited = process->exit.code_kind == CLD_EXITED;
	message->process_id = process->id;
	message->kind =
	    exited ? SPAWN__V1__EXIT_KIND__EXIT_KIND_EXITED : SPAWN__V1__EXIT_KIND__EXIT_KIND_SIGNALED;
	static char unknown[] = "the kernel did not tell its status";
	if (process->exit.code_kind == LINK_STATUS_LOST) {
		message->kind = SPAWN__V1__EXIT_KIND__EXIT_KIND_LOST;
		message->lost_reason = unknown;
	}
	message->code = exited ? (uint32_t)process->exit.status : 0;
	message->signal = exited ? 0 : (uint32_t)process->exit.status;
	message->core_dumped = process->exit.code_kind == CLD_DUMPED;
	message->cause = (Spawn__V1__ExitCause)process->exit_cause;
	message->rung = process->exit_rung;
	message->started_unix_ms = process->started_unix_ms;
	message->leader_exit_ms = since_start(process, process->exit.at_ms);
	if (process->phase == PROCESS_ENDED) {
		static const Spawn__V1__TreeProof proofs[] = {
		    [LINK_PROOF_SUBREAPER] = SPAWN__V1__TREE_PROOF__TREE_PROOF_SUBREAPER,
		    [LINK_PROOF_CGROUP] = SPAWN__V1__TREE_PROOF__TREE_PROOF_CGROUP,
		    [LINK_PROOF_NONE] = SPAWN__V1__TREE_PROOF__TREE_PROOF_NONE,
		};
		message->tree_empty = true;
		message->tree_proof = proofs[process->proof];
		message->tree_empty_ms = since_start(process, process->tree_empty_ms);
	}
	fill_usage(record, &process->exit.usage);
}

void reply_record_fill(struct record *record, struct process *process)
{
	spawn__v1__exit_record__init(&record->message);
	record->message.session_id = process->key.session_id;
	record->message.spawn_request_id = process->key.request_id;
	record->message.name.data = (uint8_t *)process->name.bytes;
	record->message.name.len = process->name.size;
	if (process->fail_stage)
		fill_start_failed(record, process);
	else
		fill_exit(record, process);
	fill_journal(record, process);
}

void reply_record_ladder(struct ladder_message *message, const struct ladder *ladder)
{
	for (size_t i = 0; i < ladder->n_rungs; i++) {
		Spawn__V1__Rung *rung = &message->rungs[i];
		spawn__v1__rung__init(rung);
		rung->action = (Spawn__V1__Action)ladder->rungs[i].action;
		rung->signal = ladder->rungs[i].signal;
		rung->scope = (Spawn__V1__Scope)ladder->rungs[i].scope;
		rung->wait_ms = ladder->rungs[i].wait_ms;
		message->list[i] = rung;
	}
}
