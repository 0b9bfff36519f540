// What was asked for on the command line: one table of options, and its reading.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spawnd/client.h>

enum command_id {
	COMMAND_NONE = 0,
	COMMAND_RUN = 1 << 0,
	COMMAND_SPAWN = 1 << 1,
	COMMAND_AWAIT = 1 << 2,
	COMMAND_CANCEL = 1 << 3,
	COMMAND_STOP = 1 << 4,
	COMMAND_SIGNAL = 1 << 5,
	COMMAND_RELEASE = 1 << 6,
	COMMAND_PS = 1 << 7,
	COMMAND_INFO = 1 << 8,
	COMMAND_EVERY = (1 << 9) - 1,
};

enum option_id {
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_URL,
	OPTION_JSON,
	OPTION_QUIET,
	OPTION_LADDER,
	OPTION_NAME,
	OPTION_CWD,
	OPTION_ENV,
	OPTION_CLEAR_ENV,
	OPTION_RUN_TIME,
	OPTION_ON_OWNER_LOST,
	OPTION_ON_LEADER_EXIT,
	OPTION_UMASK,
	OPTION_RECORD,
	OPTION_KEEP_RECORD,
	OPTION_STDOUT,
	OPTION_STDERR,
	OPTION_RUNG,
	OPTION_WAIT,
	OPTION_DELEGATE,
	OPTION_SCOPE,
	OPTION_UNTIL,
	OPTION_TIMEOUT,
	OPTION_STATE,
	OPTION_ALL,
};

// One line of the table. Help, parsing, hints and shell completion all read it.
struct option_line {
	enum option_id id;
	char letter;              // short form; 0: none
	const char *name;         // long form, without dashes
	const char *value;        // what the value is called; NULL: takes none
	bool value_optional;      // only as --name=VALUE
	unsigned commands;        // enum command_id bits: who takes it
	const char *const *words; // the only values there are, NULL-terminated; NULL: any
	const char *help;
};

extern const struct option_line option_lines[];
extern const size_t n_option_lines;

// What was read. Strings are borrowed from argv.
struct options {
	enum command_id command;
	bool help, version;
	const char *url;
	bool json, quiet;

	struct spawnd_rung ladder[SPAWND_RUNGS_MAX];
	size_t n_rungs; // 0: none given
	const char *name, *cwd;
	const char **env; // NAME=value each, in the order given; owned
	size_t n_env;
	bool clear_env;
	uint64_t run_ms;
	int on_owner_lost;  // enum spawnd_on_owner_lost; -1: not given
	int on_leader_exit; // enum spawnd_on_leader_exit
	int umask;          // -1: not given
	bool record, keep_record;
	const char *record_path; // NULL: standard error
	const char *stdout_path, *stderr_path;

	int rung;
	uint64_t wait_ms;
	bool wait_given, delegate;
	int scope; // enum spawnd_scope
	int until; // enum spawnd_until
	uint64_t timeout_ms;
	int state; // enum spawnd_process_state; 0: any
	bool all;

	const char **operands; // NULL-terminated, within argv
	size_t n_operands;
};

// Why a command line is wrong, in a sentence, and what to do about it.
struct usage_problem {
	char sentence[256];
	char hint[256]; // may be empty
};

// Fills in the defaults. options_clear frees what parsing allocated.
void options_init(struct options *options);
void options_clear(struct options *options);

// Reads the options of one command from argv (NULL-terminated, without the command's own name).
// Where operands_are_a_command, the first operand ends the options, as with env and timeout.
// Returns 0, or -EINVAL with *ret_problem filled in, or -ENOMEM. Errors of the ladder's text come
// from the library.
int options_parse(struct options *options, enum command_id command, bool operands_are_a_command,
    const char **argv, struct usage_problem *ret_problem);

// Reads options that stand before the command's name; *ret_rest is the first word that is none.
int options_parse_leading(struct options *options, const char **argv, const char ***ret_rest,
    struct usage_problem *ret_problem);
