// spawnctl spawn: starts a process that lives on, and prints its id.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/spawnctl/commands.h"
#include "clients/spawnctl/connect.h"
#include "clients/spawnctl/exit_codes.h"
#include "clients/spawnctl/failure.h"
#include "clients/spawnctl/json_line.h"
#include "clients/spawnctl/launch.h"
#include "clients/spawnctl/record_output.h"

static int print_process(const struct options *options, const struct spawnd_process *process)
{
	char id[17];

	if (!options->json) {
		spawnd_id_format(process->id, id);
		printf("%s\n", id);
		return EXIT_CODE_OK;
	}
	if (json_line_write(stdout, json_pack("{s:o, s:o}", "process_id", json_line_id(process->id),
	                                "pid", json_line_number(process->pid))) < 0)
		return failure_tell_own(options, "standard output could not be written");
	return EXIT_CODE_OK;
}

static int start(
    const struct options *options, spawnd_client *client, const struct spawnd_spawn_options *spawn)
{
	struct spawnd_process process = {0};
	struct record_output output;
	struct spawnd_error err;
	int rc;

	if (spawnd_spawn(client, spawn, &process, NULL, &err) == 0)
		return print_process(options, &process);
	if (err.kind != SPAWND_E_START_FAILED)
		return failure_tell(options, NULL, &err);
	record_output_open(&output, options); // standard output: cannot fail
	rc = record_output_start_failed(&output, client, &process, &err);
	return rc != 0 ? rc : failure_start_code(options, err.stage, err.sys_errno);
}

int cmd_spawn(const struct options *options)
{
	struct launch launch;
	spawnd_client *client;
	const char *about;
	int rc =
	    launch_make(&launch, options, (const char *const *)environ, SPAWND_OWNER_LOST_KEEP, &about);

	if (rc < 0)
		return failure_tell_own(options, "%s: %s", about, strerror(-rc));
	rc = connect_client(options, &client);
	if (rc == 0) {
		rc = start(options, client, &launch.spawn);
		spawnd_close(client);
	}
	launch_clear(&launch);
	return rc;
}
