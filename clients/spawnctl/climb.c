// The climb of one process's ladder, told on standard error and hurried by Ctrl-C.
#include "clients/spawnctl/climb.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

int climb_init(struct climb *climb, struct countdown *countdown)
{
	*climb = (struct climb){.countdown = countdown};
	return pipe2(climb->hurry_fds, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
}

void climb_clear(struct climb *climb)
{
	close(climb->hurry_fds[0]);
	close(climb->hurry_fds[1]);
}

void climb_hurry(struct climb *climb)
{
	ssize_t written = write(climb->hurry_fds[1], "", 1);

	(void)written; // full: many more bytes wait there than there are rungs
}

static void tell(void *user, const struct spawnd_stop_progress *progress)
{
	struct climb *climb = user;
	char text[64];

	switch (progress->event) {
	case SPAWND_STOP_RUNG_SENT:
	case SPAWND_STOP_RUNG_ANSWERED:
		countdown_rung(climb->countdown, progress);
		break;
	case SPAWND_STOP_RUNG_REFUSED:
		snprintf(text, sizeof text, "rung %" PRIu32 " of %" PRIu32 " was refused; climbing on",
		    progress->rung, progress->n_rungs);
		countdown_note(climb->countdown, text);
		break;
	default:
		break;
	}
}

int climb_run(struct climb *climb, struct spawnd_exit **ret_exit, struct spawnd_error *err)
{
	struct spawnd_stop_options options = SPAWND_STOP_OPTIONS_INIT;
	int rc;

	options.hurry_fd = climb->hurry_fds[0];
	options.progress = tell;
	options.user = climb;
	rc = spawnd_stop(climb->client, climb->process, &options, ret_exit, err);
	countdown_end(climb->countdown);
	return rc;
}
