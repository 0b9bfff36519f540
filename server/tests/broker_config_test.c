// The configuration: defaults, files good and bad, the command line.
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/broker/config.h"
#include "server/common/options.h"

static char path[] = "/tmp/spawnd-config-XXXXXX";
static char error[1024];
static struct config config;

static void write_file(const char *text)
{
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void clean(void)
{
	unlink(path);
}

static int load(int argc, const char *const *argv)
{
	memset(&config, 0xee, sizeof(config));
	return config_load(argc, (char *const *)(uintptr_t)argv, &config, error, sizeof(error));
}

#define LOAD(...)                                                                                  \
	load((int)(sizeof((const char *[]){"spawnd", __VA_ARGS__}) / sizeof(char *)),                  \
	    (const char *[]){"spawnd", __VA_ARGS__})

static void expect_good(const char *text)
{
	write_file(text);
	int r = LOAD("--config", path, "--listen", "ipc:///tmp/x");
	cr_assert_eq(r, 0, "%s: %s", text, error);
}

static void expect_bad(const char *text, int line, const char *words)
{
	char where[64];
	write_file(text);
	snprintf(where, sizeof(where), "%s:%d: ", path, line);
	cr_assert_eq(LOAD("--config", path), -EINVAL, "%s", text);
	cr_expect_eq(strncmp(error, where, strlen(where)), 0, "%s, not %s", error, where);
	cr_expect(strstr(error, words), "%s: %s", text, error);
	cr_expect_eq((unsigned char)config.listen[0], 0xee, "untouched on failure");
}

Test(config, defaults)
{
	setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
	cr_assert_eq(LOAD("--listen=ipc:///tmp/x"), 0, "%s", error);
	cr_expect_str_eq(config.listen, "ipc:///tmp/x");
	cr_expect_not(config.listen_is_default);
	cr_expect_eq(config.max_parked_session, 16384);
	cr_expect_eq(config.max_unreleased, 16384);
	cr_expect_eq(config.retention_ms, 600000);
	cr_expect_eq(config.retention_records, 65536);
	cr_expect_eq(config.max_message_bytes, 1 << 20);
	cr_expect_eq(config.n_uids, 0);
}

Test(config, default_address)
{
	cr_assert_eq(LOAD("--max-sessions", "7"), 0, "%s", error);
	cr_expect(config.listen_is_default);
	cr_expect_eq(strncmp(config.listen, "ipc:///", 7), 0);
	cr_expect_eq(config.max_sessions, 7);
}

Test(config, a_full_file, .fini = clean)
{
	write_file("# all of it\nlisten: ipc:///run/x/s\nlog_format: json\nallow_uids: [1000, 1001]\n"
	           "allow_gids:\n  - 5\n  - 4294967294\nmax_processes: 10\nmax_records: 20\n"
	           "max_sessions: 30\nmax_connections: 40\nmax_parked: 50\nmax_parked_session: 60\n"
	           "max_unreleased: 70\nmax_message_bytes: 200000\nretention_ms: 80\n"
	           "retention_records: 90\nstart_timeout_ms: 100\n");
	cr_assert_eq(LOAD("--config", path), 0, "%s", error);
	cr_expect_str_eq(config.listen, "ipc:///run/x/s");
	cr_expect(config.log_json);
	cr_expect_eq(config.n_uids, 2);
	cr_expect_eq(config.uids[1], 1001);
	cr_expect_eq(config.n_gids, 2);
	cr_expect_eq(config.gids[1], 4294967294);
	cr_expect_eq(config.max_processes, 10);
	cr_expect_eq(config.max_records, 20);
	cr_expect_eq(config.max_sessions, 30);
	cr_expect_eq(config.max_connections_per_peer, 40);
	cr_expect_eq(config.max_parked, 50);
	cr_expect_eq(config.max_parked_session, 60);
	cr_expect_eq(config.max_unreleased, 70);
	cr_expect_eq(config.max_message_bytes, 200000);
	cr_expect_eq(config.retention_ms, 80);
	cr_expect_eq(config.retention_records, 90);
	cr_expect_eq(config.start_timeout_ms, 100);
}

Test(config, flags_win, .fini = clean)
{
	write_file("listen: ipc:///run/x/s\nmax_parked: 50\nallow_uids: [1, 2, 3]\n");
	cr_assert_eq(
	    LOAD("--listen", "ipc:///tmp/y", "--config", path, "--allow-uids=9", "--max-parked=60"), 0,
	    "%s", error);
	cr_expect_str_eq(config.listen, "ipc:///tmp/y");
	cr_expect_eq(config.max_parked, 60);
	cr_expect_eq(config.n_uids, 1, "a list on the command line takes the place of the file's");
	cr_expect_eq(config.uids[0], 9);
}

Test(config, empty_file, .fini = clean)
{
	expect_good("");
}

Test(config, comments_alone, .fini = clean)
{
	expect_good("# nothing\n---\n# here\n");
}

Test(config, unknown_key, .fini = clean)
{
	expect_bad(
	    "max_parked: 5\nmax_parkd: 5\n", 2, "there is no key \"max_parkd\"; the keys are: listen");
}

Test(config, keys_of_the_command_line_alone, .fini = clean)
{
	expect_bad("config: /x\n", 1, "there is no key \"config\"");
}

Test(config, dash_in_a_key, .fini = clean)
{
	expect_bad("max-parked: 5\n", 1, "there is no key \"max-parked\"");
}

Test(config, key_twice, .fini = clean)
{
	expect_bad("max_parked: 5\nlisten: ipc:///a/b\nmax_parked: 6\n", 3, "given twice");
}

Test(config, not_a_number, .fini = clean)
{
	expect_bad("max_parked: many\n", 1, "must be a number from 1 to 1000000, not \"many\"");
}

Test(config, quoted_number, .fini = clean)
{
	expect_bad("max_parked: \"5\"\n", 1, "without quotes");
}

Test(config, negative, .fini = clean)
{
	expect_bad("\nmax_parked: -5\n", 2, "must be a number");
}

Test(config, too_large, .fini = clean)
{
	expect_bad("max_parked: 99999999999999999999999\n", 1, "must be a number");
}

Test(config, list_for_number, .fini = clean)
{
	expect_bad("max_parked: [5]\n", 1, "\"max_parked\" must be a number");
}

Test(config, number_for_list, .fini = clean)
{
	expect_bad("allow_uids: 5\n", 1, "\"allow_uids\" must be a list of numbers");
}

Test(config, mapping_for_text, .fini = clean)
{
	expect_bad("listen: {a: b}\n", 1, "\"listen\" must be text");
}

Test(config, list_in_list, .fini = clean)
{
	expect_bad("allow_uids:\n  - 1\n  - [2]\n", 3, "must be a list of numbers");
}

Test(config, alias, .fini = clean)
{
	expect_bad("max_parked: &a 5\nmax_sessions: *a\n", 2, "must be a number");
}

Test(config, no_user, .fini = clean)
{
	expect_bad("allow_uids: [4294967295]\n", 1, "from 0 to 4294967294");
}

Test(config, too_many_users, .fini = clean)
{
	char text[1024] = "allow_uids: [0";
	for (int i = 0; i < 64; i++)
		strcat(text, ", 1");
	expect_bad(strcat(text, "]\n"), 1, "more than 64");
}

Test(config, remote_address, .fini = clean)
{
	expect_bad("listen: tcp://0.0.0.0:99\n", 1, "comes later");
}

Test(config, bad_log_format, .fini = clean)
{
	expect_bad("log_format: xml\n", 1, "text or json");
}

Test(config, not_yaml, .fini = clean)
{
	expect_bad("max_parked: 5\nallow_uids: [1\n", 3, "not YAML");
}

Test(config, not_a_mapping, .fini = clean)
{
	expect_bad("- a\n- b\n", 1, "key: value");
}

Test(config, second_document, .fini = clean)
{
	expect_bad("max_parked: 5\n---\nmax_parked: 6\n", 2, "second document");
}

Test(config, missing_file)
{
	cr_expect_eq(LOAD("--config", "/nonexistent/x.yaml"), -ENOENT);
	cr_expect(strstr(error, "/nonexistent/x.yaml"));
}

Test(config, command_line_faults)
{
	static const struct {
		const char *argument, *value, *words;
	} faults[] = {
	    {"--nonsense", "1", "there is no option --nonsense"},
	    {"stray", "x", "\"stray\" is not an option"},
	    {"--", "x", "not an option"},
	    {"--max-parked", "x", "on the command line: max-parked must be a number"},
	    {"--max-parked", "", "must be a number"},
	    {"--max_parked", "5", "there is no option --max_parked"},
	    {"--allow-uids", "1,,2", "must be a number"},
	    {"--allow-uids", "1,", "must be a number"},
	    {"--allow-uids", "", "must be a number"},
	    {"--listen", "tcp://x", "comes later"},
	    {"--log-format", "xml", "text or json"},
	    {"--help=yes", "--help", "takes no value"},
	};
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		cr_expect_lt(LOAD(faults[i].argument, faults[i].value), 0, "%s %s", faults[i].argument,
		    faults[i].value);
		cr_expect(strstr(error, faults[i].words), "%s: %s", faults[i].argument, error);
	}
	cr_expect_eq(LOAD("--listen"), -EINVAL);
	cr_expect(strstr(error, "needs a value: URL"), "%s", error);
}

Test(config, what_the_root_gets)
{
	struct link_config message;
	memset(&message, 0xff, sizeof(message));
	cr_assert_eq(LOAD("--allow-uids", "5,6", "--max-processes", "3"), 0);
	config_to_link(&config, &message);
	cr_expect_eq(message.header.kind, LINK_CONFIG);
	cr_expect_eq(message.version, LINK_VERSION);
	cr_expect_eq(message.max_processes, 3);
	cr_expect_eq(message.n_uids, 2);
	cr_expect_eq(message.uids[1], 6);
	cr_expect_eq(message.uids[63], 0);
	cr_expect_eq(message.n_gids, 0);
}

Test(config, every_option_has_words)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		cr_expect(option_table[i].name && option_table[i].words);
		cr_expect_eq(option_table[i].argument == NULL, option_table[i].kind == OPTION_SWITCH);
		cr_expect_eq(
		    option_find(option_table[i].name, strlen(option_table[i].name), false), (int)i);
	}
}
