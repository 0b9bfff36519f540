// The one table of options, and the reading of a command line by it.
#include "clients/spawnctl/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/spawnctl/option_values.h"

enum {
	starters = COMMAND_RUN | COMMAND_SPAWN,
	live_tellers = COMMAND_RUN | COMMAND_STOP,
};

static const char *const owner_lost_words[] = {"cancel", "kill", "keep", NULL};
static const char *const leader_exit_words[] = {"cancel-tree", "keep", NULL};
static const char *const scope_words[] = {"leader", "group", "tree", NULL};
static const char *const until_words[] = {"tree-empty", "leader-exit", NULL};
static const char *const state_words[] = {
    "starting", "running", "cancelling", "leader-exited", "ended", NULL};

const struct option_line option_lines[] = {
    {OPTION_URL, 0, "url", "URL", false, COMMAND_EVERY, NULL,
        "the server's address; without it SPAWND_URL, else the user's own server"},
    {OPTION_JSON, 0, "json", NULL, false, COMMAND_EVERY, NULL,
        "write JSON, one object a line, named as in the protocol"},
    {OPTION_LADDER, 'l', "ladder", "RUNGS", false, starters, NULL,
        "how it is cancelled; 'INT leader 5s, TERM tree 2s, KILL tree 2s' without it"},
    {OPTION_NAME, 'n', "name", "NAME", false, starters | COMMAND_PS, NULL,
        "a name that no other live process of this user has; ps: only this name"},
    {OPTION_CWD, 'C', "cwd", "DIRECTORY", false, starters, NULL,
        "its working directory; without it the current one"},
    {OPTION_ENV, 'e', "env", "NAME=VALUE", false, starters, NULL,
        "one more variable of its environment; may be repeated"},
    {OPTION_CLEAR_ENV, 0, "clear-env", NULL, false, starters, NULL,
        "leave out the current environment: only what --env says"},
    {OPTION_RUN_TIME, 't', "run-time", "TIME", false, starters, NULL,
        "the server cancels it after so long, for example 90s"},
    {OPTION_ON_OWNER_LOST, 0, "on-owner-lost", "WHAT", false, starters, owner_lost_words,
        "what becomes of it when spawnctl is gone; run: cancel, spawn: keep"},
    {OPTION_ON_LEADER_EXIT, 0, "on-leader-exit", "WHAT", false, starters, leader_exit_words,
        "what becomes of its descendants when it has exited; cancel-tree without it"},
    {OPTION_UMASK, 0, "umask", "MODE", false, starters, NULL,
        "its file mode creation mask in octal; without it the current one"},
    {OPTION_RECORD, 'r', "record", "FILE", true, COMMAND_RUN, NULL,
        "write the exit record to standard error, or as JSON into FILE"},
    {OPTION_KEEP_RECORD, 0, "keep-record", NULL, false, COMMAND_RUN, NULL,
        "leave the record on the server, for await and ps"},
    {OPTION_STDOUT, 'o', "stdout", "FILE", false, COMMAND_SPAWN, NULL,
        "append its standard output to FILE; without it /dev/null"},
    {OPTION_STDERR, 'E', "stderr", "FILE", false, COMMAND_SPAWN, NULL,
        "append its standard error to FILE; may be the same file"},
    {OPTION_UNTIL, 0, "until", "FACT", false, COMMAND_AWAIT, until_words,
        "what is awaited; tree-empty without it"},
    {OPTION_TIMEOUT, 't', "timeout", "TIME", false, COMMAND_AWAIT, NULL,
        "how long to wait; forever without it, 0 asks once"},
    {OPTION_RUNG, 0, "rung", "N", false, COMMAND_CANCEL, NULL,
        "climb to this rung: 1 (without it) is the first, 255 the last"},
    {OPTION_WAIT, 'w', "wait", "TIME", false, COMMAND_CANCEL, NULL,
        "how long the rung may take; without it as its ladder says"},
    {OPTION_DELEGATE, 'd', "delegate", NULL, false, COMMAND_CANCEL, NULL,
        "leave the rest of the climb to the server"},
    {OPTION_SCOPE, 0, "scope", "SCOPE", false, COMMAND_SIGNAL, scope_words,
        "whom the signal reaches; leader without it"},
    {OPTION_STATE, 's', "state", "STATE", false, COMMAND_PS, state_words,
        "only processes in this state"},
    {OPTION_ALL, 'a', "all", NULL, false, COMMAND_PS, NULL, "also those that have ended"},
    {OPTION_QUIET, 'q', "quiet", NULL, false, live_tellers, NULL,
        "do not show the climb on standard error"},
    {OPTION_HELP, 'h', "help", NULL, false, COMMAND_EVERY, NULL, "show this help and exit"},
    {OPTION_VERSION, 'V', "version", NULL, false, COMMAND_EVERY, NULL, "show the version and exit"},
};
const size_t n_option_lines = sizeof option_lines / sizeof option_lines[0];

// Where the reading of argv stands.
struct reader {
	struct options *options;
	unsigned commands; // a line must have one of these bits
	const char **at;
	struct usage_problem *problem;
};

void options_init(struct options *options)
{
	*options = (struct options){
	    .on_owner_lost = -1,
	    .umask = -1,
	    .rung = 1,
	    .scope = SPAWND_LEADER,
	    .timeout_ms = SPAWND_FOREVER,
	};
}

void options_clear(struct options *options)
{
	free(options->env);
	options->env = NULL;
	options->n_env = 0;
}

static const struct option_line *find_long(
    const struct reader *reader, const char *name, size_t length)
{
	for (size_t i = 0; i < n_option_lines; i++)
		if ((option_lines[i].commands & reader->commands) != 0 &&
		    strlen(option_lines[i].name) == length &&
		    memcmp(option_lines[i].name, name, length) == 0)
			return &option_lines[i];
	return NULL;
}

static const struct option_line *find_letter(const struct reader *reader, char letter)
{
	for (size_t i = 0; i < n_option_lines; i++)
		if ((option_lines[i].commands & reader->commands) != 0 && option_lines[i].letter == letter)
			return &option_lines[i];
	return NULL;
}

// The name of the i-th line that the reader's command takes.
static const char *name_of_line(const void *table, size_t i)
{
	const struct reader *reader = table;

	for (size_t line = 0; line < n_option_lines; line++)
		if ((option_lines[line].commands & reader->commands) != 0 && i-- == 0)
			return option_lines[line].name;
	return NULL;
}

static int say_unknown(const struct reader *reader, const char *word)
{
	char name[64];
	const char *nearest;

	snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
	snprintf(reader->problem->sentence, sizeof reader->problem->sentence,
	    "there is no option \"%.64s\" here", word);
	nearest = word[1] == '-' ? option_values_nearest(name, name_of_line, reader) : NULL;
	if (nearest)
		snprintf(
		    reader->problem->hint, sizeof reader->problem->hint, "did you mean --%s?", nearest);
	return -EINVAL;
}

static int say_value_missing(const struct reader *reader, const struct option_line *line)
{
	snprintf(reader->problem->sentence, sizeof reader->problem->sentence, "--%s needs a value, %s",
	    line->name, line->value);
	return -EINVAL;
}

static int read_long(struct reader *reader, const char *word)
{
	size_t length = strcspn(word + 2, "=");
	const struct option_line *line = find_long(reader, word + 2, length);
	const char *value = word[2 + length] == '=' ? word + 2 + length + 1 : NULL;

	if (!line)
		return say_unknown(reader, word);
	if (!line->value && value) {
		snprintf(reader->problem->sentence, sizeof reader->problem->sentence, "--%s takes no value",
		    line->name);
		return -EINVAL;
	}
	reader->at++;
	if (line->value && !value && !line->value_optional) {
		value = *reader->at;
		if (!value)
			return say_value_missing(reader, line);
		reader->at++;
	}
	return option_values_store(reader->options, line, value, reader->problem);
}

// Reads "-x", "-xy" (y as the value of x, or as the next letter) or "-x y".
static int read_letters(struct reader *reader, const char *word)
{
	reader->at++;
	for (const char *letter = word + 1; *letter; letter++) {
		const struct option_line *line = find_letter(reader, *letter);
		const char *value = NULL;
		int rc;

		if (!line)
			return say_unknown(reader, word);
		if (line->value && !line->value_optional) {
			value = letter[1] != '\0' ? letter + 1 : *reader->at;
			if (!value)
				return say_value_missing(reader, line);
			if (letter[1] == '\0')
				reader->at++;
		}
		rc = option_values_store(reader->options, line, value, reader->problem);
		if (rc < 0 || value)
			return rc;
	}
	return 0;
}

static int read_option(struct reader *reader)
{
	const char *word = *reader->at;

	return word[1] == '-' ? read_long(reader, word) : read_letters(reader, word);
}

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0';
}

int options_parse_leading(struct options *options, const char **argv, const char ***ret_rest,
    struct usage_problem *ret_problem)
{
	struct reader reader = {options, COMMAND_EVERY, argv, ret_problem};

	*ret_problem = (struct usage_problem){.sentence = "", .hint = ""};
	while (*reader.at && is_option(*reader.at)) {
		const char *word = *reader.at;
		const struct option_line *line = word[1] == '-'
		                                     ? find_long(&reader, word + 2, strcspn(word + 2, "="))
		                                     : find_letter(&reader, word[1]);
		int rc;

		if (!line || line->commands != COMMAND_EVERY) {
			snprintf(ret_problem->sentence, sizeof ret_problem->sentence,
			    "\"%.64s\" cannot stand before the command", word);
			snprintf(ret_problem->hint, sizeof ret_problem->hint,
			    "options of a command follow its name");
			return -EINVAL;
		}
		rc = read_option(&reader);
		if (rc < 0)
			return rc;
	}
	*ret_rest = reader.at;
	return 0;
}

int options_parse(struct options *options, enum command_id command, bool operands_are_a_command,
    const char **argv, struct usage_problem *ret_problem)
{
	struct reader reader = {options, command, argv, ret_problem};
	const char **operands = argv; // written from behind the reader: never ahead of it

	*ret_problem = (struct usage_problem){.sentence = "", .hint = ""};
	options->command = command;
	options->operands = argv;
	options->n_operands = 0;
	while (*reader.at) {
		const char *word = *reader.at;

		if (strcmp(word, "--") == 0) {
			reader.at++;
			break;
		}
		if (is_option(word)) {
			int rc = read_option(&reader);

			if (rc < 0)
				return rc;
		} else if (operands_are_a_command) {
			break;
		} else {
			operands[options->n_operands++] = word;
			reader.at++;
		}
	}
	while (*reader.at)
		operands[options->n_operands++] = *reader.at++;
	operands[options->n_operands] = NULL;
	return 0;
}
