// Stopping a process: climbing its ladder to the exit record.
#include "clients/c/src/climb.h"
#include "clients/c/src/clock.h"
#include "clients/c/src/decode.h"
#include "clients/c/src/error.h"
#include "clients/c/src/stop_drive.h"
#include "clients/c/src/target.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MAX_MS UINT64_C(86400000)

static int check_wait(uint64_t wait_ms, const char *field, struct spawnd_error *err)
{
	if (wait_ms == SPAWND_FOREVER || wait_ms <= WAIT_MAX_MS)
		return 0;
	return error_argument(err, field, "a wait is at most 24 hours, or SPAWND_FOREVER");
}

static int take_options(const struct spawnd_stop_options *from, struct spawnd_stop_options *options,
    struct spawnd_error *err)
{
	*options = (struct spawnd_stop_options)SPAWND_STOP_OPTIONS_INIT;
	if (!from)
		return 0;
	if (from->size < sizeof from->size || from->size > sizeof *options)
		return error_argument(err, "size", "the options are of another library version");
	memcpy(options, from, from->size);
	if (options->override_first_wait &&
	    check_wait(options->first_wait_ms, "first_wait_ms", err) < 0)
		return -1;
	if (options->override_last_wait && check_wait(options->last_wait_ms, "last_wait_ms", err) < 0)
		return -1;
	return 0;
}

void stop_read_hurry(struct spawnd_client *client, struct climb *climb, int *hurry_fd)
{
	char byte;
	ssize_t n = read(*hurry_fd, &byte, 1);
	if (n == 1)
		climb_hurry(client, climb);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		*hurry_fd = -1;
}

// Another stop drives: looks on until the climb is over.
static void watch(
    struct use *use, struct climb_member *member, const struct spawnd_stop_options *options)
{
	int hurry_fd = options->hurry_fd;
	climb_shorten(use->client, member->climb,
	    options->override_first_wait ? options->first_wait_ms : SPAWND_FOREVER,
	    options->override_last_wait ? options->last_wait_ms : SPAWND_FOREVER);
	// The driver ends with the client too, so this does.
	while (!climb_deliver(use->client, member, options))
		if (wake_wait(&use->wake, CLOCK_NEVER, hurry_fd))
			stop_read_hurry(use->client, member->climb, &hurry_fd);
}

static int take_result(
    const struct climb *climb, struct spawnd_exit **ret_exit, struct spawnd_error *err)
{
	if (climb->error.kind != SPAWND_E_NONE)
		return error_copy(err, &climb->error);
	if (!ret_exit)
		return 0;
	struct spawnd_exit *record = decode_exit_copy(climb->record);
	if (!record)
		return error_memory(err);
	*ret_exit = record;
	return 0;
}

int spawnd_stop(spawnd_client *client, const struct spawnd_process *process,
    const struct spawnd_stop_options *options, struct spawnd_exit **ret_exit,
    struct spawnd_error *err)
{
	struct spawnd_stop_options own;
	struct target target;
	struct use use;
	struct climb_member member;
	if (take_options(options, &own, err) < 0 || target_set(&target, process, err) < 0 ||
	    client_enter(client, &use, own.hurry_fd >= 0, err) < 0)
		return -1;
	if (climb_join(&use, process, &member) < 0) {
		client_leave(&use);
		return error_memory(err);
	}
	if (member.driver) {
		stop_drive(&use, &member, &own);
		climb_deliver(client, &member, &own);
	} else {
		watch(&use, &member, &own);
	}
	// Nothing changes a climb that is over.
	int result = take_result(member.climb, ret_exit, err);
	climb_leave(client, &member);
	client_leave(&use);
	return result;
}
