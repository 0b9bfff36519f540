// The ladder: what is accepted, and the climbs that the clauses describe, with real times.
#include <criterion/criterion.h>
#include <signal.h>

#include "server/broker/ladder.h"

#define T0 1000000u

static struct ladder default_ladder(void)
{
	struct ladder ladder;
	size_t index;
	cr_assert_eq(ladder_init(&ladder, NULL, 0, false, &index), LADDER_OK);
	return ladder;
}

static struct ladder ladder_of(const struct ladder_rung *rungs, size_t n)
{
	struct ladder ladder;
	size_t index = 99;
	enum ladder_fault fault = ladder_init(&ladder, rungs, n, true, &index);
	cr_assert_eq(fault, LADDER_OK, "fault %d at %zu", fault, index);
	return ladder;
}

// A Cancel that is carried out and answered at once.
static void climb_at(struct ladder *ladder, uint64_t at_ms, uint32_t rung, uint64_t wait_ms)
{
	struct ladder_output output = ladder_cancel(ladder, at_ms, rung, wait_ms, false);
	cr_assert_eq(output.act, rung);
	ladder_acted(ladder, at_ms, rung);
	ladder_answered(ladder, at_ms, rung);
}

static void expect_fault(struct ladder_rung rung, enum ladder_fault expected, bool stdin_is_pipe)
{
	struct ladder_rung rungs[] = {{LADDER_SIGNAL, SIGINT, LADDER_LEADER, 1}, rung};
	struct ladder ladder = {.n_rungs = 77};
	size_t index = 99;
	cr_expect_eq(ladder_init(&ladder, rungs, 2, stdin_is_pipe, &index), expected);
	cr_expect_eq(index, 1);
	cr_expect_eq(ladder.n_rungs, 77, "touched on a fault");
}

Test(ladder_init, default_ladder_is_int_term_kill)
{
	struct ladder ladder = default_ladder();
	static const struct ladder_rung expected[] = {{LADDER_SIGNAL, SIGINT, LADDER_LEADER, 5000},
	    {LADDER_SIGNAL, SIGTERM, LADDER_TREE, 2000}, {LADDER_SIGNAL, SIGKILL, LADDER_TREE, 2000}};
	cr_assert_eq(ladder.n_rungs, 3);
	for (size_t i = 0; i < 3; i++) {
		cr_expect_eq(ladder.rungs[i].action, expected[i].action);
		cr_expect_eq(ladder.rungs[i].signal, expected[i].signal);
		cr_expect_eq(ladder.rungs[i].scope, expected[i].scope);
		cr_expect_eq(ladder.rungs[i].wait_ms, expected[i].wait_ms);
	}
	cr_expect_eq(ladder.due_ms, LADDER_FOREVER);
	cr_expect_eq(ladder.reached, 0);
}

Test(ladder_init, kill_on_tree_is_added_where_missing)
{
	struct ladder_rung rungs[] = {{LADDER_SIGNAL, SIGHUP, LADDER_GROUP, 7}};
	struct ladder ladder = ladder_of(rungs, 1);
	cr_assert_eq(ladder.n_rungs, 2);
	cr_expect_eq(ladder.rungs[1].signal, SIGKILL);
	cr_expect_eq(ladder.rungs[1].scope, LADDER_TREE);
	cr_expect_eq(ladder.rungs[1].wait_ms, 2000);
}

Test(ladder_init, a_kill_of_its_own_is_kept)
{
	struct ladder_rung rungs[] = {{LADDER_SIGNAL, SIGKILL, LADDER_TREE, 9}};
	struct ladder ladder = ladder_of(rungs, 1);
	cr_assert_eq(ladder.n_rungs, 1);
	cr_expect_eq(ladder.rungs[0].wait_ms, 9);
}

Test(ladder_init, faults_are_found)
{
	expect_fault((struct ladder_rung){0, SIGINT, LADDER_TREE, 1}, LADDER_BAD_ACTION, true);
	expect_fault((struct ladder_rung){4, 0, LADDER_LEADER, 1}, LADDER_BAD_ACTION, true);
	expect_fault((struct ladder_rung){LADDER_SIGNAL, 0, LADDER_TREE, 1}, LADDER_BAD_SIGNAL, true);
	expect_fault((struct ladder_rung){LADDER_SIGNAL, 65, LADDER_TREE, 1}, LADDER_BAD_SIGNAL, true);
	expect_fault((struct ladder_rung){LADDER_CANCEL_NOTICE, SIGINT, LADDER_LEADER, 1},
	    LADDER_BAD_SIGNAL, true);
	expect_fault((struct ladder_rung){LADDER_SIGNAL, SIGINT, 0, 1}, LADDER_BAD_SCOPE, true);
	expect_fault((struct ladder_rung){LADDER_SIGNAL, SIGINT, 4, 1}, LADDER_BAD_SCOPE, true);
	expect_fault(
	    (struct ladder_rung){LADDER_CANCEL_NOTICE, 0, LADDER_TREE, 1}, LADDER_BAD_SCOPE, true);
	expect_fault(
	    (struct ladder_rung){LADDER_CLOSE_STDIN, 0, LADDER_GROUP, 1}, LADDER_BAD_SCOPE, true);
	expect_fault(
	    (struct ladder_rung){LADDER_SIGNAL, SIGINT, LADDER_TREE, 86400001}, LADDER_BAD_WAIT, true);
	expect_fault((struct ladder_rung){LADDER_SIGNAL, SIGINT, LADDER_TREE, LADDER_FOREVER - 1},
	    LADDER_BAD_WAIT, true);
	expect_fault(
	    (struct ladder_rung){LADDER_CLOSE_STDIN, 0, LADDER_LEADER, 1}, LADDER_NO_STDIN, false);
}

Test(ladder_init, kill_has_one_place)
{
	expect_fault(
	    (struct ladder_rung){LADDER_SIGNAL, SIGKILL, LADDER_LEADER, 1}, LADDER_EARLY_KILL, true);
	expect_fault(
	    (struct ladder_rung){LADDER_SIGNAL, SIGKILL, LADDER_GROUP, 1}, LADDER_EARLY_KILL, true);
	struct ladder_rung twice[] = {
	    {LADDER_SIGNAL, SIGKILL, LADDER_TREE, 1}, {LADDER_SIGNAL, SIGKILL, LADDER_TREE, 1}};
	struct ladder ladder;
	size_t index = 99;
	cr_expect_eq(ladder_init(&ladder, twice, 2, true, &index), LADDER_EARLY_KILL);
	cr_expect_eq(index, 0);
}

Test(ladder_init, eight_rungs_with_the_kill)
{
	struct ladder_rung rungs[9];
	for (size_t i = 0; i < 9; i++)
		rungs[i] = (struct ladder_rung){LADDER_SIGNAL, SIGTERM, LADDER_TREE, 1};
	struct ladder ladder;
	size_t index = 99;
	cr_expect_eq(ladder_init(&ladder, rungs, 9, true, &index), LADDER_TOO_MANY);
	cr_expect_eq(index, 8);
	cr_expect_eq(ladder_init(&ladder, rungs, 8, true, &index), LADDER_TOO_MANY);
	cr_expect_eq(index, 7);
	cr_expect_eq(ladder_init(&ladder, rungs, 7, true, &index), LADDER_OK);
	cr_expect_eq(ladder.n_rungs, 8);
	rungs[7].signal = SIGKILL;
	cr_expect_eq(ladder_init(&ladder, rungs, 8, true, &index), LADDER_OK);
	cr_expect_eq(ladder.n_rungs, 8);
}

Test(ladder_init, cancel_notice_is_found)
{
	struct ladder_rung rungs[] = {{LADDER_SIGNAL, SIGINT, LADDER_LEADER, 1},
	    {LADDER_CANCEL_NOTICE, 0, LADDER_LEADER, LADDER_WAIT_MAX_MS}};
	struct ladder ladder = ladder_of(rungs, 1);
	cr_expect_not(ladder_has_cancel_notice(&ladder));
	ladder = ladder_of(rungs, 2);
	cr_expect(ladder_has_cancel_notice(&ladder));
}

Test(ladder, the_net_waits_for_a_living_climber)
{
	struct ladder ladder = default_ladder();
	climb_at(&ladder, T0, 1, 5000);
	cr_expect_eq(ladder.due_ms, T0 + 5000 + 2000);
	cr_expect_eq(ladder_tick(&ladder, T0 + 6999).act, 0);
	struct ladder_output output = ladder_tick(&ladder, T0 + 7000);
	cr_expect_eq(output.act, 2);
	cr_expect(output.by_net);
	ladder_acted(&ladder, T0 + 7003, 2);
	cr_expect_eq(ladder.due_ms, T0 + 7003 + 2000, "the stored wait alone");
	output = ladder_tick(&ladder, T0 + 9003);
	cr_expect_eq(output.act, 3);
	ladder_acted(&ladder, T0 + 9004, 3);
	output = ladder_tick(&ladder, T0 + 11004);
	cr_expect(output.unreaped && ladder.unreaped);
	cr_expect_eq(ladder.due_ms, LADDER_FOREVER);
	cr_expect_not(ladder_tick(&ladder, T0 + 99999).unreaped);
}

Test(ladder, delegated_climbs_have_no_takeover_time)
{
	struct ladder ladder = default_ladder();
	ladder_cancel(&ladder, T0, 1, 300, true);
	ladder_acted(&ladder, T0 + 1, 1);
	ladder_answered(&ladder, T0 + 2, 1);
	cr_expect_eq(ladder.due_ms, T0 + 2 + 300);
}

Test(ladder, an_answer_that_is_never_written_stalls_nothing)
{
	struct ladder ladder = default_ladder();
	ladder_cancel(&ladder, T0, 1, 5000, false);
	cr_expect_eq(ladder.due_ms, LADDER_FOREVER, "not before the root has carried it out");
	ladder_acted(&ladder, T0 + 10, 1);
	cr_expect_eq(ladder.due_ms, T0 + 10 + 7000);
}

Test(ladder, the_first_answer_counts)
{
	struct ladder ladder = default_ladder();
	ladder_cancel(&ladder, T0, 1, 5000, false);
	ladder_answered(&ladder, T0 + 1, 1);
	cr_expect_eq(ladder.base_ms, 0, "nothing acted yet");
	ladder_acted(&ladder, T0 + 10, 1);
	ladder_answered(&ladder, T0 + 12, 1);
	cr_expect_eq(ladder.due_ms, T0 + 12 + 7000);
	ladder_answered(&ladder, T0 + 500, 1);
	cr_expect_eq(ladder.due_ms, T0 + 12 + 7000, "a grace never starts again");
}

Test(ladder, joins_only_bring_the_deadline_nearer)
{
	struct ladder ladder = default_ladder();
	climb_at(&ladder, T0, 1, 5000);
	cr_expect_eq(ladder_cancel(&ladder, T0 + 10, 1, 60000, false).act, 0);
	cr_expect_eq(ladder.due_ms, T0 + 7000);
	ladder_cancel(&ladder, T0 + 10, 1, 1000, false);
	cr_expect_eq(ladder.due_ms, T0 + 3000);
	ladder_cancel(&ladder, T0 + 10, 1, 60000, true);
	cr_expect_eq(ladder.due_ms, T0 + 1000);
}

Test(ladder, a_lower_rung_changes_nothing)
{
	struct ladder ladder = default_ladder();
	climb_at(&ladder, T0, 2, 5000);
	cr_expect_eq(ladder_cancel(&ladder, T0 + 1, 1, 0, true).act, 0);
	ladder_answered(&ladder, T0 + 2, 1);
	cr_expect_eq(ladder.due_ms, T0 + 7000);
	cr_expect_eq(ladder.reached, 2);
}

Test(ladder, a_jump_reports_what_it_skips)
{
	struct ladder ladder = default_ladder();
	struct ladder_output output = ladder_cancel(&ladder, T0, LADDER_LAST, 100, false);
	cr_expect_eq(output.act, 3);
	cr_expect_eq(output.skipped_from, 1);
	cr_expect_not(output.by_net);
}

Test(ladder, unlimited_is_unlimited)
{
	struct ladder ladder = default_ladder();
	climb_at(&ladder, T0, 1, LADDER_FOREVER);
	cr_expect_eq(ladder.due_ms, LADDER_FOREVER);
	cr_expect_eq(ladder_tick(&ladder, LADDER_FOREVER - 1).act, 0);
}

Test(ladder, a_day_does_not_wrap_near_the_end_of_time)
{
	struct ladder ladder = default_ladder();
	climb_at(&ladder, UINT64_MAX - 5000, 1, LADDER_WAIT_MAX_MS);
	cr_expect_eq(ladder.due_ms, LADDER_FOREVER);
	ladder = default_ladder();
	climb_at(&ladder, T0, 1, LADDER_WAIT_MAX_MS);
	cr_expect_eq(ladder.due_ms, T0 + 86400000u + 2000u);
}

Test(ladder, who_climbed_is_gone)
{
	struct ladder ladder = default_ladder();
	climb_at(&ladder, T0, 1, 3000);
	ladder_climber_gone(&ladder, T0 + 100);
	cr_expect_eq(ladder.due_ms, T0 + 3000, "the wait that is left");
	ladder = default_ladder();
	climb_at(&ladder, T0, 1, LADDER_FOREVER);
	ladder_climber_gone(&ladder, T0 + 100);
	cr_expect_eq(ladder.due_ms, T0 + 100 + 5000, "the stored wait, from then");
}

Test(ladder, a_lost_owner_begins_the_climb_or_takes_it_over)
{
	struct ladder ladder = default_ladder();
	struct ladder_output output = ladder_owner_lost(&ladder, T0, LADDER_OWNER_CANCEL);
	cr_expect_eq(output.act, 1);
	cr_expect_eq(ladder.cause, LADDER_OWNER_LOST);
	ladder_acted(&ladder, T0 + 5, 1);
	cr_expect_eq(ladder.due_ms, T0 + 5 + 5000);

	ladder = default_ladder();
	climb_at(&ladder, T0, 1, 3000);
	cr_expect_eq(ladder_owner_lost(&ladder, T0 + 1, LADDER_OWNER_CANCEL).act, 0);
	cr_expect_eq(ladder.due_ms, T0 + 3000);
	cr_expect_eq(ladder.cause, LADDER_CANCEL);
}

Test(ladder, a_lost_owner_may_kill_or_keep)
{
	struct ladder ladder = default_ladder();
	struct ladder_output output = ladder_owner_lost(&ladder, T0, LADDER_OWNER_KILL);
	cr_expect_eq(output.act, 3);
	cr_expect_eq(output.skipped_from, 1);
	ladder = default_ladder();
	cr_expect_eq(ladder_owner_lost(&ladder, T0, LADDER_OWNER_KEEP).act, 0);
	cr_expect_eq(ladder.reached, 0);
	cr_expect_eq(ladder.due_ms, LADDER_FOREVER);
}

Test(ladder, run_time_is_over)
{
	struct ladder ladder = default_ladder();
	cr_expect_eq(ladder_deadline(&ladder, T0).act, 1);
	cr_expect_eq(ladder.cause, LADDER_DEADLINE);
	ladder = default_ladder();
	climb_at(&ladder, T0, 1, 3000);
	cr_expect_eq(ladder_deadline(&ladder, T0 + 1).act, 0);
	cr_expect_eq(ladder.due_ms, T0 + 5000);
}

Test(ladder, shutdown_bounds_later_waits)
{
	struct ladder ladder = default_ladder();
	cr_expect_eq(ladder_shutdown(&ladder, T0, false).act, 1);
	ladder_acted(&ladder, T0, 1);
	climb_at(&ladder, T0 + 1, 2, LADDER_FOREVER);
	cr_expect_eq(ladder.due_ms, T0 + 1 + 2000);
	struct ladder_output output = ladder_shutdown(&ladder, T0 + 2, true);
	cr_expect_eq(output.act, 3);
	cr_expect_eq(ladder.cause, LADDER_SHUTDOWN);
}

Test(ladder, members_of_a_gone_leader_get_the_next_tree_rung)
{
	struct ladder ladder = default_ladder();
	struct ladder_output output = ladder_leader_gone(&ladder, T0, true);
	cr_expect_eq(output.act, 2);
	cr_expect_eq(output.skipped_from, 1);
	cr_expect_eq(ladder.cause, LADDER_LEADER_GONE);
	ladder_acted(&ladder, T0, 2);
	cr_expect_eq(ladder.due_ms, T0 + 2000);

	ladder = default_ladder();
	climb_at(&ladder, T0, 1, 5000);
	output = ladder_leader_gone(&ladder, T0 + 50, true);
	cr_expect_eq(output.act, 2);
	cr_expect_eq(output.skipped_from, 0);
	cr_expect_eq(ladder.cause, LADDER_CANCEL);
}

Test(ladder, members_that_have_their_signal_keep_their_grace)
{
	struct ladder ladder = default_ladder();
	climb_at(&ladder, T0, 2, 800);
	cr_expect_eq(ladder_leader_gone(&ladder, T0 + 50, true).act, 0);
	cr_expect_eq(ladder.due_ms, T0 + 2800);
}

Test(ladder, kept_members_meet_no_rung_for_a_leader_that_is_gone)
{
	struct ladder ladder = default_ladder();
	cr_expect_eq(ladder_leader_gone(&ladder, T0, false).act, 0);
	cr_expect_eq(ladder.reached, 0);
	struct ladder client = ladder;
	cr_expect_eq(ladder_cancel(&client, T0, 1, 0, false).act, 1, "what was asked for acts");
	struct ladder_output output = ladder_owner_lost(&ladder, T0, LADDER_OWNER_CANCEL);
	cr_expect_eq(output.act, 2);
	cr_expect_eq(output.skipped_from, 1);
}

Test(ladder, nothing_acts_on_an_empty_tree)
{
	struct ladder ladder = default_ladder();
	climb_at(&ladder, T0, 1, 10);
	ladder_tree_empty(&ladder);
	cr_expect_eq(ladder_tick(&ladder, T0 + 99999).act, 0);
	cr_expect_eq(ladder_cancel(&ladder, T0, LADDER_LAST, 0, false).act, 0);
	cr_expect_eq(ladder_owner_lost(&ladder, T0, LADDER_OWNER_KILL).act, 0);
	cr_expect_eq(ladder_shutdown(&ladder, T0, true).act, 0);
	cr_expect_eq(ladder_leader_gone(&ladder, T0, true).act, 0);
	ladder_acted(&ladder, T0, 1);
	ladder_answered(&ladder, T0, 1);
	cr_expect_eq(ladder.due_ms, LADDER_FOREVER);
	cr_expect_eq(ladder.reached, 1);
}
