// An exit record drawn as a timeline: every event in its order, every fact on its line.
#include <stdlib.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "clients/spawnctl/timeline.h"

static void draws(const struct spawnd_exit *record, const char *wanted)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cr_assert(eq(int, timeline_draw(record, out), 0));
	fclose(out);
	cr_assert_str_eq(text, wanted);
	free(text);
}

Test(timeline, a_climb_to_the_top)
{
	const struct spawnd_journal_entry journal[] = {
	    {.rung = 1,
	        .at_ms = 1001,
	        .action = SPAWND_SIGNAL,
	        .signal = 2,
	        .scope = SPAWND_LEADER,
	        .hit = 1,
	        .climber = SPAWND_CLIMBER_CLIENT,
	        .left_count = 2,
	        .n_left = 2,
	        .left = {{.pid = 41, .comm = "sh", .state = 'S', .waits_in = "do_wait"},
	            {.pid = 42, .comm = "sl\033eep", .state = 'D', .waits_in = "nfs_wait"}}},
	    {.rung = 2,
	        .action = SPAWND_SIGNAL,
	        .at_ms = 1900,
	        .signal = 15,
	        .scope = SPAWND_TREE,
	        .skipped = 1},
	    {.rung = 3,
	        .at_ms = 2002,
	        .action = SPAWND_SIGNAL,
	        .signal = 9,
	        .scope = SPAWND_TREE,
	        .hit = 2,
	        .climber = SPAWND_CLIMBER_NET},
	};
	const struct spawnd_exit record = {.kind = SPAWND_SIGNALED,
	    .signal = 9,
	    .name = "",
	    .lost_reason = "",
	    .leader_exit_ms = 2002,
	    .tree_empty = 1,
	    .tree_empty_ms = 2004,
	    .tree_proof = SPAWND_PROOF_SUBREAPER,
	    .n_journal = 3,
	    .journal = journal};

	draws(&record, "     0.000 s  o  started\n"
	               "     1.001 s  |  rung 1  INT to leader     hit 1   by client  2 left: "
	               "sh[41] S, sl\\x1beep[42] D in nfs_wait\n"
	               "     1.900 s  |  rung 2  TERM to tree      skipped\n"
	               "     2.002 s  |  rung 3  KILL to tree      hit 2   by server  nobody left\n"
	               "     2.002 s  x  killed by signal 9 (KILL)\n"
	               "     2.004 s  o  tree empty, proof SUBREAPER\n");
}

Test(timeline, a_leader_that_ends_before_the_rungs_for_its_tree)
{
	const struct spawnd_journal_entry journal[] = {{.rung = 2,
	    .at_ms = 31,
	    .action = SPAWND_SIGNAL,
	    .signal = 15,
	    .scope = SPAWND_TREE,
	    .hit = 9,
	    .climber = SPAWND_CLIMBER_NET,
	    .left_count = 9,
	    .n_left = 1,
	    .left = {{.pid = 7, .comm = "x", .state = 'D'}}}};
	const struct spawnd_exit record = {.kind = SPAWND_EXITED,
	    .name = "",
	    .lost_reason = "",
	    .leader_exit_ms = 30,
	    .n_journal = 1,
	    .journal = journal};

	draws(&record, "     0.000 s  o  started\n"
	               "     0.030 s  x  exited 0\n"
	               "     0.031 s  |  rung 2  TERM to tree      hit 9   by server  9 left: x[7] D, "
	               "and 8 more\n");
}

Test(timeline, a_start_that_failed_has_none)
{
	draws(&(struct spawnd_exit){.kind = SPAWND_START_FAILED, .name = "", .lost_reason = ""}, "");
}
