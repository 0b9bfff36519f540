// Runs one command, copies its output, and ends as it ended: run_one COMMAND [ARGUMENT…]
#include <inttypes.h>
#include <spawnd/client.h>
#include <stdio.h>
#include <stdlib.h>

#define READ_BYTES 65536
#define HOLD_MS    1000

static int fail(const char *what, const struct spawnd_error *err)
{
	fprintf(stderr, "run_one: %s: %s\n", what, err->message);
	return 125;
}

// Copies standard output until it ends. What was written out is released, so that the ring, which
// makes the command wait, has room again.
static int copy_output(
    spawnd_client *client, const struct spawnd_process *process, struct spawnd_error *err)
{
	static char buffer[READ_BYTES];
	struct spawnd_chunk chunk = {0};
	uint64_t offset = 0;
	do {
		if (spawnd_read_output(client, process, SPAWND_STDOUT, offset, offset, buffer,
		        sizeof buffer, HOLD_MS, &chunk, err) < 0)
			return -1;
		fwrite(buffer, 1, chunk.size, stdout);
		offset = chunk.offset + chunk.size;
	} while (chunk.eof == SPAWND_EOF_NO);
	fflush(stdout);
	return 0;
}

static int status_of(const struct spawnd_exit *record)
{
	fprintf(stderr, "run_one: %s", spawnd_exit_kind_name(record->kind));
	if (record->kind == SPAWND_EXITED) {
		fprintf(stderr, " %d after %" PRIu64 " ms\n", record->code, record->leader_exit_ms);
		return record->code;
	}
	fprintf(stderr, " %d\n", record->signal);
	return record->kind == SPAWND_SIGNALED ? 128 + record->signal : 125;
}

static int run(spawnd_client *client, char **command)
{
	struct spawnd_spawn_options options = SPAWND_SPAWN_OPTIONS_INIT;
	struct spawnd_process process;
	struct spawnd_exit *record;
	struct spawnd_error err;
	options.argv = (const char *const *)command;
	options.env_base = 1;
	options.stdio[1].kind = SPAWND_PIPE;
	options.stdio[1].policy = SPAWND_BLOCK;
	options.stdio[2].kind = SPAWND_SAME_AS_STDOUT;
	if (spawnd_spawn(client, &options, &process, NULL, &err) < 0)
		return fail(command[0], &err);
	if (copy_output(client, &process, &err) < 0)
		return fail("its output", &err);
	if (spawnd_await(client, &process, SPAWND_UNTIL_TREE_EMPTY, SPAWND_FOREVER, &record, &err) < 0)
		return fail("its exit", &err);
	int status = status_of(record);
	spawnd_exit_free(record);
	if (spawnd_release(client, &process, &err) < 0)
		return fail("its record", &err);
	return status;
}

int main(int argc, char **argv)
{
	spawnd_client *client;
	struct spawnd_error err;
	if (argc < 2) {
		fprintf(stderr, "usage: run_one COMMAND [ARGUMENT...]\n");
		return 2;
	}
	// SPAWND_URL, or this user's own server.
	if (spawnd_connect(NULL, &client, &err) < 0)
		return fail("connecting", &err);
	int status = run(client, argv + 1);
	spawnd_close(client);
	return status;
}
