// spawnctl stop: climbs the ladder until a process has ended, shows the climb, prints the record.
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "clients/spawnctl/climb.h"
#include "clients/spawnctl/commands.h"
#include "clients/spawnctl/connect.h"
#include "clients/spawnctl/exit_codes.h"
#include "clients/spawnctl/failure.h"
#include "clients/spawnctl/interrupt.h"
#include "clients/spawnctl/record_output.h"

struct stop {
	struct countdown countdown;
	struct climb climb;
	struct spawnd_process process;
	atomic_bool climbing;
};

static void interrupted(void *user, int signal)
{
	struct stop *stop = user;

	if (!atomic_load(&stop->climbing))
		_exit(EXIT_CODE_RUN_SIGNAL + signal); // nothing has been asked for yet
	climb_hurry(&stop->climb);
}

static int climb_and_print(const struct options *options, struct stop *stop)
{
	struct record_output output;
	struct spawnd_exit *record;
	struct spawnd_error err;
	int code;

	atomic_store(&stop->climbing, true);
	if (climb_run(&stop->climb, &record, &err) < 0)
		return failure_tell(options, options->operands[0], &err);
	record_output_open(&output, options); // standard output: cannot fail
	code = record_output_write(&output, record);
	spawnd_exit_free(record);
	return code;
}

static int stop_connected(const struct options *options, struct stop *stop)
{
	spawnd_client *client;
	int code = connect_client(options, &client);

	if (code != 0)
		return code;
	stop->climb.client = client;
	stop->climb.process = &stop->process;
	code = climb_and_print(options, stop);
	spawnd_close(client);
	return code;
}

// TERM and HUP keep their effect: spawnctl ends, and the server climbs on.
static int stop_with_interrupts(const struct options *options, struct stop *stop)
{
	struct interrupt interrupt;
	int code, rc = interrupt_start(&interrupt, 0, &stop->countdown, interrupted, stop);

	if (rc < 0)
		return failure_tell_own(options, "%s", strerror(-rc));
	code = stop_connected(options, stop);
	interrupt_stop(&interrupt);
	return code;
}

int cmd_stop(const struct options *options)
{
	bool silent = options->quiet;
	struct stop stop = {.climbing = false};
	int rc, code = connect_operand(options, &stop.process);

	if (code != 0)
		return code;
	rc = countdown_init(&stop.countdown, silent ? COUNTDOWN_SILENT : COUNTDOWN_TERMINAL,
	    silent ? COUNTDOWN_SILENT : COUNTDOWN_LINES);
	if (rc < 0)
		return failure_tell_own(options, "%s", strerror(-rc));
	rc = climb_init(&stop.climb, &stop.countdown);
	code = rc < 0 ? failure_tell_own(options, "%s", strerror(-rc))
	              : stop_with_interrupts(options, &stop);
	if (rc == 0)
		climb_clear(&stop.climb);
	countdown_clear(&stop.countdown);
	return code;
}
