// The command line of spawnd, and the keys of its configuration file: one table, with the words of
// --help. spawnd hands its whole command line to the broker, which reads it again.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_id {
	OPTION_HELP = 0,
	OPTION_VERSION,
	OPTION_CONFIG,
	OPTION_LISTEN,
	OPTION_LOG_FORMAT,
	OPTION_ALLOW_UIDS,
	OPTION_ALLOW_GIDS,
	OPTION_MAX_PROCESSES,
	OPTION_MAX_RECORDS,
	OPTION_MAX_SESSIONS,
	OPTION_MAX_CONNECTIONS,
	OPTION_MAX_PARKED,
	OPTION_MAX_PARKED_SESSION,
	OPTION_MAX_UNRELEASED,
	OPTION_MAX_MESSAGE_BYTES,
	OPTION_RETENTION_MS,
	OPTION_RETENTION_RECORDS,
	OPTION_START_TIMEOUT_MS,
	OPTION_COUNT,
};

enum option_kind {
	OPTION_SWITCH, // stands alone
	OPTION_TEXT,
	OPTION_NUMBER, // min to max
	OPTION_IDS,    // numbers, min to max: separated by commas, in the file a list
};

struct option_row {
	const char *name; // without the dashes; in the file with _ for -
	enum option_kind kind;
	bool in_file;         // may stand in the configuration file
	const char *argument; // what --help calls its value
	uint64_t min, max;
	const char *words; // for --help
};

// Indexed by enum option_id.
extern const struct option_row option_table[OPTION_COUNT];

// By name as on the command line or (file) as in the file. -1: none.
int option_find(const char *name, size_t size, bool file);

// Reads a number in decimal digits alone, within the row's limits. 0 or -ERANGE, -EINVAL.
int option_parse_number(enum option_id id, const char *text, uint64_t *ret_value);

struct option_reader {
	int argc;
	char *const *argv;
	int next; // start with 1
};

// Reads the next option: "--name value", "--name=value". 1: *ret_id and *ret_value (NULL for a
// switch; points into argv); 0: no more; -EINVAL: ret_error gets a sentence.
int option_next(struct option_reader *reader, enum option_id *ret_id, const char **ret_value,
    char *ret_error, size_t error_size);

// Writes the options with their words, one below the other.
void option_print_help(FILE *out);
