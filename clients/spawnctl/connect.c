// The way to the server that the command line names.
#include "clients/spawnctl/connect.h"

#include <stdio.h>

#include "clients/spawnctl/failure.h"

int connect_client(const struct options *options, spawnd_client **ret_client)
{
	struct spawnd_connect_options connect = SPAWND_CONNECT_OPTIONS_INIT;
	struct spawnd_error err;

	connect.url = options->url;
	connect.name = "spawnctl";
	if (spawnd_connect(&connect, ret_client, &err) < 0)
		return failure_tell(options, NULL, &err);
	return 0;
}

int connect_operand(const struct options *options, struct spawnd_process *ret_process)
{
	struct usage_problem problem = {.sentence = "", .hint = ""};
	struct spawnd_process process = {0};

	if (spawnd_id_parse(options->operands[0], &process.id, NULL) < 0) {
		snprintf(problem.sentence, sizeof problem.sentence, "\"%.64s\" is not a process id",
		    options->operands[0]);
		snprintf(problem.hint, sizeof problem.hint,
		    "an id is the 16 hexadecimal digits that spawn prints and ps lists");
		return failure_tell_usage(options->command, &problem);
	}
	*ret_process = process;
	return 0;
}
