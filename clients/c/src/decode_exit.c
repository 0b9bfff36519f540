// Exit records: from the wire to one block of memory.
#include "clients/c/src/decode.h"
#include "clients/c/src/decode_words.h"
#include "clients/c/src/error.h"

#include <stdlib.h>
#include <string.h>

// What spawnd_exit points into lies behind it in the same block.
struct exit_block {
	struct spawnd_exit record;
	size_t size;
	struct spawnd_journal_entry journal[];
};

void spawnd_exit_free(struct spawnd_exit *record)
{
	free(record); // the record is the first member of its block
}

struct spawnd_exit *decode_exit_copy(const struct spawnd_exit *record)
{
	const struct exit_block *from = (const struct exit_block *)(const void *)record;
	struct exit_block *block = malloc(from->size);
	if (!block)
		return NULL;
	memcpy(block, from, from->size);
	block->record.journal = block->journal;
	block->record.name = (char *)block + (from->record.name - (const char *)from);
	block->record.lost_reason = (char *)block + (from->record.lost_reason - (const char *)from);
	return &block->record;
}

static void copy_member(const Spawn__V1__Member *from, struct spawnd_member *member)
{
	member->pid = from->pid;
	decode_text(member->comm, sizeof member->comm, (const char *)from->comm.data, from->comm.len);
	member->state = from->state[0] >= '!' && from->state[0] <= '~' ? from->state[0] : '?';
	decode_text(member->waits_in, sizeof member->waits_in, from->waits_in, strlen(from->waits_in));
}

static void copy_entry(const Spawn__V1__JournalEntry *from, struct spawnd_journal_entry *entry)
{
	*entry = (struct spawnd_journal_entry){.rung = from->rung,
	    .at_ms = from->at_ms,
	    .action = decode_action((int)from->action),
	    .signal = from->signal <= 64 ? (int)from->signal : 0,
	    .scope = decode_scope((int)from->scope),
	    .hit = from->hit,
	    .climber = decode_climber((int)from->climber),
	    .skipped = !!from->skipped,
	    .wait_ms = from->wait_ms,
	    .left_count = from->left_count};
	size_t room = sizeof entry->left / sizeof entry->left[0];
	entry->n_left = from->n_left < room ? from->n_left : room;
	for (size_t i = 0; i < entry->n_left; i++)
		copy_member(from->left[i], &entry->left[i]);
}

static void copy_usage(const Spawn__V1__Usage *from, struct spawnd_usage *usage)
{
	*usage = (struct spawnd_usage){.user_us = from->user_us,
	    .system_us = from->system_us,
	    .max_rss_kib = from->max_rss_kib,
	    .minor_faults = from->minor_faults,
	    .major_faults = from->major_faults,
	    .in_blocks = from->in_blocks,
	    .out_blocks = from->out_blocks,
	    .voluntary_switches = from->voluntary_switches,
	    .involuntary_switches = from->involuntary_switches};
}

// What the kind says must be possible: nobody gets exit code 300 or signal 0 handed on.
static int check(const Spawn__V1__ExitRecord *record, struct spawnd_error *err)
{
	int kind = decode_exit_kind((int)record->kind);
	if (kind == SPAWND_EXITED && record->code > 255)
		return error_set(err, SPAWND_E_PROTOCOL, 0, "an exit record has code %u", record->code);
	if (kind == SPAWND_SIGNALED && (record->signal < 1 || record->signal > 64))
		return error_set(err, SPAWND_E_PROTOCOL, 0, "an exit record has signal %u", record->signal);
	if (kind == SPAWND_START_FAILED && !record->start_failed)
		return error_set(err, SPAWND_E_PROTOCOL, 0, "an exit record lacks the step that failed");
	if (record->n_journal > DECODE_JOURNAL_MAX)
		return error_set(
		    err, SPAWND_E_PROTOCOL, 0, "an exit record has %zu journal entries", record->n_journal);
	return 0;
}

static void fill(const Spawn__V1__ExitRecord *from, struct spawnd_exit *record)
{
	record->process = (struct spawnd_process){.id = from->process_id,
	    .session_id = from->session_id,
	    .request_id = from->spawn_request_id};
	record->kind = decode_exit_kind((int)from->kind);
	if (record->kind == SPAWND_EXITED)
		record->code = (int)from->code;
	if (record->kind == SPAWND_SIGNALED) {
		record->signal = (int)from->signal;
		record->core_dumped = !!from->core_dumped;
	}
	if (record->kind == SPAWND_START_FAILED) {
		record->stage = decode_stage((int)from->start_failed->stage);
		record->sys_errno = from->start_failed->errno_code;
	}
	record->cause = decode_exit_cause((int)from->cause);
	record->rung = from->rung;
	record->tree_empty = !!from->tree_empty;
	record->tree_proof = decode_tree_proof((int)from->tree_proof);
	record->started_unix_ms = from->started_unix_ms;
	record->leader_exit_ms = from->leader_exit_ms;
	record->tree_empty_ms = from->tree_empty_ms;
	if (from->usage)
		copy_usage(from->usage, &record->usage);
}

int decode_exit(
    const Spawn__V1__ExitRecord *from, struct spawnd_exit **ret_exit, struct spawnd_error *err)
{
	if (check(from, err) < 0)
		return -1;
	size_t reason_size = strlen(from->lost_reason) + 1;
	size_t journal_size = from->n_journal * sizeof(struct spawnd_journal_entry);
	size_t size = sizeof(struct exit_block) + journal_size + from->name.len + 1 + reason_size;
	struct exit_block *block = calloc(1, size);
	if (!block)
		return error_memory(err);
	block->size = size;
	fill(from, &block->record);
	for (size_t i = 0; i < from->n_journal; i++)
		copy_entry(from->journal[i], &block->journal[i]);
	block->record.journal = block->journal;
	block->record.n_journal = from->n_journal;
	char *name = (char *)(block->journal + from->n_journal);
	if (from->name.len)
		memcpy(name, from->name.data, from->name.len);
	char *reason = name + from->name.len + 1;
	decode_text(reason, reason_size, from->lost_reason, reason_size - 1);
	block->record.name = name;
	block->record.lost_reason = reason;
	*ret_exit = &block->record;
	return 0;
}
