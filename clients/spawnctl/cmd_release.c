// spawnctl release: drops the record of a process that has ended.
#include "clients/spawnctl/commands.h"
#include "clients/spawnctl/connect.h"
#include "clients/spawnctl/exit_codes.h"
#include "clients/spawnctl/failure.h"
#include "clients/spawnctl/json_line.h"

int cmd_release(const struct options *options)
{
	struct spawnd_process process;
	struct spawnd_error err;
	spawnd_client *client;
	int code = connect_operand(options, &process);

	if (code == 0)
		code = connect_client(options, &client);
	if (code != 0)
		return code;
	if (spawnd_release(client, &process, &err) < 0)
		code = failure_tell(options, options->operands[0], &err);
	else if (options->json && json_line_write(stdout, json_object()) < 0)
		code = failure_tell_own(options, "standard output could not be written");
	spawnd_close(client);
	return code;
}
