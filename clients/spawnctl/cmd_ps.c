// spawnctl ps: lists processes.
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "clients/spawnctl/commands.h"
#include "clients/spawnctl/connect.h"
#include "clients/spawnctl/duration.h"
#include "clients/spawnctl/exit_codes.h"
#include "clients/spawnctl/failure.h"
#include "clients/spawnctl/json_line.h"
#include "clients/spawnctl/plain_text.h"
#include "clients/spawnctl/record_json.h"
#include "clients/spawnctl/record_text.h"

struct listing {
	const struct options *options;
	bool failed; // standard output
};

static void print_state(const struct spawnd_process_info *info)
{
	char state[32], *at;

	snprintf(state, sizeof state, "%s", spawnd_process_state_name(info->state));
	for (at = state; *at; at++)
		*at = *at == '_' ? '-' : (char)tolower((unsigned char)*at);
	printf("%-13s ", state);
}

static void print_row(const struct spawnd_process_info *info)
{
	char age[32], end[256] = "", *name, *command;

	duration_format_short(info->age_ms, age, sizeof age);
	name = plain_text_escape(info->name, 1);
	command = plain_text_join(info->argv, info->n_argv);
	if (info->exit)
		record_text_format(info->exit, NULL, end, sizeof end);
	printf("%016" PRIx64 "  %-12s ", info->process.id, name && *name ? name : "-");
	print_state(info);
	printf("%8" PRIu32 "  %9s  %" PRIu32 "/%-2zu  %s%s%s\n", info->process.pid, age,
	    info->rung_reached, info->n_rungs, command ? command : "?", info->exit ? "  -- " : "", end);
	free(name);
	free(command);
}

static int list_one(void *user, const struct spawnd_process_info *info)
{
	struct listing *listing = user;
	const struct options *options = listing->options;

	if (info->state == SPAWND_STATE_ENDED && !options->all && options->state == 0)
		return 0;
	if (options->json)
		listing->failed = json_line_write(stdout, record_json_process(info)) < 0;
	else
		print_row(info);
	return listing->failed;
}

int cmd_ps(const struct options *options)
{
	struct listing listing = {.options = options};
	struct spawnd_list_filter filter = {
	    .size = sizeof filter, .state = options->state, .name = options->name};
	struct spawnd_error err;
	spawnd_client *client;
	int code = connect_client(options, &client);

	if (code != 0)
		return code;
	if (!options->json)
		printf("%-16s  %-12s %-13s %8s  %9s  %-4s  %s\n", "ID", "NAME", "STATE", "PID", "AGE",
		    "RUNG", "COMMAND");
	if (spawnd_list(client, &filter, list_one, &listing, &err) < 0)
		code = failure_tell(options, NULL, &err);
	else if (listing.failed)
		code = failure_tell_own(options, "standard output could not be written");
	spawnd_close(client);
	return code;
}
