// spawnctl await: waits until a process has ended and prints its record.
#include "clients/spawnctl/commands.h"
#include "clients/spawnctl/connect.h"
#include "clients/spawnctl/failure.h"
#include "clients/spawnctl/record_output.h"

int cmd_await(const struct options *options)
{
	struct record_output output;
	struct spawnd_process process;
	struct spawnd_exit *record;
	struct spawnd_error err;
	spawnd_client *client;
	int code = connect_operand(options, &process);

	if (code == 0)
		code = connect_client(options, &client);
	if (code != 0)
		return code;
	if (spawnd_await(client, &process, options->until, options->timeout_ms, &record, &err) < 0) {
		code = failure_tell(options, options->operands[0], &err);
	} else {
		record_output_open(&output, options); // standard output: cannot fail
		code = record_output_write(&output, record);
		spawnd_exit_free(record);
	}
	spawnd_close(client);
	return code;
}
