// Answers of a server that cannot be trusted: nothing crashes, nothing unknown is read as known,
// memory stays bounded. (ENV-10, RPC-5, RPC-10)
#include "clients/c/src/decode.h"
#include "clients/c/src/decode_words.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct spawnd_error err;

// A record with everything in it.
struct made {
	Spawn__V1__ExitRecord record;
	Spawn__V1__JournalEntry entry;
	Spawn__V1__JournalEntry *entries[1];
	Spawn__V1__Member member;
	Spawn__V1__Member *members[1];
	Spawn__V1__Usage usage;
};

static void make(struct made *made)
{
	made->record = (Spawn__V1__ExitRecord)SPAWN__V1__EXIT_RECORD__INIT;
	made->entry = (Spawn__V1__JournalEntry)SPAWN__V1__JOURNAL_ENTRY__INIT;
	made->member = (Spawn__V1__Member)SPAWN__V1__MEMBER__INIT;
	made->usage = (Spawn__V1__Usage)SPAWN__V1__USAGE__INIT;
	made->record.process_id = 0x1234500000007;
	made->record.name.data = (uint8_t *)"name";
	made->record.name.len = 4;
	made->record.kind = SPAWN__V1__EXIT_KIND__EXIT_KIND_EXITED;
	made->record.code = 7;
	made->record.lost_reason = (char *)"none";
	made->record.tree_empty = 1;
	made->record.usage = &made->usage;
	made->usage.user_us = 99;
	made->entry.rung = 1;
	made->entry.signal = 15;
	made->entry.scope = SPAWN__V1__SCOPE__SCOPE_TREE;
	made->entry.action = SPAWN__V1__ACTION__ACTION_SIGNAL;
	made->member.pid = 5;
	made->member.comm.data = (uint8_t *)"a\x01longer than 15 bytes";
	made->member.comm.len = 22;
	made->member.state = (char *)"S";
	made->member.waits_in = (char *)"";
	made->members[0] = &made->member;
	made->entry.left = made->members;
	made->entry.n_left = 1;
	made->entries[0] = &made->entry;
	made->record.journal = made->entries;
	made->record.n_journal = 1;
}

Test(decode, a_whole_record)
{
	struct made made;
	struct spawnd_exit *record;
	make(&made);
	cr_assert_eq(decode_exit(&made.record, &record, &err), 0);
	cr_assert_eq(record->process.id, 0x1234500000007);
	cr_assert_str_eq(record->name, "name");
	cr_assert_eq(record->kind, SPAWND_EXITED);
	cr_assert_eq(record->code, 7);
	cr_assert_eq(record->signal, 0);
	cr_assert_eq(record->usage.user_us, 99);
	cr_assert_eq(record->n_journal, 1);
	cr_assert_eq(record->journal[0].scope, SPAWND_TREE);
	cr_assert_eq(record->journal[0].n_left, 1);
	cr_assert_str_eq(record->journal[0].left[0].comm, "a?longer than 1");
	struct spawnd_exit *copy = decode_exit_copy(record);
	spawnd_exit_free(record);
	cr_assert_str_eq(copy->name, "name");
	cr_assert_str_eq(copy->lost_reason, "none");
	cr_assert_eq(copy->journal[0].left[0].pid, 5);
	spawnd_exit_free(copy);
	spawnd_exit_free(NULL);
}

Test(decode, unknown_values_are_unrecognised)
{
	struct made made;
	struct spawnd_exit *record;
	make(&made);
	made.record.kind = (Spawn__V1__ExitKind)77;
	made.record.cause = (Spawn__V1__ExitCause)-3;
	made.record.tree_proof = (Spawn__V1__TreeProof)1000;
	made.entry.action = (Spawn__V1__Action)9;
	made.entry.scope = (Spawn__V1__Scope)9;
	made.entry.climber = (Spawn__V1__Climber)9;
	made.entry.signal = 4000000000;
	cr_assert_eq(decode_exit(&made.record, &record, &err), 0);
	cr_assert_eq(record->kind, SPAWND_EXIT_UNRECOGNISED);
	cr_assert_eq(record->code, 0, "no code of a kind that is not known");
	cr_assert_eq(record->cause, SPAWND_CAUSE_UNRECOGNISED);
	cr_assert_str_eq(spawnd_tree_proof_name(record->tree_proof), "UNRECOGNISED");
	cr_assert_str_eq(spawnd_action_name(record->journal[0].action), "UNRECOGNISED");
	cr_assert_str_eq(spawnd_climber_name(record->journal[0].climber), "UNRECOGNISED");
	cr_assert_eq(record->journal[0].signal, 0);
	spawnd_exit_free(record);
	for (int value = -5; value < 100; value++) {
		cr_assert(value == 2 || decode_exit_kind(value) != SPAWND_SIGNALED);
		cr_assert(value == 1 || decode_exit_kind(value) != SPAWND_EXITED);
		cr_assert(value == 5 || decode_state(value) != SPAWND_STATE_ENDED);
		cr_assert(value <= 2 || decode_eof(value) == -1);
	}
}

static void check_refused(struct made *made)
{
	struct spawnd_exit *record = (struct spawnd_exit *)(void *)made;
	cr_assert_eq(decode_exit(&made->record, &record, &err), -1);
	cr_assert_eq(err.kind, SPAWND_E_PROTOCOL);
	cr_assert_eq((void *)record, (void *)made, "untouched on failure");
}

Test(decode, records_that_contradict_themselves)
{
	struct made made;
	make(&made);
	made.record.code = 256;
	check_refused(&made);
	make(&made);
	made.record.kind = SPAWN__V1__EXIT_KIND__EXIT_KIND_SIGNALED;
	check_refused(&made);
	made.record.signal = 65;
	check_refused(&made);
	make(&made);
	made.record.kind = SPAWN__V1__EXIT_KIND__EXIT_KIND_START_FAILED;
	check_refused(&made);
	Spawn__V1__JournalEntry *many[DECODE_JOURNAL_MAX + 1];
	make(&made);
	for (size_t i = 0; i <= DECODE_JOURNAL_MAX; i++)
		many[i] = &made.entry;
	made.record.journal = many;
	made.record.n_journal = DECODE_JOURNAL_MAX + 1;
	check_refused(&made);
}

Test(decode, too_many_rungs)
{
	Spawn__V1__Rung rung = SPAWN__V1__RUNG__INIT;
	Spawn__V1__Rung *ladder[SPAWND_RUNGS_MAX + 1];
	struct spawnd_rung rungs[SPAWND_RUNGS_MAX];
	size_t count = 0;
	for (size_t i = 0; i <= SPAWND_RUNGS_MAX; i++)
		ladder[i] = &rung;
	cr_assert_eq(decode_ladder(ladder, SPAWND_RUNGS_MAX, rungs, &count, &err), 0);
	cr_assert_eq(decode_ladder(ladder, SPAWND_RUNGS_MAX + 1, rungs, &count, &err), -1);
	cr_assert_eq(err.kind, SPAWND_E_PROTOCOL);
}

Test(decode, responses_that_may_not_be_believed)
{
	Spawn__V1__Response response = SPAWN__V1__RESPONSE__INIT;
	Spawn__V1__Status status = SPAWN__V1__STATUS__INIT;
	uint8_t bytes[64];
	response.epoch = 5;
	cr_assert_null(decode_response(bytes, spawn__v1__response__pack(&response, bytes)), "status");
	response.status = &status;
	Spawn__V1__Response *good = decode_response(bytes, spawn__v1__response__pack(&response, bytes));
	cr_assert_not_null(good, "an empty status is OK");
	decode_free(&good->base);
	response.epoch = 0;
	cr_assert_null(decode_response(bytes, spawn__v1__response__pack(&response, bytes)), "epoch");
	response.epoch = UINT64_C(1) << 32;
	cr_assert_null(decode_response(bytes, spawn__v1__response__pack(&response, bytes)), "epoch");
	cr_assert_null(decode_response("", 0));
}

Test(decode, every_code_has_a_kind_and_none_is_success)
{
	for (int code = -3; code < 40; code++) {
		Spawn__V1__Status status = SPAWN__V1__STATUS__INIT;
		status.code = (Spawn__V1__Code)code;
		cr_assert_eq(decode_status(&status, &err), -1);
		cr_assert_neq(err.kind, SPAWND_E_NONE);
		cr_assert_eq(err.code, code);
		cr_assert_neq(err.message[0], '\0');
		if (code < 0 || code > 16)
			cr_assert_eq(err.kind, SPAWND_E_UNKNOWN);
	}
	cr_assert_eq(decode_status(&(Spawn__V1__Status)SPAWN__V1__STATUS__INIT, NULL), -1);
}

Test(decode, words_are_cut_and_made_printable)
{
	Spawn__V1__Status status = SPAWN__V1__STATUS__INIT;
	char words[2000];
	memset(words, '\n', sizeof words);
	words[sizeof words - 1] = '\0';
	status.code = SPAWN__V1__CODE__CODE_INTERNAL;
	status.message = words;
	decode_status(&status, &err);
	cr_assert_eq(strlen(err.message), sizeof err.message - 1);
	cr_assert_null(strchr(err.message, '\n'));
}

// 1 MiB of empty journal entries would take some 100 MB.
Test(decode, memory_is_bounded)
{
	size_t size = 1 << 20;
	uint8_t *bytes = malloc(size);
	for (size_t i = 0; i < size; i += 2) {
		bytes[i] = 13 << 3 | 2; // journal
		bytes[i + 1] = 0;
	}
	cr_assert_null(decode_message(&spawn__v1__exit_record__descriptor, bytes, size));
	free(bytes);
}

Test(decode, every_cut_and_every_flipped_bit)
{
	struct made made;
	uint8_t bytes[512], damaged[512];
	make(&made);
	size_t size = spawn__v1__exit_record__pack(&made.record, bytes);
	unsigned n_read = 0;
	for (size_t cut = 0; cut <= size; cut++)
		decode_free(decode_message(&spawn__v1__exit_record__descriptor, bytes, cut));
	for (size_t bit = 0; bit < size * 8; bit++) {
		struct spawnd_exit *record;
		memcpy(damaged, bytes, size);
		damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ProtobufCMessage *message =
		    decode_message(&spawn__v1__exit_record__descriptor, damaged, size);
		if (message && decode_exit((Spawn__V1__ExitRecord *)message, &record, &err) == 0) {
			spawnd_exit_free(record);
			n_read++;
		}
		decode_free(message);
	}
	cr_assert_gt(n_read, 0);
}

Test(decode, listed_processes)
{
	Spawn__V1__ProcessInfo process = SPAWN__V1__PROCESS_INFO__INIT;
	ProtobufCBinaryData argv[] = {{1, (uint8_t *)"a"}, {0, NULL}, {3, (uint8_t *)"\xff\0z"}};
	struct decode_listed listed;
	process.argv = argv;
	process.n_argv = 3;
	process.state = (Spawn__V1__ProcessState)99;
	process.on_owner_lost = (Spawn__V1__OnOwnerLost)99;
	process.blocked = (Spawn__V1__Blocked)99;
	cr_assert_eq(decode_listed(&process, &listed, &err), 0);
	cr_assert_eq(listed.info.state, SPAWND_STATE_UNRECOGNISED);
	cr_assert_str_eq(spawnd_on_owner_lost_name(listed.info.on_owner_lost), "UNRECOGNISED");
	cr_assert_eq(listed.info.blocked, SPAWND_BLOCKED_OTHER);
	cr_assert_str_eq(listed.info.name, "");
	cr_assert_str_eq(listed.info.argv[0], "a");
	cr_assert_str_eq(listed.info.argv[1], "");
	cr_assert_null(listed.info.argv[3]);
	decode_listed_free(&listed);
}

Test(decode, limits_out_of_reason_are_brought_back)
{
	Spawn__V1__Limits none = SPAWN__V1__LIMITS__INIT, huge = SPAWN__V1__LIMITS__INIT;
	struct limits limits;
	decode_limits(&none, &limits);
	cr_assert_geq(limits.max_message_bytes, 65536);
	cr_assert_geq(limits.max_hold_ms, 1000);
	cr_assert_geq(limits.max_write_bytes, 4096);
	huge.max_message_bytes = huge.max_launch_bytes = huge.max_hold_ms = UINT64_MAX;
	huge.max_read_bytes = huge.max_write_bytes = huge.max_spawn_hold_ms = UINT64_MAX;
	decode_limits(&huge, &limits);
	cr_assert_leq(limits.max_hold_ms, 25000);
	cr_assert_leq(limits.max_read_bytes, limits.max_message_bytes);
	cr_assert_leq(limits.max_message_bytes, UINT32_MAX);
	decode_limits(NULL, &limits);
	cr_assert_eq(limits.max_message_bytes, 1048576);
}
