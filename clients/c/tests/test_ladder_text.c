// Ladders and ids as text; the default address; words.
#include "clients/c/src/ladder_text.h"
#include "clients/c/src/url.h"
#include "spawnd/client.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

static struct spawnd_rung rungs[SPAWND_RUNGS_MAX];
static size_t count;
static struct spawnd_error err;

static void check_rung(size_t i, int action, int signal_number, int scope, uint64_t wait_ms)
{
	cr_assert_eq(rungs[i].action, action);
	cr_assert_eq(rungs[i].signal, signal_number);
	cr_assert_eq(rungs[i].scope, scope);
	cr_assert_eq(rungs[i].wait_ms, wait_ms);
}

Test(ladder, the_default_one)
{
	cr_assert_eq(
	    spawnd_ladder_parse("INT leader 5s, TERM tree 2s, KILL tree 2s", rungs, &count, &err), 0);
	cr_assert_eq(count, 3);
	check_rung(0, SPAWND_SIGNAL, SIGINT, SPAWND_LEADER, 5000);
	check_rung(1, SPAWND_SIGNAL, SIGTERM, SPAWND_TREE, 2000);
	check_rung(2, SPAWND_SIGNAL, SIGKILL, SPAWND_TREE, 2000);
}

Test(ladder, every_word)
{
	cr_assert_eq(spawnd_ladder_parse("close-stdin 100ms,notice leader 1m,\tsigusr1  group 1h ,"
	                                 "64 tree forever,hup 0",
	                 rungs, &count, &err),
	    0);
	cr_assert_eq(count, 5);
	check_rung(0, SPAWND_CLOSE_STDIN, 0, SPAWND_LEADER, 100);
	check_rung(1, SPAWND_CANCEL_NOTICE, 0, SPAWND_LEADER, 60000);
	check_rung(2, SPAWND_SIGNAL, SIGUSR1, SPAWND_GROUP, 3600000);
	check_rung(3, SPAWND_SIGNAL, 64, SPAWND_TREE, SPAWND_FOREVER);
	check_rung(4, SPAWND_SIGNAL, SIGHUP, SPAWND_LEADER, 0);
}

Test(ladder, what_is_none)
{
	static const char *const bad[] = {"", ",", "INT", "INT leader", "INT leader 5", "INT 5s,",
	    "NOSUCH 5s", "0 5s", "65 5s", "INT everybody 5s", "INT leader 25h", "INT leader 86400001ms",
	    "INT leader -1s", "INT leader 5s extra", "close-stdin tree 1s", "notice group 1s",
	    "INT leader 99999999999999999999s", "INT leader 5 s", "INT leader 5S",
	    "1 1s,1 1s,1 1s,1 1s,1 1s,1 1s,1 1s,1 1s,1 1s", "SIG 5s"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		count = 77;
		err.kind = 0;
		cr_assert_eq(spawnd_ladder_parse(bad[i], rungs, &count, &err), -1, "%s", bad[i]);
		cr_assert_eq(err.kind, SPAWND_E_ARGUMENT);
		cr_assert_neq(err.message[0], '\0');
		cr_assert_eq(count, 77, "untouched on failure");
	}
	cr_assert_eq(spawnd_ladder_parse("INT leader 24h", rungs, &count, NULL), 0);
	cr_assert_eq(spawnd_ladder_parse(NULL, rungs, &count, NULL), -1);
}

Test(ladder, the_wrong_rung_is_named)
{
	spawnd_ladder_parse("INT leader 5s, TERM tree soon", rungs, &count, &err);
	cr_assert_str_eq(err.field, "ladder[1]");
	cr_assert(strstr(err.message, "'soon'"));
}

Test(ladder, what_is_written_can_be_read)
{
	for (int signal_number = 1; signal_number <= 64; signal_number++)
		for (int scope = SPAWND_LEADER; scope <= SPAWND_TREE; scope++) {
			static const uint64_t waits[] = {
			    0, 1, 999, 1000, 1500, 60000, 90000, 3600000, 86400000, SPAWND_FOREVER};
			for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
				struct spawnd_rung rung = {SPAWND_SIGNAL, signal_number, scope, waits[i]};
				char text[64];
				spawnd_rung_format(&rung, text, sizeof text);
				cr_assert_eq(spawnd_ladder_parse(text, rungs, &count, &err), 0, "%s", text);
				cr_assert_eq(count, 1);
				check_rung(0, SPAWND_SIGNAL, signal_number, scope, waits[i]);
			}
		}
}

Test(ladder, writing_stays_in_its_room)
{
	struct spawnd_rung rung = {99, -5, 77, 123456789};
	char text[8] = "1234567";
	spawnd_rung_format(&rung, text, 4);
	cr_assert_eq(strlen(text), 3);
	cr_assert_eq(text[4], '5', "behind the room");
}

Test(id, only_sixteen_lower_case_digits)
{
	uint64_t id = 5;
	char text[17];
	cr_assert_eq(spawnd_id_parse("00000000deadbeef", &id, NULL), 0);
	cr_assert_eq(id, 0xdeadbeef);
	spawnd_id_format(0x123456789abcdef0, text);
	cr_assert_str_eq(text, "123456789abcdef0");
	static const char *const bad[] = {"", "deadbeef", "00000000DEADBEEF", "00000000deadbee",
	    "000000000deadbeef", "00000000deadbeeg", " 0000000deadbeef", "0x000000deadbeef",
	    "0000000000000000", "-000000deadbeef1"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		cr_assert_eq(spawnd_id_parse(bad[i], &id, &err), -1, "%s", bad[i]);
		cr_assert_eq(err.kind, SPAWND_E_ARGUMENT);
	}
	cr_assert_eq(id, 0xdeadbeef, "untouched on failure");
	cr_assert_eq(spawnd_id_parse(NULL, &id, NULL), -1);
}

Test(url, the_rule)
{
	char url[SPAWND_URL_MAX];
	cr_assert_eq(url_default(url, sizeof url, 1000, "/run/user/x"), 0);
	cr_assert_str_eq(url, "ipc:///run/user/x/spawnd/spawnd.sock");
	cr_assert_eq(url_default(url, sizeof url, 0, NULL), 0);
	cr_assert_str_eq(url, "ipc:///run/spawnd/spawnd.sock");
	cr_assert_eq(url_default(url, sizeof url, 0, "/run/user/0"), 0);
	cr_assert_str_eq(
	    url, "ipc:///run/spawnd/spawnd.sock", "root's own, whatever the variable says");
	cr_assert_eq(url_default(url, sizeof url, 4000000, "relative"), 0);
	cr_assert_str_eq(url, "ipc:///tmp/spawnd-4000000/spawnd.sock");
	cr_assert_eq(url_default(url, sizeof url, 4000000, ""), 0);
	cr_assert_str_eq(url, "ipc:///tmp/spawnd-4000000/spawnd.sock");
	cr_assert_lt(url_default(url, 10, 0, NULL), 0);
	cr_assert_eq(spawnd_default_url(url, 5, &err), -1);
	cr_assert_eq(err.kind, SPAWND_E_ARGUMENT);
}

Test(words, every_number_has_one_and_none_is_null)
{
	for (int number = -2; number < 30; number++) {
		cr_assert(spawnd_error_kind_name(number));
		cr_assert(spawnd_stage_name(number));
		cr_assert(spawnd_exit_kind_name(number));
		cr_assert(spawnd_exit_cause_name(number));
		cr_assert(spawnd_tree_proof_name(number));
		cr_assert(spawnd_climber_name(number));
		cr_assert(spawnd_action_name(number));
		cr_assert(spawnd_scope_name(number));
		cr_assert(spawnd_process_state_name(number));
		cr_assert(spawnd_blocked_name(number));
		cr_assert(spawnd_on_owner_lost_name(number));
	}
	cr_assert_str_eq(spawnd_exit_kind_name(0), "UNRECOGNISED");
	cr_assert_str_eq(spawnd_exit_cause_name(SPAWND_CAUSE_OUTSIDE_SIGNAL), "OUTSIDE_SIGNAL");
	cr_assert_str_eq(spawnd_error_kind_name(SPAWND_E_START_FAILED), "start_failed");
	cr_assert_str_eq(spawnd_stage_name(12), "exec");
	cr_assert_str_eq(ladder_text_signal_name(9), "KILL");
}
