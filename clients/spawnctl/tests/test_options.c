// Command lines: what is read, and what a wrong one is told.
#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "clients/spawnctl/options.h"

static struct options options;
static struct usage_problem problem;

static int parse(enum command_id command, bool operands_are_a_command, const char **argv)
{
	static const char *words[24]; // outlives the call, as a real argv does
	size_t n = 0;

	do {
		cr_assert(lt(sz, n, sizeof words / sizeof words[0]));
		words[n] = argv[n];
	} while (argv[n++]);
	options_init(&options);
	return options_parse(&options, command, operands_are_a_command, words, &problem);
}

#define PARSE(command, is_command, ...)                                                            \
	parse(command, is_command, (const char *[]){__VA_ARGS__, NULL})

Test(options, the_first_operand_of_run_ends_the_options)
{
	cr_assert(eq(int, PARSE(COMMAND_RUN, true, "--name", "n", "ls", "--json", "-l"), 0));
	cr_assert_str_eq(options.name, "n");
	cr_assert(not(options.json));
	cr_assert(eq(sz, options.n_operands, 3));
	cr_assert_str_eq(options.operands[1], "--json");
	cr_assert(eq(ptr, (void *)options.operands[3], NULL));
}

Test(options, two_dashes_end_the_options)
{
	cr_assert(eq(int, PARSE(COMMAND_RUN, true, "--json", "--", "--odd", "x"), 0));
	cr_assert(options.json);
	cr_assert_str_eq(options.operands[0], "--odd");
	cr_assert(eq(sz, options.n_operands, 2));
}

Test(options, options_may_follow_an_id)
{
	cr_assert(eq(int, PARSE(COMMAND_CANCEL, false, "0123", "--rung", "255", "-d", "-w1s"), 0));
	cr_assert(eq(sz, options.n_operands, 1));
	cr_assert(eq(int, options.rung, 255));
	cr_assert(options.delegate);
	cr_assert(options.wait_given);
	cr_assert(eq(u64, options.wait_ms, 1000));
}

Test(options, record_takes_a_file_only_behind_an_equals_sign)
{
	cr_assert(eq(int, PARSE(COMMAND_RUN, true, "--record", "true"), 0));
	cr_assert(options.record);
	cr_assert(eq(ptr, (void *)options.record_path, NULL));
	cr_assert_str_eq(options.operands[0], "true");
	cr_assert(eq(int, PARSE(COMMAND_RUN, true, "--record=f", "true"), 0));
	cr_assert_str_eq(options.record_path, "f");
}

Test(options, reads_the_choices)
{
	cr_assert(eq(int,
	    PARSE(COMMAND_SPAWN, true, "--on-owner-lost", "kill", "--on-leader-exit=keep", "--umask",
	        "027", "--run-time", "1.5s", "--env", "A=1", "-e", "B=", "true"),
	    0));
	cr_assert(eq(int, options.on_owner_lost, SPAWND_OWNER_LOST_KILL));
	cr_assert(eq(int, options.on_leader_exit, SPAWND_LEADER_EXIT_KEEP));
	cr_assert(eq(int, options.umask, 027));
	cr_assert(eq(u64, options.run_ms, 1500));
	cr_assert(eq(sz, options.n_env, 2));
	cr_assert_str_eq(options.env[1], "B=");
	options_clear(&options);
	cr_assert(eq(int, PARSE(COMMAND_SIGNAL, false, "id", "INT", "--scope", "tree"), 0));
	cr_assert(eq(int, options.scope, SPAWND_TREE));
	cr_assert(eq(int, PARSE(COMMAND_AWAIT, false, "id", "--until", "leader-exit"), 0));
	cr_assert(eq(int, options.until, SPAWND_UNTIL_LEADER_EXIT));
	cr_assert(eq(int, PARSE(COMMAND_PS, false, "-s", "ended"), 0));
	cr_assert(eq(int, options.state, SPAWND_STATE_ENDED));
}

Test(options, reads_a_ladder)
{
	cr_assert(eq(int, PARSE(COMMAND_RUN, true, "-l", "INT leader 1s, KILL tree 2s", "true"), 0));
	cr_assert(eq(sz, options.n_rungs, 2));
	cr_assert(eq(int, options.ladder[1].signal, 9));
	cr_assert(eq(u64, options.ladder[0].wait_ms, 1000));
}

static void refuses(int rc, const char *sentence, const char *hint)
{
	cr_assert(eq(int, rc, -EINVAL), "%s", sentence);
	cr_assert(ne(ptr, strstr(problem.sentence, sentence), NULL), "%s", problem.sentence);
	cr_assert(ne(ptr, strstr(problem.hint, hint), NULL), "%s: %s", problem.sentence, problem.hint);
}

Test(options, a_misspelt_option_gets_a_hint)
{
	refuses(PARSE(COMMAND_RUN, true, "--lader", "x"), "\"--lader\"", "did you mean --ladder?");
	refuses(PARSE(COMMAND_RUN, true, "--jsn=1", "x"), "\"--jsn=1\"", "did you mean --json?");
	refuses(PARSE(COMMAND_RUN, true, "-Z", "x"), "\"-Z\"", "");
	refuses(PARSE(COMMAND_RUN, true, "--xyzzyxyzzy"), "\"--xyzzyxyzzy\"", "");
	cr_assert_str_eq(problem.hint, "", "nothing is near");
}

Test(options, an_option_of_another_command_is_refused)
{
	refuses(PARSE(COMMAND_PS, false, "--rung", "2"), "no option \"--rung\"", "");
	refuses(PARSE(COMMAND_SPAWN, true, "--record", "x"), "no option \"--record\"", "");
}

Test(options, wrong_values_are_named_with_what_would_be_right)
{
	refuses(
	    PARSE(COMMAND_CANCEL, false, "--rung", "0"), "--rung cannot be \"0\"", "1 is the first");
	refuses(PARSE(COMMAND_CANCEL, false, "--rung", "256"), "\"256\"", "255 the last");
	refuses(PARSE(COMMAND_CANCEL, false, "--wait", "5"), "\"5\"", "its unit");
	refuses(PARSE(COMMAND_CANCEL, false, "--wait", "25h"), "\"25h\"", "24h");
	refuses(PARSE(COMMAND_RUN, true, "--umask", "8"), "\"8\"", "octal");
	refuses(PARSE(COMMAND_RUN, true, "--umask", "1000"), "\"1000\"", "0777");
	refuses(PARSE(COMMAND_RUN, true, "--env", "=x"), "\"=x\"", "NAME=VALUE");
	refuses(PARSE(COMMAND_RUN, true, "--env", "x"), "\"x\"", "NAME=VALUE");
	refuses(PARSE(COMMAND_RUN, true, "--on-owner-lost", "x"), "\"x\"", "cancel, kill, keep");
	refuses(PARSE(COMMAND_RUN, true, "--run-time", "0"), "\"0\"", "before it began");
	refuses(PARSE(COMMAND_RUN, true, "--record=", "x"), "\"\"", "--record=FILE");
	refuses(PARSE(COMMAND_RUN, true, "--ladder", "INT all 1s"), "--ladder", "all");
	refuses(PARSE(COMMAND_RUN, true, "--name", ""), "\"\"", "empty");
}

Test(options, values_are_wanted_and_unwanted)
{
	refuses(PARSE(COMMAND_RUN, true, "--name"), "--name needs a value, NAME", "");
	refuses(PARSE(COMMAND_RUN, true, "-n"), "--name needs a value, NAME", "");
	refuses(PARSE(COMMAND_RUN, true, "--json=yes"), "--json takes no value", "");
}

Test(options, only_general_options_stand_before_the_command)
{
	const char *argv[] = {"--url", "ipc:///x", "--json", "ps", "--all", NULL};
	const char *early[] = {"--all", "ps", NULL};
	const char **rest;

	options_init(&options);
	cr_assert(eq(int, options_parse_leading(&options, argv, &rest, &problem), 0));
	cr_assert_str_eq(*rest, "ps");
	cr_assert_str_eq(options.url, "ipc:///x");
	cr_assert(options.json);
	cr_assert(eq(int, options_parse_leading(&options, early, &rest, &problem), -EINVAL));
	cr_assert(ne(ptr, strstr(problem.hint, "follow its name"), NULL));
}

Test(options, each_line_of_the_table_is_one_of_its_kind)
{
	for (size_t i = 0; i < n_option_lines; i++)
		for (size_t j = 0; j < i; j++) {
			bool shared = (option_lines[i].commands & option_lines[j].commands) != 0;
			bool alike =
			    option_lines[i].letter != 0 && option_lines[i].letter == option_lines[j].letter;

			cr_assert_str_neq(option_lines[i].name, option_lines[j].name);
			cr_assert(not(shared && alike), "-%c", option_lines[i].letter);
		}
}
