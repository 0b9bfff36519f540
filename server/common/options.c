// The command line of spawnd, and the keys of its configuration file: one table.
#include "server/common/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_COLUMN 32

const struct option_row option_table[OPTION_COUNT] = {
    [OPTION_HELP] = {"help", OPTION_SWITCH, .words = "print this and exit"},
    [OPTION_VERSION] = {"version", OPTION_SWITCH, .words = "print the version and exit"},
    [OPTION_CONFIG] = {"config", OPTION_TEXT, .argument = "FILE",
        .words = "read this configuration file (default: /etc/spawnd/spawnd.yaml for root,\n"
                 "else $XDG_CONFIG_HOME/spawnd/spawnd.yaml or ~/.config/spawnd/spawnd.yaml,\n"
                 "where it exists)"},
    [OPTION_LISTEN] = {"listen", OPTION_TEXT, true, "URL",
        .words = "serve clients at ipc:///absolute/path (default: /run/spawnd/spawnd.sock\n"
                 "for root, else $XDG_RUNTIME_DIR/spawnd/spawnd.sock)"},
    [OPTION_LOG_FORMAT] = {"log-format", OPTION_TEXT, true, "FORMAT",
        .words = "write the log, on standard error, as text (default) or json"},
    [OPTION_ALLOW_UIDS] = {"allow-uids", OPTION_IDS, true, "UID,...", 0, UINT32_MAX - 1,
        "users that a launch may name, besides the server's own"},
    [OPTION_ALLOW_GIDS] = {"allow-gids", OPTION_IDS, true, "GID,...", 0, UINT32_MAX - 1,
        "groups that a launch may name, besides the server's own"},
    [OPTION_MAX_PROCESSES] = {"max-processes", OPTION_NUMBER, true, "N", 0, 1000000,
        "processes that live at once (default 0: as many as descriptors allow)"},
    [OPTION_MAX_RECORDS] = {"max-records", OPTION_NUMBER, true, "N", 16, 4000000,
        "processes and records of ended ones in all (default 131072)"},
    [OPTION_MAX_SESSIONS] = {"max-sessions", OPTION_NUMBER, true, "N", 1, 65536,
        "sessions that are open at once (default 4096)"},
    [OPTION_MAX_CONNECTIONS] = {"max-connections", OPTION_NUMBER, true, "N", 1, 1000000,
        "connections of one user at once (default 1024)"},
    [OPTION_MAX_PARKED] = {"max-parked", OPTION_NUMBER, true, "N", 1, 1000000,
        "calls that wait at once, in the whole server (default 65536)"},
    [OPTION_MAX_PARKED_SESSION] = {"max-parked-session", OPTION_NUMBER, true, "N", 1, 1000000,
        "calls that wait at once, in a session (default 16384)"},
    [OPTION_MAX_UNRELEASED] = {"max-unreleased", OPTION_NUMBER, true, "N", 1, 1000000,
        "processes and unreleased records of a session (default 16384)"},
    [OPTION_MAX_MESSAGE_BYTES] = {"max-message-bytes", OPTION_NUMBER, true, "N", 131072, 16777216,
        "size of a message (default 1048576)"},
    [OPTION_RETENTION_MS] = {"retention-ms", OPTION_NUMBER, true, "MS", 0, 86400000,
        "how long records outlive their session (default 600000)"},
    [OPTION_RETENTION_RECORDS] = {"retention-records", OPTION_NUMBER, true, "N", 0, 1000000,
        "how many records of a user outlive their sessions (default 65536)"},
    [OPTION_START_TIMEOUT_MS] = {"start-timeout-ms", OPTION_NUMBER, true, "MS", 100, 600000,
        "a start that takes longer fails (default 10000)"},
};

static bool equals(const char *name, const char *given, size_t size, bool file)
{
	if (strlen(name) != size)
		return false;
	for (size_t i = 0; i < size; i++) {
		char expected = file && name[i] == '-' ? '_' : name[i];
		if (given[i] != expected)
			return false;
	}
	return true;
}

int option_find(const char *name, size_t size, bool file)
{
	for (int i = 0; i < OPTION_COUNT; i++)
		if ((!file || option_table[i].in_file) && equals(option_table[i].name, name, size, file))
			return i;
	return -1;
}

int option_parse_number(enum option_id id, const char *text, uint64_t *ret_value)
{
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || text[digits] != '\0')
		return -EINVAL;
	if (digits > 18)
		return -ERANGE;
	uint64_t value = strtoull(text, NULL, 10);
	if (value < option_table[id].min || value > option_table[id].max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int option_next(struct option_reader *reader, enum option_id *ret_id, const char **ret_value,
    char *ret_error, size_t error_size)
{
	if (reader->next >= reader->argc)
		return 0;
	const char *argument = reader->argv[reader->next];
	if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0') {
		snprintf(ret_error, error_size, "\"%s\" is not an option: see --help", argument);
		return -EINVAL;
	}
	const char *name = argument + 2;
	size_t size = strcspn(name, "=");
	const char *value = name[size] == '=' ? name + size + 1 : NULL;
	int id = option_find(name, size, false);
	if (id < 0) {
		snprintf(ret_error, error_size, "there is no option --%.*s: see --help", (int)size, name);
		return -EINVAL;
	}
	if (option_table[id].kind == OPTION_SWITCH && value) {
		snprintf(ret_error, error_size, "--%.*s takes no value", (int)size, name);
		return -EINVAL;
	}
	if (option_table[id].kind != OPTION_SWITCH && !value) {
		if (++reader->next >= reader->argc) {
			snprintf(
			    ret_error, error_size, "--%s needs a value: %s", name, option_table[id].argument);
			return -EINVAL;
		}
		value = reader->argv[reader->next];
	}
	reader->next++;
	*ret_id = (enum option_id)id;
	*ret_value = value;
	return 1;
}

void option_print_help(FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &option_table[i];
		int column = fprintf(out, "  --%s%s%s", row->name, row->argument ? " " : "",
		    row->argument ? row->argument : "");
		for (const char *words = row->words; *words;) {
			int size = (int)strcspn(words, "\n");
			fprintf(
			    out, "%*s%.*s\n", column < NAME_COLUMN ? NAME_COLUMN - column : 1, "", size, words);
			column = 0;
			words += size;
			words += *words == '\n';
		}
	}
}
