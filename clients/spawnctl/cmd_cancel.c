// spawnctl cancel: climbs one rung of a process's ladder.
#include <inttypes.h>
#include <stdio.h>

#include "clients/spawnctl/commands.h"
#include "clients/spawnctl/connect.h"
#include "clients/spawnctl/exit_codes.h"
#include "clients/spawnctl/failure.h"
#include "clients/spawnctl/json_line.h"
#include "clients/spawnctl/record_json.h"
#include "clients/spawnctl/record_output.h"
#include "clients/spawnctl/record_text.h"

struct stored_wait {
	int rung;
	uint64_t wait_ms;
};

static int read_wait(void *user, const struct spawnd_process_info *info)
{
	struct stored_wait *wait = user;
	size_t rung = (size_t)wait->rung;

	if (rung > info->n_rungs)
		rung = info->n_rungs;
	if (rung > 0)
		wait->wait_ms = info->ladder[rung - 1].wait_ms;
	return 1;
}

// The wait that the process's own ladder gives the rung. Returns as spawnd_list.
static int find_wait(const struct options *options, spawnd_client *client,
    const struct spawnd_process *process, uint64_t *ret_wait_ms, struct spawnd_error *err)
{
	struct spawnd_list_filter filter = {.size = sizeof filter, .process = process};
	struct stored_wait wait = {.rung = options->rung};

	if (options->wait_given) {
		*ret_wait_ms = options->wait_ms;
		return 0;
	}
	if (spawnd_list(client, &filter, read_wait, &wait, err) < 0)
		return -1;
	*ret_wait_ms = wait.wait_ms;
	return 0;
}

static int print_climb(const struct options *options, const struct spawnd_climb *climb,
    const struct spawnd_exit *record)
{
	struct record_output output;
	char what[48] = "";

	if (options->json)
		return json_line_write(stdout, record_json_climb(climb, record)) < 0
		           ? failure_tell_own(options, "standard output could not be written")
		           : EXIT_CODE_OK;
	if (record) {
		record_output_open(&output, options); // standard output: cannot fail
		return record_output_write(&output, record);
	}
	if (climb->rung_reached > 0 && climb->rung_reached <= climb->n_rungs) {
		const struct spawnd_rung *rung = &climb->ladder[climb->rung_reached - 1];

		record_text_format_rung(rung->action, rung->signal, rung->scope, what, sizeof what);
	}
	printf("rung %" PRIu32 " of %zu: %s\n", climb->rung_reached, climb->n_rungs, what);
	return EXIT_CODE_OK;
}

static int cancel(
    const struct options *options, spawnd_client *client, const struct spawnd_process *process)
{
	struct spawnd_climb climb;
	struct spawnd_exit *record = NULL;
	struct spawnd_error err;
	uint64_t wait_ms = 0;
	int code;

	if (find_wait(options, client, process, &wait_ms, &err) < 0 ||
	    spawnd_cancel(
	        client, process, options->rung, wait_ms, options->delegate, &climb, &record, &err) < 0)
		return failure_tell(options, options->operands[0], &err);
	code = print_climb(options, &climb, record);
	spawnd_exit_free(record);
	return code;
}

int cmd_cancel(const struct options *options)
{
	struct spawnd_process process;
	spawnd_client *client;
	int code = connect_operand(options, &process);

	if (code == 0)
		code = connect_client(options, &client);
	if (code != 0)
		return code;
	code = cancel(options, client, &process);
	spawnd_close(client);
	return code;
}
