// spawnctl signal: sends one signal, outside the ladder.
#include <inttypes.h>
#include <stdio.h>

#include "clients/spawnctl/commands.h"
#include "clients/spawnctl/connect.h"
#include "clients/spawnctl/exit_codes.h"
#include "clients/spawnctl/failure.h"
#include "clients/spawnctl/json_line.h"
#include "clients/spawnctl/signal_names.h"

static int parse_signal(const struct options *options, int *ret_signal)
{
	struct usage_problem problem = {.sentence = "", .hint = ""};

	if (signal_names_parse(options->operands[1], ret_signal) == 0)
		return 0;
	snprintf(problem.sentence, sizeof problem.sentence, "\"%.64s\" is not a signal",
	    options->operands[1]);
	snprintf(problem.hint, sizeof problem.hint, "write a name as in kill -l, or 1 to 64");
	return failure_tell_usage(options->command, &problem);
}

static int print_hit(const struct options *options, uint32_t hit)
{
	if (!options->json) {
		printf("hit %" PRIu32 "\n", hit);
		return EXIT_CODE_OK;
	}
	return json_line_write(stdout, json_pack("{s:o}", "hit", json_line_number(hit))) < 0
	           ? failure_tell_own(options, "standard output could not be written")
	           : EXIT_CODE_OK;
}

int cmd_signal(const struct options *options)
{
	struct spawnd_process process;
	struct spawnd_error err;
	spawnd_client *client;
	uint32_t hit = 0;
	int signal = 0, code = connect_operand(options, &process);

	if (code == 0)
		code = parse_signal(options, &signal);
	if (code == 0)
		code = connect_client(options, &client);
	if (code != 0)
		return code;
	code = spawnd_signal(client, &process, signal, options->scope, &hit, &err) < 0
	           ? failure_tell(options, options->operands[0], &err)
	           : print_hit(options, hit);
	spawnd_close(client);
	return code;
}
