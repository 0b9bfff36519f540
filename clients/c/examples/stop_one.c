// Starts a command, lets it run for a while, and stops it by its ladder:
// stop_one MILLISECONDS LADDER COMMAND [ARGUMENT…]
// for example: stop_one 500 'INT leader 1s, TERM tree 1s' sh -c 'trap "" INT; sleep 60'
#include <inttypes.h>
#include <spawnd/client.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what, const struct spawnd_error *err)
{
	fprintf(stderr, "stop_one: %s: %s\n", what, err->message);
	return 125;
}

static void show(void *user, const struct spawnd_stop_progress *progress)
{
	char rung[64];
	(void)user;
	spawnd_rung_format(&progress->what, rung, sizeof rung);
	switch (progress->event) {
	case SPAWND_STOP_RUNG_SENT:
		printf("rung %" PRIu32 " of %" PRIu32 ": %s\n", progress->rung, progress->n_rungs, rung);
		break;
	case SPAWND_STOP_RUNG_REFUSED:
		printf("rung %" PRIu32 " was refused\n", progress->rung);
		break;
	default:
		break;
	}
}

static int stop(spawnd_client *client, const struct spawnd_process *process)
{
	struct spawnd_stop_options options = SPAWND_STOP_OPTIONS_INIT;
	struct spawnd_exit *record;
	struct spawnd_error err;
	options.progress = show;
	if (spawnd_stop(client, process, &options, &record, &err) < 0)
		return fail("stopping", &err);
	printf("%s code %d signal %d, cause %s, rung %" PRIu32 ", nothing left by %s\n",
	    spawnd_exit_kind_name(record->kind), record->code, record->signal,
	    spawnd_exit_cause_name(record->cause), record->rung,
	    spawnd_tree_proof_name(record->tree_proof));
	spawnd_exit_free(record);
	return 0;
}

static int start_and_stop(
    spawnd_client *client, uint64_t run_ms, const char *ladder, char **command)
{
	struct spawnd_spawn_options options = SPAWND_SPAWN_OPTIONS_INIT;
	struct spawnd_rung rungs[SPAWND_RUNGS_MAX];
	struct spawnd_process process;
	struct spawnd_exit *record;
	struct spawnd_error err;
	if (spawnd_ladder_parse(ladder, rungs, &options.n_rungs, &err) < 0)
		return fail("the ladder", &err);
	options.ladder = rungs;
	options.argv = (const char *const *)command;
	options.env_base = 1;
	if (spawnd_spawn(client, &options, &process, NULL, &err) < 0)
		return fail(command[0], &err);
	char id[17];
	spawnd_id_format(process.id, id);
	printf("started %s\n", id);
	if (spawnd_await(client, &process, SPAWND_UNTIL_TREE_EMPTY, run_ms, &record, &err) == 0) {
		printf("it has ended by itself\n");
		spawnd_exit_free(record);
		return 0;
	}
	if (err.kind != SPAWND_E_TIMEOUT)
		return fail("awaiting", &err);
	return stop(client, &process);
}

int main(int argc, char **argv)
{
	spawnd_client *client;
	struct spawnd_error err;
	if (argc < 4) {
		fprintf(stderr, "usage: stop_one MILLISECONDS LADDER COMMAND [ARGUMENT...]\n");
		return 2;
	}
	if (spawnd_connect(NULL, &client, &err) < 0)
		return fail("connecting", &err);
	int status = start_and_stop(client, strtoull(argv[1], NULL, 10), argv[2], argv + 3);
	spawnd_close(client);
	return status;
}
