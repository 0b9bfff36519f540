// What signals do to `spawnctl run`, and the climb that they begin.
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "clients/spawnctl/exit_codes.h"
#include "clients/spawnctl/run.h"

static void *climb(void *argument)
{
	struct run *run = argument;
	struct spawnd_exit *record = NULL;
	struct spawnd_error err;
	int rc = climb_run(&run->climb, &record, &err);

	pthread_mutex_lock(&run->lock);
	if (rc < 0) {
		run->climb_failed = true;
		run->climb_error = err;
	} else if (!run->record) {
		run->record = record;
		record = NULL;
	}
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
	spawnd_exit_free(record);
	return NULL;
}

// With run->lock held.
static void begin_climb(struct run *run)
{
	if (run->climbing || run->phase != RUN_LIVING)
		return;
	if (pthread_create(&run->climb_thread, NULL, climb, run) == 0)
		run->climbing = true;
}

void run_stop(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	run->stop_wanted = true;
	begin_climb(run);
	pthread_mutex_unlock(&run->lock);
}

void run_living(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	run->phase = RUN_LIVING;
	if (run->stop_wanted)
		begin_climb(run);
	pthread_mutex_unlock(&run->lock);
}

void run_interrupted(void *user, int signal)
{
	struct run *run = user;

	pthread_mutex_lock(&run->lock);
	switch (run->phase) {
	case RUN_CONNECTING:
		_exit(EXIT_CODE_RUN_SIGNAL + signal); // nothing has been done
	case RUN_SPAWNING:
		// A start may take its time; who asks twice leaves it to the server, which cancels what
		// has lost its owner.
		if (run->stop_wanted)
			_exit(EXIT_CODE_RUN_SIGNAL + signal);
		run->stop_wanted = true;
		break;
	case RUN_LIVING:
		// TERM and HUP often come twice for one wish (from timeout, from a closing terminal):
		// only Ctrl-C hurries.
		if (!run->climbing) {
			run->stop_wanted = true;
			begin_climb(run);
		} else if (signal == SIGINT) {
			climb_hurry(&run->climb);
		}
		break;
	case RUN_ENDED:
		run->gave_up_signal = signal;
		pthread_cond_broadcast(&run->changed);
		break;
	}
	pthread_mutex_unlock(&run->lock);
}

int run_init(struct run *run, const struct options *options)
{
	int rc;

	*run = (struct run){.options = options, .phase = RUN_CONNECTING};
	rc = countdown_init(
	    &run->countdown, options->quiet ? COUNTDOWN_SILENT : COUNTDOWN_TERMINAL, COUNTDOWN_SILENT);
	if (rc < 0)
		return rc;
	rc = climb_init(&run->climb, &run->countdown);
	if (rc < 0) {
		countdown_clear(&run->countdown);
		return rc;
	}
	run->climb.process = &run->process;
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->changed, NULL);
	return 0;
}

void run_clear(struct run *run)
{
	spawnd_exit_free(run->record);
	pthread_cond_destroy(&run->changed);
	pthread_mutex_destroy(&run->lock);
	climb_clear(&run->climb);
	countdown_clear(&run->countdown);
}

bool run_wait_end(struct run *run)
{
	bool ended;

	pthread_mutex_lock(&run->lock);
	while (!run->record && !run->await_failed && !run->climb_failed)
		pthread_cond_wait(&run->changed, &run->lock);
	run->phase = RUN_ENDED;
	ended = run->record || run->await_failed;
	pthread_mutex_unlock(&run->lock);
	return ended;
}

int run_wait_outputs(struct run *run)
{
	int gave_up_signal;

	pthread_mutex_lock(&run->lock);
	while (run->outputs_open > 0 && run->gave_up_signal == 0)
		pthread_cond_wait(&run->changed, &run->lock);
	gave_up_signal = run->outputs_open > 0 ? run->gave_up_signal : 0;
	pthread_mutex_unlock(&run->lock);
	return gave_up_signal;
}
