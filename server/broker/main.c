// spawnd-broker: started by spawnd with the link on descriptor 3 and spawnd's own command line.
// Serves clients until the shutdown is over or the root is gone.
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/broker/broker.h"
#include "server/broker/config.h"
#include "server/broker/endpoint.h"
#include "server/broker/forkserver_link.h"
#include "server/broker/loop.h"
#include "server/common/cleanup.h"
#include "server/common/clock.h"
#include "server/common/fd.h"
#include "server/common/log.h"
#include "server/common/os.h"

#define LINK_FD         3
#define SEND_TIMEOUT_MS 10000u
#define RESERVED_CALLS  4096u // beyond max_parked: calls that never park, and answers under way
#define EVENTS_A_TURN   256   // of clients, before the root is listened to again
#define MESSAGES_A_TURN 1024
#define FLUSH_WAIT_MS   1000u
#define HEAP_MMAP_FROM  (4 << 20)
#define HEAP_KEPT       (16 << 20)
#define EXIT_CONFIG     78 // EX_CONFIG: to start again does not help

struct program {
	struct config config;
	struct loop *loop;
	struct forkserver_link *link;
	struct endpoint *endpoint;
	struct broker *broker;
	uint32_t link_events; // that the loop waits for
	bool root_gone;
};

// The root alone decides when the server ends: a TERM to the whole group must not end the broker
// before its ladders.
static void ignore_signals(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

// Answers of some hundred KiB come and go all the time: without this the heap would grow and shrink
// for each, which costs more than the copying.
static void keep_heap(void)
{
	mallopt(M_MMAP_THRESHOLD, HEAP_MMAP_FROM);
	mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
	mallopt(M_ARENA_MAX, 2);
}

static int raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

// Before anything of a client is read.
static int prepare_process(void)
{
	pid_t parent = getppid();
	ignore_signals();
	keep_heap();
	umask(077);
	prctl(PR_SET_DUMPABLE, 0);
	int r = fd_fill_standard();
	if (r == 0)
		r = os_close_from(LINK_FD + 1, 0);
	if (r == 0)
		r = os_signal_on_parent_death(SIGKILL, parent);
	if (r == 0)
		r = raise_descriptor_limit();
	return r;
}

static void listen_to_root(void *user, uint32_t events)
{
	struct program *program = user;
	const struct link_header *message;
	(void)events;
	int r = forkserver_link_flush(program->link);
	for (int i = 0; i < MESSAGES_A_TURN && r >= 0; i++) {
		r = forkserver_link_next(program->link, &message);
		if (r == 0)
			break;
		if (r > 0)
			broker_link_message(program->broker, message);
	}
	if (r < 0)
		program->root_gone = true;
}

static void listen_to_clients(void *user, uint32_t events)
{
	struct program *program = user;
	struct endpoint_event event;
	(void)events;
	for (int i = 0; i < EVENTS_A_TURN && endpoint_next(program->endpoint, &event); i++)
		broker_endpoint_event(program->broker, &event);
}

static int open_link(struct program *program, struct link_hello *ret_hello, int *ret_arena_fd)
{
	struct link_config message;
	config_to_link(&program->config, &message);
	int r = forkserver_link_open(LINK_FD, &message, &program->link, ret_hello, ret_arena_fd);
	if (r < 0)
		log_error("%s: %s",
		    r == -ENOTSOCK || r == -EBADF ? "this program is started by spawnd, not by hand"
		                                  : "the root does not answer",
		    strerror(-r));
	return r;
}

static int open_endpoint(struct program *program, const struct link_hello *hello)
{
	char error[512];
	const struct config *config = &program->config;
	struct endpoint_config wanted = {
	    .url = config->listen,
	    .max_message_bytes = config->max_message_bytes,
	    .max_requests = (size_t)config->max_parked + RESERVED_CALLS,
	    .max_connections_per_peer = config->max_connections_per_peer,
	    .allowed_uid = geteuid(),
	    .send_timeout_ms = SEND_TIMEOUT_MS,
	    .make_directory = config->listen_is_default,
	    .holder = (pid_t)hello->guard_pid,
	};
	int r = endpoint_open(&wanted, &program->endpoint, error, sizeof(error));
	if (r < 0)
		log_error("%s", error);
	return r;
}

static int tell_ready(struct program *program)
{
	struct link_ready ready = {.header.kind = LINK_READY};
	snprintf(ready.url, sizeof(ready.url), "%s", program->config.listen);
	return forkserver_link_send(program->link, &ready, sizeof(ready), -1);
}

static int watch_descriptors(struct program *program)
{
	program->link_events = forkserver_link_events(program->link);
	int r = loop_add_fd(program->loop, forkserver_link_fd(program->link), program->link_events,
	    listen_to_root, program);
	if (r == 0)
		r = loop_add_fd(
		    program->loop, endpoint_fd(program->endpoint), EPOLLIN, listen_to_clients, program);
	return r;
}

static int update_link_events(struct program *program)
{
	uint32_t events = forkserver_link_events(program->link);
	if (events == program->link_events)
		return 0;
	program->link_events = events;
	return loop_change_fd(program->loop, forkserver_link_fd(program->link), events);
}

static int serve(struct program *program)
{
	while (!program->root_gone && !broker_finished(program->broker)) {
		uint64_t now = now_ms();
		broker_run_deadlines(program->broker, now);
		uint64_t watch_ms = endpoint_watch(program->endpoint, now);
		uint64_t broker_ms = broker_next_deadline(program->broker);
		int r = update_link_events(program);
		if (r == 0)
			r = loop_turn(program->loop, watch_ms < broker_ms ? watch_ms : broker_ms);
		if (r < 0) {
			log_error("cannot wait for events: %s", strerror(-r));
			return r;
		}
	}
	return program->root_gone ? -ECONNRESET : 0;
}

// What the broker said last, LINK_STOPPED above all, must reach the root.
static void flush_link(struct program *program)
{
	uint64_t until_ms = now_ms() + FLUSH_WAIT_MS;
	while (!program->root_gone && now_ms() < until_ms &&
	       (forkserver_link_events(program->link) & EPOLLOUT)) {
		if (update_link_events(program) < 0 || loop_turn(program->loop, until_ms) < 0)
			return;
	}
}

static int run(struct program *program)
{
	struct link_hello hello;
	CLEANUP_FD int arena_fd = -1;
	int r = open_link(program, &hello, &arena_fd);
	if (r == 0)
		r = loop_create(&program->loop);
	if (r == 0)
		r = open_endpoint(program, &hello);
	if (r == 0)
		r = broker_create(&program->config, &hello, arena_fd, program->loop, program->endpoint,
		    program->link, &program->broker);
	if (r == 0)
		r = watch_descriptors(program);
	if (r == 0)
		r = tell_ready(program);
	if (r == 0)
		r = serve(program);
	if (r == 0) {
		endpoint_flush(program->endpoint, FLUSH_WAIT_MS);
		flush_link(program);
	}
	return r;
}

static void close_all(struct program *program)
{
	if (program->endpoint && program->loop)
		loop_remove_fd(program->loop, endpoint_fd(program->endpoint));
	broker_destroy(program->broker);
	endpoint_close(program->endpoint);
	forkserver_link_close(program->link);
	loop_destroy(program->loop);
}

int main(int argc, char **argv)
{
	static struct program program;
	char error[1024];
	int r = prepare_process();
	log_open("spawnd-broker", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	if (r < 0) {
		log_error("cannot begin: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	r = config_load(argc, argv, &program.config, error, sizeof(error));
	if (r < 0) {
		log_error("%s", error);
		return EXIT_CONFIG;
	}
	if (program.config.log_json)
		log_open("spawnd-broker", LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	r = run(&program);
	bool finished = program.broker && broker_finished(program.broker);
	close_all(&program);
	if (program.root_gone && !finished) // at an orderly end it may be the first to leave
		log_error("the root is gone: the broker ends");
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
