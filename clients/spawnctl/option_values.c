// The values of options: conversions, and hints for misspelt words.
#include "clients/spawnctl/option_values.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/spawnctl/duration.h"

enum { word_max = 32 };

// How many letters must be changed, added or left out to make b of a. Both at most word_max long.
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[word_max + 1];
	size_t a_length = strlen(a), b_length = strlen(b);

	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_length];
}

const char *option_values_nearest(
    const char *misspelt, const char *(*word)(const void *table, size_t i), const void *table)
{
	const char *nearest = NULL, *candidate;
	size_t least = strlen(misspelt) / 2 + 1; // more than half of it wrong is another word

	if (strlen(misspelt) > word_max)
		return NULL;
	for (size_t i = 0; (candidate = word(table, i)) != NULL; i++) {
		size_t distance;

		if (strlen(candidate) > word_max)
			continue;
		distance = edit_distance(misspelt, candidate);
		if (distance < least) {
			least = distance;
			nearest = candidate;
		}
	}
	return nearest;
}

static int say_wrong(struct usage_problem *problem, const struct option_line *line,
    const char *value, const char *hint)
{
	snprintf(problem->sentence, sizeof problem->sentence, "--%s cannot be \"%.100s\"", line->name,
	    value);
	snprintf(problem->hint, sizeof problem->hint, "%s", hint);
	return -EINVAL;
}

// Finds value among the line's words; *ret is its place, counted from 0.
static int store_word(
    const struct option_line *line, const char *value, int *ret, struct usage_problem *problem)
{
	char hint[sizeof problem->hint] = "it is one of";

	for (int i = 0; line->words[i]; i++) {
		size_t length = strlen(hint);

		if (strcmp(value, line->words[i]) == 0) {
			*ret = i;
			return 0;
		}
		snprintf(hint + length, sizeof hint - length, "%s %s", i > 0 ? "," : "", line->words[i]);
	}
	return say_wrong(problem, line, value, hint);
}

static int store_duration(const struct option_line *line, const char *value, uint64_t *ret_ms,
    struct usage_problem *problem)
{
	switch (duration_parse(value, ret_ms)) {
	case 0:
		return 0;
	case -ERANGE:
		return say_wrong(problem, line, value, "24h is the longest; or forever");
	default:
		return say_wrong(
		    problem, line, value, "write a number and its unit: 250ms, 1.5s, 2m, 1h; or forever");
	}
}

static int store_run_time(struct options *options, const struct option_line *line,
    const char *value, struct usage_problem *problem)
{
	uint64_t run_ms = 0;
	int rc = store_duration(line, value, &run_ms, problem);

	if (rc < 0)
		return rc;
	if (run_ms == 0)
		return say_wrong(problem, line, value, "it would be cancelled before it began");
	options->run_ms = run_ms == SPAWND_FOREVER ? 0 : run_ms;
	return 0;
}

static int store_number(const struct option_line *line, const char *value, int base, long lowest,
    long highest, const char *hint, int *ret, struct usage_problem *problem)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(value, &end, base);
	if (*value < '0' || *value > '9' || *end != '\0' || errno != 0 || number < lowest ||
	    number > highest)
		return say_wrong(problem, line, value, hint);
	*ret = (int)number;
	return 0;
}

static int store_env(struct options *options, const struct option_line *line, const char *value,
    struct usage_problem *problem)
{
	const char **grown;

	if (!strchr(value, '=') || value[0] == '=')
		return say_wrong(problem, line, value, "write NAME=VALUE; VALUE may be empty");
	grown = realloc(options->env, (options->n_env + 1) * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	options->env = grown;
	options->env[options->n_env++] = value;
	return 0;
}

static int store_ladder(struct options *options, const struct option_line *line, const char *value,
    struct usage_problem *problem)
{
	struct spawnd_error err;

	if (spawnd_ladder_parse(value, options->ladder, &options->n_rungs, &err) < 0)
		return say_wrong(problem, line, value, err.message);
	return 0;
}

// The options whose values are one of a few words.
static int store_choice(struct options *options, const struct option_line *line, const char *value,
    struct usage_problem *problem)
{
	int place = 0;
	int rc = store_word(line, value, &place, problem);

	if (rc < 0)
		return rc;
	switch (line->id) {
	case OPTION_ON_OWNER_LOST:
		options->on_owner_lost = SPAWND_OWNER_LOST_CANCEL + place;
		break;
	case OPTION_ON_LEADER_EXIT:
		options->on_leader_exit = SPAWND_LEADER_EXIT_CANCEL_TREE + place;
		break;
	case OPTION_SCOPE:
		options->scope = SPAWND_LEADER + place;
		break;
	case OPTION_UNTIL:
		options->until = SPAWND_UNTIL_TREE_EMPTY + place;
		break;
	default:
		options->state = SPAWND_STATE_STARTING + place;
		break;
	}
	return 0;
}

static void store_flag(struct options *options, enum option_id id)
{
	switch (id) {
	case OPTION_HELP:
		options->help = true;
		break;
	case OPTION_VERSION:
		options->version = true;
		break;
	case OPTION_JSON:
		options->json = true;
		break;
	case OPTION_QUIET:
		options->quiet = true;
		break;
	case OPTION_CLEAR_ENV:
		options->clear_env = true;
		break;
	case OPTION_KEEP_RECORD:
		options->keep_record = true;
		break;
	case OPTION_DELEGATE:
		options->delegate = true;
		break;
	default:
		options->all = true;
		break;
	}
}

static const char **text_field(struct options *options, enum option_id id)
{
	switch (id) {
	case OPTION_URL:
		return &options->url;
	case OPTION_NAME:
		return &options->name;
	case OPTION_CWD:
		return &options->cwd;
	case OPTION_STDOUT:
		return &options->stdout_path;
	case OPTION_STDERR:
		return &options->stderr_path;
	default:
		return NULL;
	}
}

static int store_text(struct options *options, const struct option_line *line, const char *value,
    struct usage_problem *problem)
{
	const char **field = text_field(options, line->id);

	if (*value == '\0')
		return say_wrong(problem, line, value, "it may not be empty");
	*field = value;
	return 0;
}

int option_values_store(struct options *options, const struct option_line *line, const char *value,
    struct usage_problem *ret_problem)
{
	if (line->words)
		return store_choice(options, line, value, ret_problem);
	if (!line->value) {
		store_flag(options, line->id);
		return 0;
	}
	switch (line->id) {
	case OPTION_LADDER:
		return store_ladder(options, line, value, ret_problem);
	case OPTION_ENV:
		return store_env(options, line, value, ret_problem);
	case OPTION_RUN_TIME:
		return store_run_time(options, line, value, ret_problem);
	case OPTION_UMASK:
		return store_number(
		    line, value, 8, 0, 0777, "write it in octal, 0 to 0777", &options->umask, ret_problem);
	case OPTION_RUNG:
		return store_number(line, value, 10, 1, SPAWND_RUNG_LAST,
		    "1 is the first rung, 255 the last", &options->rung, ret_problem);
	case OPTION_WAIT:
		options->wait_given = true;
		return store_duration(line, value, &options->wait_ms, ret_problem);
	case OPTION_TIMEOUT:
		return store_duration(line, value, &options->timeout_ms, ret_problem);
	case OPTION_RECORD:
		options->record = true;
		options->record_path = value;
		return value && *value == '\0'
		           ? say_wrong(ret_problem, line, value, "write --record or --record=FILE")
		           : 0;
	default:
		return store_text(options, line, value, ret_problem);
	}
}
