// spawnctl run: a command as if it were run here.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/spawnctl/commands.h"
#include "clients/spawnctl/connect.h"
#include "clients/spawnctl/exit_codes.h"
#include "clients/spawnctl/failure.h"
#include "clients/spawnctl/interrupt.h"
#include "clients/spawnctl/launch.h"
#include "clients/spawnctl/record_output.h"
#include "clients/spawnctl/record_text.h"
#include "clients/spawnctl/run.h"
#include "clients/spawnctl/run_input.h"
#include "clients/spawnctl/run_output.h"

static void *await(void *argument)
{
	struct run *run = argument;
	struct spawnd_exit *record = NULL;
	struct spawnd_error err;
	int rc = spawnd_await(
	    run->client, &run->process, SPAWND_UNTIL_TREE_EMPTY, SPAWND_FOREVER, &record, &err);

	pthread_mutex_lock(&run->lock);
	if (rc < 0) {
		run->await_failed = true;
		run->await_error = err;
	} else if (!run->record) {
		run->record = record;
		record = NULL;
	}
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
	spawnd_exit_free(record);
	return NULL;
}

// Returns 0, or else the exit code, the failure having been told.
static int start_process(struct run *run, struct record_output *record_output)
{
	const struct options *options = run->options;
	struct spawnd_error err;
	struct launch launch;
	const char *about;
	int rc = launch_make(
	    &launch, options, (const char *const *)environ, SPAWND_OWNER_LOST_CANCEL, &about);

	if (rc < 0)
		return failure_tell_own(options, "%s: %s", about, strerror(-rc));
	for (int i = 0; i < 3; i++)
		launch.spawn.stdio[i] = (struct spawnd_stdio){.kind = SPAWND_PIPE, .policy = SPAWND_BLOCK};
	rc = spawnd_spawn(run->client, &launch.spawn, &run->process, NULL, &err);
	launch_clear(&launch);
	if (rc == 0)
		return 0;
	if (err.kind != SPAWND_E_START_FAILED)
		return failure_tell(options, NULL, &err);
	rc = record_output_start_failed(record_output, run->client, &run->process, &err);
	return rc != 0 ? rc : failure_start_code(options, err.stage, err.sys_errno);
}

// The shell's habit: the code, or 128 and the signal; what is neither is our failure to tell.
static int mirror(const struct run *run)
{
	char words[256];

	switch (run->record->kind) {
	case SPAWND_EXITED:
		return run->record->code;
	case SPAWND_SIGNALED:
		return EXIT_CODE_RUN_SIGNAL + run->record->signal;
	default:
		record_text_format(run->record, NULL, words, sizeof words);
		return failure_tell_own(run->options, "%s", words);
	}
}

// Whatever kept output from being carried whole; returns 0 where nothing did.
static int tell_output_failure(const struct run *run, const struct output *output)
{
	const char *name = output->stream == SPAWND_STDOUT ? "standard output" : "standard error";

	if (output->write_errno != 0 && output->write_errno != EPIPE)
		return failure_tell_own(run->options, "%s: %s", name, strerror(output->write_errno));
	if (output->failed && run->record)
		return failure_tell(run->options, name, &output->err);
	if (output->missing > 0)
		return failure_tell_own(
		    run->options, "%s: %llu bytes were lost", name, (unsigned long long)output->missing);
	return 0;
}

static int conclude(
    struct run *run, const struct output outputs[2], struct record_output *record_output)
{
	int rc;

	if (!run->record)
		return failure_tell(run->options, "how it ended is not known", &run->await_error);
	rc = record_output_write(record_output, run->record);
	for (int i = 0; i < 2 && rc == 0; i++)
		rc = tell_output_failure(run, &outputs[i]);
	if (rc != 0)
		return rc;
	return run->pipe_broken ? EXIT_CODE_RUN_SIGNAL + SIGPIPE : mirror(run);
}

// The threads of one run, beside those that have a place in struct run.
struct carriers {
	struct output outputs[2];
	struct input *input;
	pthread_t await_thread;
};

static int start_carriers(struct carriers *carriers, struct run *run)
{
	int rc = run_output_start(&carriers->outputs[0], run, SPAWND_STDOUT, STDOUT_FILENO);

	if (rc == 0)
		rc = run_output_start(&carriers->outputs[1], run, SPAWND_STDERR, STDERR_FILENO);
	if (rc == 0)
		rc = run_input_start(run, &carriers->input);
	if (rc == 0)
		rc = -pthread_create(&carriers->await_thread, NULL, await, run);
	return rc;
}

static void join_carriers(struct carriers *carriers, struct run *run)
{
	run_input_end(carriers->input);
	run_output_join(&carriers->outputs[0]);
	run_output_join(&carriers->outputs[1]);
	pthread_join(carriers->await_thread, NULL);
	if (run->climbing)
		pthread_join(run->climb_thread, NULL);
}

// Where the process lives on or our output is stuck there is nothing to join: the end of spawnctl
// ends its threads, and its session.
static void leave(struct carriers *carriers, struct run *run, int code)
{
	countdown_end(&run->countdown); // a climb may still be told of
	run_output_detach(&carriers->outputs[0]);
	run_output_detach(&carriers->outputs[1]);
	pthread_detach(carriers->await_thread);
	if (run->climbing)
		pthread_detach(run->climb_thread);
	_exit(code);
}

static int carry_until_end(struct run *run, struct record_output *record_output)
{
	struct carriers carriers;
	int rc, gave_up_signal;

	run_living(run); // before its first output can be seen
	rc = start_carriers(&carriers, run);
	if (rc < 0) // what was begun is the server's to end
		_exit(failure_tell_own(run->options, "%s", strerror(-rc)));
	if (!run_wait_end(run))
		leave(&carriers, run, failure_tell(run->options, NULL, &run->climb_error));
	gave_up_signal = run_wait_outputs(run);
	if (gave_up_signal != 0)
		leave(&carriers, run, EXIT_CODE_RUN_SIGNAL + gave_up_signal);
	join_carriers(&carriers, run);
	rc = conclude(run, carriers.outputs, record_output);
	if (run->record && !run->options->keep_record)
		spawnd_release(run->client, &run->process, NULL);
	return rc;
}

static int run_connected(struct run *run, struct record_output *record_output)
{
	int code = connect_client(run->options, &run->client);

	if (code != 0)
		return code;
	run->climb.client = run->client;
	pthread_mutex_lock(&run->lock);
	run->phase = RUN_SPAWNING;
	pthread_mutex_unlock(&run->lock);
	code = start_process(run, record_output);
	if (code == 0)
		code = carry_until_end(run, record_output);
	spawnd_close(run->client);
	return code;
}

// A terminal's background job gets EIO instead of being stopped when it reads (run_input.c).
static void block_ttin(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTTIN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int cmd_run(const struct options *options)
{
	struct record_output record_output;
	struct interrupt interrupt;
	struct run run;
	int rc = record_output_open(&record_output, options);

	if (rc != 0)
		return rc;
	rc = run_init(&run, options);
	if (rc < 0)
		return failure_tell_own(options, "%s", strerror(-rc));
	block_ttin();
	rc = interrupt_start(&interrupt, 1, &run.countdown, run_interrupted, &run);
	if (rc < 0)
		return failure_tell_own(options, "%s", strerror(-rc));
	rc = run_connected(&run, &record_output);
	interrupt_stop(&interrupt);
	run_clear(&run);
	record_output_close(&record_output);
	return rc;
}
