// Exit records in words.
#include <errno.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "clients/spawnctl/record_text.h"

static void says(struct spawnd_exit record, const char *subject, const char *wanted)
{
	char words[512];

	record.name = "";
	if (!record.lost_reason)
		record.lost_reason = "";
	record_text_format(&record, subject, words, sizeof words);
	cr_assert_str_eq(words, wanted);
}

Test(record_text, an_end_of_itself)
{
	says((struct spawnd_exit){.kind = SPAWND_EXITED,
	         .code = 7,
	         .cause = SPAWND_CAUSE_ITSELF,
	         .leader_exit_ms = 12,
	         .tree_empty = 1},
	    NULL, "exited 7 after 0.012 s");
}

Test(record_text, signals)
{
	says((struct spawnd_exit){.kind = SPAWND_SIGNALED,
	         .signal = 9,
	         .cause = SPAWND_CAUSE_OUTSIDE_SIGNAL,
	         .leader_exit_ms = 10,
	         .tree_empty = 1},
	    NULL, "killed by signal 9 (KILL), sent from outside, after 0.010 s");
	says((struct spawnd_exit){.kind = SPAWND_SIGNALED,
	         .signal = 15,
	         .cause = SPAWND_CAUSE_CANCEL,
	         .rung = 2,
	         .leader_exit_ms = 5003,
	         .tree_empty = 1},
	    NULL, "killed by signal 15 (TERM), cancelled at rung 2, after 5.003 s");
	says((struct spawnd_exit){.kind = SPAWND_SIGNALED,
	         .signal = 6,
	         .core_dumped = 1,
	         .cause = SPAWND_CAUSE_OUTSIDE_SIGNAL},
	    NULL,
	    "killed by signal 6 (ABRT) with a core dump, sent from outside, after 0.000 s; "
	    "its tree is not empty yet");
}

Test(record_text, code_143_is_not_signal_15)
{
	says(
	    (struct spawnd_exit){
	        .kind = SPAWND_EXITED, .code = 143, .cause = SPAWND_CAUSE_ITSELF, .tree_empty = 1},
	    NULL, "exited 143 after 0.000 s");
}

Test(record_text, a_start_that_failed)
{
	says(
	    (struct spawnd_exit){
	        .kind = SPAWND_START_FAILED, .stage = 12, .sys_errno = ENOENT, .tree_empty = 1},
	    "/no/such", "could not start: exec: No such file or directory (ENOENT): /no/such");
	says(
	    (struct spawnd_exit){
	        .kind = SPAWND_START_FAILED, .stage = 7, .sys_errno = EACCES, .tree_empty = 1},
	    NULL, "could not start: cwd: Permission denied (EACCES)");
}

Test(record_text, what_is_lost_or_unknown_is_never_a_status)
{
	says((struct spawnd_exit){.kind = SPAWND_LOST, .lost_reason = "the root was killed"}, NULL,
	    "lost: its exit status could not be had: the root was killed");
	says((struct spawnd_exit){.kind = 99}, NULL, "ended in a way that this spawnctl does not know");
}

Test(record_text, every_cause_has_words)
{
	for (int cause = SPAWND_CAUSE_CANCEL; cause <= SPAWND_CAUSE_SIGNAL_CALL; cause++) {
		struct spawnd_exit record = {.kind = SPAWND_EXITED, .cause = cause, .lost_reason = ""};
		char words[512], unknown[512];

		record_text_format(&record, NULL, words, sizeof words);
		record.cause = 99;
		record_text_format(&record, NULL, unknown, sizeof unknown);
		cr_assert_str_neq(words, unknown, "%d", cause);
	}
}

Test(record_text, rungs)
{
	char words[64];

	record_text_format_rung(SPAWND_SIGNAL, 15, SPAWND_TREE, words, sizeof words);
	cr_assert_str_eq(words, "TERM to tree");
	record_text_format_rung(SPAWND_CLOSE_STDIN, 0, SPAWND_LEADER, words, sizeof words);
	cr_assert_str_eq(words, "close stdin of leader");
	record_text_format_rung(SPAWND_CANCEL_NOTICE, 0, SPAWND_LEADER, words, sizeof words);
	cr_assert_str_eq(words, "notice to leader");
}
