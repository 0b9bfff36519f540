// The end of the server, in order.
#include "server/forkserver/stop.h"

#include <poll.h>
#include <signal.h>

#include "server/common/clock.h"
#include "server/common/fd.h"
#include "server/common/log.h"
#include "server/common/os.h"
#include "server/forkserver/notify.h"
#include "server/forkserver/remains.h"
#include "server/forkserver/root.h"

#define SAME_SIGNAL_US   200000u // one request that came by two ways
#define BROKER_LEAVES_MS 5000
#define REQUESTS_HEEDED  2 // a third does not wait for the broker: it may be what hangs
#define REMAINS_LIMIT_MS 10000u

bool stop_is_asked(const struct root *root)
{
	return root->stop.stage != STOP_NOT;
}

// A service manager may signal all processes of the service: then the same request comes straight
// and by the guard, and must not count twice.
static bool is_repeated(struct root *root, int signal, uint32_t from_pid)
{
	uint64_t *last_us = &root->stop.last_signal_us[signal == SIGINT];
	bool straight = from_pid != (uint32_t)root->setup->guard_pid;
	bool repeated = *last_us != 0 && root->now_us - *last_us < SAME_SIGNAL_US &&
	                straight != root->stop.last_straight;
	*last_us = root->now_us;
	root->stop.last_straight = straight;
	return repeated;
}

void stop_on_signal(struct root *root, int signal, uint32_t from_pid)
{
	struct stop *stop = &root->stop;
	if (is_repeated(root, signal, from_pid))
		return;
	uint32_t count = ++stop->count;
	log_info("%s: stopping%s", signal == SIGINT ? "INT" : "TERM", count > 1 ? ", now" : "");
	if (stop->stage == STOP_NOT)
		stop->stage = STOP_ASKED;
	notify_stopping(root->setup->guard_channel);
	root->outbox.shutdown_due = count;
	if (root->keeper.ended || !root->configured)
		stop->stage = STOP_LEAVE;
	if (count > REQUESTS_HEEDED) {
		stop->stage = STOP_LEAVE;
		stop->exit_status = 1;
	}
	if (stop->stage == STOP_TERM && count > 1)
		stop->term_until_us = 0;
}

void stop_on_broker_stopped(struct root *root)
{
	root->stop.broker_stopped = true;
	root->stop.stage = STOP_LEAVE;
	root->stop.exit_status = 0;
}

void stop_on_broker_death(struct root *root)
{
	struct stop *stop = &root->stop;
	const struct keeper *keeper = &root->keeper;
	struct slot *slot;
	if (stop->stage == STOP_LEAVE || stop->stage == STOP_TERM)
		return;
	if (stop->stage == STOP_ASKED && keeper->exit_status == 0) {
		stop->stage = STOP_LEAVE;
		return;
	}
	if (!keeper->ready && (keeper->refused_to_start || keeper->exit_status == 128 + SIGKILL))
		log_error("the server did not start");
	else
		log_error("the broker is gone (status %d): the server ends", keeper->exit_status);
	stop->exit_status = keeper->refused_to_start ? keeper->exit_status : 1;
	stop->stage = STOP_TERM;
	stop->term_until_us = root->now_us + root->config.stop_term_wait_ms * 1000ull;
	notify_stopping(root->setup->guard_channel);
	if (!root->configured)
		return;
	reap_scan(root);
	TAILQ_FOREACH(slot, &root->slots.all, all_queue)
	members_signal_all(root, slot, SIGTERM);
}

void stop_on_guard_death(struct root *root)
{
	log_error("the guard is gone: the server ends");
	root->stop.stage = STOP_LEAVE;
	root->stop.exit_status = 1;
	root->stop.guard_gone = true;
}

void stop_tick(struct root *root)
{
	struct stop *stop = &root->stop;
	if (stop->stage != STOP_TERM)
		return;
	if (root->alive == 0 || stop->term_until_us <= root->now_us)
		stop->stage = STOP_LEAVE;
}

uint64_t stop_next_us(const struct root *root)
{
	return root->stop.stage == STOP_TERM ? root->stop.term_until_us : ROOT_NEVER;
}

// The broker leaves by itself when the link ends.
static void dismiss_broker(struct root *root)
{
	struct keeper *keeper = &root->keeper;
	fd_close(&root->outbox.fd);
	if (keeper->pidfd < 0)
		return;
	struct pollfd dead = {.fd = keeper->pidfd, .events = POLLIN};
	bool wait = !root->stop.guard_gone && root->stop.count <= REQUESTS_HEEDED;
	if (!wait || poll(&dead, 1, BROKER_LEAVES_MS) != 1)
		os_pidfd_signal(keeper->pidfd, SIGKILL);
}

int stop_finish(struct root *root)
{
	if (root->priority.allowed)
		os_realtime(1);
	int left = remains_kill(&root->keeper.pid, 1, REMAINS_LIMIT_MS);
	if (root->priority.allowed)
		os_realtime(0);
	dismiss_broker(root);
	if (left == 0)
		left = remains_kill(NULL, 0, REMAINS_LIMIT_MS);
	if (left != 0)
		log_error("%d processes could not be ended", left);
	log_info("stopped");
	return left != 0 && root->stop.exit_status == 0 ? 1 : root->stop.exit_status;
}
