// A client that is driven by lines: "TAG VERB key=value…" on standard input, each carried out by a
// thread of its own, answered by "TAG ok …" or "TAG err kind=…" on standard output. It uses the
// public library alone. End of input: it waits for what is under way, and ends.
#include "clients/c/tests/driver_text.h"

#include <pthread.h>
#include <signal.h>
#include <spawnd/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS_MAX 64
#define STOPS_MAX   256
#define READ_MAX    (1 << 20)

#ifdef SPAWND_DRIVER_LEAKS
// nng 1.5.2 forgets the message of a request that it hands to a connection in the moment in which
// that closes (its transports' send returns at once where the aio cannot begin). Some tests cut
// connections.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:call_slot_send\n";
}
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // guards all below
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static unsigned n_running;
static struct {
	char name[16];
	spawnd_client *client;
} clients[CLIENTS_MAX];
static struct {
	char tag[32];
	int fd;
} stops[STOPS_MAX];

/* ---- replies --------------------------------------------------------------------------- */

static void reply_error(const char *tag, const struct spawnd_error *err, const char *more)
{
	struct driver_reply reply;
	driver_reply_begin(&reply, tag, "err");
	driver_reply_word(&reply, "kind", spawnd_error_kind_name(err->kind));
	driver_reply_number(&reply, "code", (uint64_t)err->code);
	driver_reply_word(&reply, "stage", spawnd_stage_name(err->stage));
	driver_reply_number(&reply, "errno", (uint64_t)(unsigned)err->sys_errno);
	driver_reply_number(&reply, "retry_after_ms", err->retry_after_ms);
	driver_reply_hex(&reply, "process", err->process_id);
	driver_reply_word(&reply, "field", err->field);
	driver_reply_word(&reply, "msg", err->message);
	if (more)
		driver_reply_word(&reply, "more", more);
	driver_reply_write(&reply);
}

static void add_exit(struct driver_reply *reply, const struct spawnd_exit *record)
{
	driver_reply_word(reply, "how", spawnd_exit_kind_name(record->kind));
	driver_reply_number(reply, "code", (uint64_t)record->code);
	driver_reply_number(reply, "signal", (uint64_t)record->signal);
	driver_reply_word(reply, "stage", spawnd_stage_name(record->stage));
	driver_reply_number(reply, "errno", (uint64_t)(unsigned)record->sys_errno);
	driver_reply_word(reply, "cause", spawnd_exit_cause_name(record->cause));
	driver_reply_word(reply, "proof", spawnd_tree_proof_name(record->tree_proof));
	driver_reply_number(reply, "rung", record->rung);
	driver_reply_number(reply, "escalated", record->rung > 1);
	driver_reply_number(reply, "tree_empty", (uint64_t)record->tree_empty);
	driver_reply_word(reply, "name", record->name);
	char journal[512] = "";
	size_t used = 0;
	for (size_t i = 0; i < record->n_journal && used + 64 < sizeof journal; i++)
		used += (size_t)snprintf(journal + used, sizeof journal - used, "%s%u:%s:%llu:%s",
		    i ? ";" : "", record->journal[i].rung,
		    record->journal[i].skipped ? "skipped"
		                               : spawnd_climber_name(record->journal[i].climber),
		    (unsigned long long)record->journal[i].at_ms,
		    spawnd_scope_name(record->journal[i].scope));
	driver_reply_word(reply, "journal", journal);
}

static void reply_exit(const char *tag, struct spawnd_exit *record)
{
	struct driver_reply reply;
	driver_reply_begin(&reply, tag, "ok");
	if (record)
		add_exit(&reply, record);
	driver_reply_write(&reply);
	spawnd_exit_free(record);
}

static void reply_ok(const char *tag)
{
	reply_exit(tag, NULL);
}

/* ---- what lines name ------------------------------------------------------------------- */

static const char *client_name(const struct driver_line *line)
{
	const char *name = driver_text(line, "client");
	return name ? name : "0";
}

// The client of this name; with take it is the caller's to close.
static spawnd_client *find_client(const struct driver_line *line, bool take)
{
	spawnd_client *found = NULL;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < CLIENTS_MAX && !found; i++)
		if (clients[i].client && strcmp(clients[i].name, client_name(line)) == 0) {
			found = clients[i].client;
			if (take)
				clients[i].client = NULL;
		}
	pthread_mutex_unlock(&lock);
	return found;
}

static void keep_client(const struct driver_line *line, spawnd_client *client)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (!clients[i].client) {
			snprintf(clients[i].name, sizeof clients[i].name, "%s", client_name(line));
			clients[i].client = client;
			break;
		}
	pthread_mutex_unlock(&lock);
}

static struct spawnd_process process_of(const struct driver_line *line)
{
	return (struct spawnd_process){.id = driver_hex(line, "id"),
	    .session_id = driver_hex(line, "session"),
	    .request_id = driver_number(line, "request", 0)};
}

static int word_of(const char *text, const char *const *words)
{
	for (int i = 0; text && words[i]; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	return 0;
}

/* ---- verbs ----------------------------------------------------------------------------- */

static void do_hello(const struct driver_line *line, spawnd_client *client)
{
	struct driver_reply reply;
	(void)client;
	driver_reply_begin(&reply, line->tag, "ok");
	driver_reply_word(&reply, "lib", "libspawnd");
	driver_reply_word(&reply, "version", spawnd_version());
	driver_reply_write(&reply);
}

static void do_open(const struct driver_line *line, spawnd_client *none)
{
	struct spawnd_connect_options options = SPAWND_CONNECT_OPTIONS_INIT;
	struct spawnd_error err;
	spawnd_client *client;
	(void)none;
	options.url = driver_text(line, "url");
	options.name = driver_text(line, "name");
	options.lease_ms = driver_number(line, "lease_ms", 0);
	options.timeout_ms = driver_number(line, "timeout_ms", 0);
	options.access_token = driver_text(line, "token");
	if (spawnd_connect(&options, &client, &err) < 0) {
		reply_error(line->tag, &err, NULL);
		return;
	}
	keep_client(line, client);
	struct driver_reply reply;
	driver_reply_begin(&reply, line->tag, "ok");
	driver_reply_hex(&reply, "session", spawnd_client_session(client));
	driver_reply_hex(&reply, "epoch", spawnd_client_epoch(client));
	driver_reply_write(&reply);
}

static void do_close(const struct driver_line *line, spawnd_client *none)
{
	(void)none;
	spawnd_close(find_client(line, true));
	reply_ok(line->tag);
}

static void fill_stdio(const struct driver_line *line, struct spawnd_spawn_options *options)
{
	static const char *const kinds[] = {"null", "file", "pipe", "stdout", NULL};
	static const char *const names[] = {"stdin", "stdout", "stderr"};
	for (int i = 0; i < 3; i++) {
		options->stdio[i].kind = word_of(driver_text(line, names[i]), kinds);
		options->stdio[i].path = driver_text(line, "path");
		options->stdio[i].policy = driver_flag(line, "block");
	}
}

static void do_spawn(const struct driver_line *line, spawnd_client *client)
{
	static const char *const owner_lost[] = {"cancel", "kill", "keep", NULL};
	struct spawnd_spawn_options options = SPAWND_SPAWN_OPTIONS_INIT;
	struct spawnd_rung rungs[SPAWND_RUNGS_MAX];
	struct spawnd_process process = {0};
	struct spawnd_exit *record = NULL;
	struct spawnd_error err = {0};
	const char *ladder = driver_text(line, "ladder");
	if (ladder) {
		if (spawnd_ladder_parse(ladder, rungs, &options.n_rungs, &err) < 0) {
			reply_error(line->tag, &err, NULL);
			return;
		}
		options.ladder = rungs;
	}
	char **argv = driver_list(line, "argv"), **env = driver_list(line, "env");
	options.argv = (const char *const *)argv;
	options.env = (const char *const *)env;
	options.program = driver_text(line, "program");
	options.cwd = driver_text(line, "cwd");
	options.name = driver_text(line, "name");
	options.env_base = driver_flag(line, "env_base");
	options.on_owner_lost = word_of(driver_text(line, "owner_lost"), owner_lost);
	options.on_leader_exit = driver_flag(line, "keep_tree");
	options.run_ms = driver_number(line, "run_ms", 0);
	options.hold_ms = (uint32_t)driver_number(line, "hold_ms", 0);
	options.timeout_ms = driver_number(line, "timeout_ms", 0);
	fill_stdio(line, &options);
	int result = spawnd_spawn(client, &options, &process, &record, &err);
	char key[64];
	snprintf(key, sizeof key, "%016llx:%llu", (unsigned long long)process.session_id,
	    (unsigned long long)process.request_id);
	if (result < 0) {
		reply_error(line->tag, &err, key);
	} else {
		struct driver_reply reply;
		driver_reply_begin(&reply, line->tag, "ok");
		driver_reply_hex(&reply, "id", process.id);
		driver_reply_number(&reply, "pid", process.pid);
		driver_reply_word(&reply, "key", key);
		if (record)
			add_exit(&reply, record);
		driver_reply_write(&reply);
	}
	spawnd_exit_free(record);
	driver_list_free(argv);
	driver_list_free(env);
}

static void do_await(const struct driver_line *line, spawnd_client *client)
{
	static const char *const facts[] = {"tree", "leader", NULL};
	struct spawnd_process process = process_of(line);
	struct spawnd_exit *record;
	struct spawnd_error err;
	if (spawnd_await(client, &process, word_of(driver_text(line, "until"), facts),
	        driver_number(line, "timeout_ms", SPAWND_FOREVER), &record, &err) < 0)
		reply_error(line->tag, &err, NULL);
	else
		reply_exit(line->tag, record);
}

static void do_cancel(const struct driver_line *line, spawnd_client *client)
{
	struct spawnd_process process = process_of(line);
	struct spawnd_climb climb;
	struct spawnd_exit *record;
	struct spawnd_error err;
	if (spawnd_cancel(client, &process, (int)driver_number(line, "rung", 1),
	        driver_number(line, "wait_ms", 1000), driver_flag(line, "delegate"), &climb, &record,
	        &err) < 0) {
		reply_error(line->tag, &err, NULL);
		return;
	}
	struct driver_reply reply;
	driver_reply_begin(&reply, line->tag, "ok");
	driver_reply_hex(&reply, "id", climb.process_id);
	driver_reply_number(&reply, "reached", climb.rung_reached);
	driver_reply_number(&reply, "n_rungs", climb.n_rungs);
	driver_reply_number(&reply, "never_started", (uint64_t)climb.never_started);
	if (record)
		add_exit(&reply, record);
	driver_reply_write(&reply);
	spawnd_exit_free(record);
}

static void tell_progress(void *user, const struct spawnd_stop_progress *progress)
{
	static const char *const names[] = {"?", "sent", "answered", "refused", "hurried", "ended"};
	struct driver_reply reply;
	driver_reply_begin(&reply, user, "ev");
	driver_reply_word(&reply, "event", names[progress->event]);
	driver_reply_number(&reply, "rung", progress->rung);
	driver_reply_number(&reply, "n_rungs", progress->n_rungs);
	driver_reply_number(&reply, "wait_ms", progress->wait_ms);
	driver_reply_write(&reply);
}

// The stop's pipe for hurries: its reading end, or -1.
static int open_hurry(const char *tag, int ends[2])
{
	if (pipe(ends) < 0)
		return -1;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < STOPS_MAX; i++)
		if (!stops[i].tag[0]) {
			snprintf(stops[i].tag, sizeof stops[i].tag, "%s", tag);
			stops[i].fd = ends[1];
			break;
		}
	pthread_mutex_unlock(&lock);
	return ends[0];
}

static void close_hurry(const char *tag, const int ends[2])
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < STOPS_MAX; i++)
		if (strcmp(stops[i].tag, tag) == 0)
			stops[i].tag[0] = '\0';
	pthread_mutex_unlock(&lock);
	close(ends[0]);
	close(ends[1]);
}

static void do_stop(const struct driver_line *line, spawnd_client *client)
{
	struct spawnd_process process = process_of(line);
	struct spawnd_stop_options options = SPAWND_STOP_OPTIONS_INIT;
	struct spawnd_exit *record;
	struct spawnd_error err;
	int ends[2] = {-1, -1};
	options.override_first_wait = driver_text(line, "first_wait_ms") != NULL;
	options.first_wait_ms = driver_number(line, "first_wait_ms", 0);
	options.override_last_wait = driver_text(line, "last_wait_ms") != NULL;
	options.last_wait_ms = driver_number(line, "last_wait_ms", 0);
	options.progress = tell_progress;
	options.user = (void *)line->tag;
	if (driver_flag(line, "hurry"))
		options.hurry_fd = open_hurry(line->tag, ends);
	int result = spawnd_stop(client, &process, &options, &record, &err);
	if (ends[0] >= 0)
		close_hurry(line->tag, ends);
	if (result < 0)
		reply_error(line->tag, &err, NULL);
	else
		reply_exit(line->tag, record);
}

static void do_hurry(const struct driver_line *line, spawnd_client *none)
{
	const char *of = driver_text(line, "of");
	(void)none;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; of && i < STOPS_MAX; i++)
		if (strcmp(stops[i].tag, of) == 0 && write(stops[i].fd, "!", 1) != 1)
			abort();
	pthread_mutex_unlock(&lock);
	reply_ok(line->tag);
}

static void do_signal(const struct driver_line *line, spawnd_client *client)
{
	struct spawnd_process process = process_of(line);
	struct spawnd_error err;
	uint32_t hit;
	if (spawnd_signal(client, &process, (int)driver_number(line, "signal", SIGTERM),
	        (int)driver_number(line, "scope", SPAWND_LEADER), &hit, &err) < 0) {
		reply_error(line->tag, &err, NULL);
		return;
	}
	struct driver_reply reply;
	driver_reply_begin(&reply, line->tag, "ok");
	driver_reply_number(&reply, "hit", hit);
	driver_reply_write(&reply);
}

static void do_release(const struct driver_line *line, spawnd_client *client)
{
	struct spawnd_process process = process_of(line);
	struct spawnd_error err;
	if (spawnd_release(client, &process, &err) < 0)
		reply_error(line->tag, &err, NULL);
	else
		reply_ok(line->tag);
}

static void do_read(const struct driver_line *line, spawnd_client *client)
{
	struct spawnd_process process = process_of(line);
	struct spawnd_error err;
	struct spawnd_chunk chunk;
	size_t size = driver_number(line, "max", 65536);
	char *buffer = malloc(size < READ_MAX ? size : READ_MAX);
	if (spawnd_read_output(client, &process, (int)driver_number(line, "stream", SPAWND_STDOUT),
	        driver_number(line, "offset", 0), driver_number(line, "release", 0), buffer, size,
	        driver_number(line, "hold_ms", 0), &chunk, &err) < 0) {
		reply_error(line->tag, &err, NULL);
	} else {
		struct driver_reply reply;
		driver_reply_begin(&reply, line->tag, "ok");
		driver_reply_number(&reply, "offset", chunk.offset);
		driver_reply_number(&reply, "eof", (uint64_t)chunk.eof);
		driver_reply_bytes(&reply, "data", buffer, chunk.size);
		driver_reply_write(&reply);
	}
	free(buffer);
}

static void do_write(const struct driver_line *line, spawnd_client *client)
{
	struct spawnd_process process = process_of(line);
	struct spawnd_error err;
	struct spawnd_stdin_state state;
	const char *data = driver_text(line, "data");
	if (spawnd_write_stdin(client, &process, driver_number(line, "offset", 0), data,
	        data ? strlen(data) : 0, driver_flag(line, "close"), driver_number(line, "hold_ms", 0),
	        &state, &err) < 0) {
		reply_error(line->tag, &err, NULL);
		return;
	}
	struct driver_reply reply;
	driver_reply_begin(&reply, line->tag, "ok");
	driver_reply_number(&reply, "offset", state.offset);
	driver_reply_number(&reply, "closed", (uint64_t)state.closed);
	driver_reply_number(&reply, "broken", (uint64_t)state.broken);
	driver_reply_write(&reply);
}

static int add_listed(void *user, const struct spawnd_process_info *info)
{
	char text[256];
	snprintf(text, sizeof text, "%016llx;%s;%s;%zu;%u;%s", (unsigned long long)info->process.id,
	    info->name, spawnd_process_state_name(info->state), info->n_rungs, info->rung_reached,
	    info->n_argv ? info->argv[0] : "");
	driver_reply_word(user, "process", text);
	return 0;
}

static void do_list(const struct driver_line *line, spawnd_client *client)
{
	struct spawnd_list_filter filter = {.size = sizeof filter, .name = driver_text(line, "name")};
	struct spawnd_process process = process_of(line);
	struct spawnd_error err;
	struct driver_reply reply;
	if (process.id || process.request_id)
		filter.process = &process;
	driver_reply_begin(&reply, line->tag, "ok");
	if (spawnd_list(client, &filter, add_listed, &reply, &err) < 0) {
		free(reply.text);
		reply_error(line->tag, &err, NULL);
		return;
	}
	driver_reply_write(&reply);
}

static void do_info(const struct driver_line *line, spawnd_client *client)
{
	struct spawnd_info info;
	struct spawnd_error err;
	if (spawnd_get_info(client, &info, &err) < 0) {
		reply_error(line->tag, &err, NULL);
		return;
	}
	struct driver_reply reply;
	driver_reply_begin(&reply, line->tag, "ok");
	driver_reply_word(&reply, "version", info.version);
	driver_reply_hex(&reply, "epoch", info.epoch);
	driver_reply_hex(&reply, "session", spawnd_client_session(client));
	driver_reply_number(&reply, "processes", info.processes);
	driver_reply_number(&reply, "takeover_ms", info.takeover_ms);
	driver_reply_write(&reply);
}

static void do_keep_alive(const struct driver_line *line, spawnd_client *client)
{
	struct spawnd_error err;
	if (spawnd_keep_alive(client, &err) < 0)
		reply_error(line->tag, &err, NULL);
	else
		reply_ok(line->tag);
}

/* ---- lines ----------------------------------------------------------------------------- */

static const struct verb {
	const char *name;
	void (*carry_out)(const struct driver_line *line, spawnd_client *client);
	bool without_client;
} verbs[] = {{"hello", do_hello, true}, {"open", do_open, true}, {"close", do_close, true},
    {"hurry", do_hurry, true}, {"spawn", do_spawn, false}, {"await", do_await, false},
    {"cancel", do_cancel, false}, {"stop", do_stop, false}, {"signal", do_signal, false},
    {"release", do_release, false}, {"read", do_read, false}, {"write", do_write, false},
    {"list", do_list, false}, {"info", do_info, false}, {"keep_alive", do_keep_alive, false}};

static void carry_out(const struct driver_line *line)
{
	struct spawnd_error err = {.kind = SPAWND_E_ARGUMENT, .message = "no such verb, or no client"};
	spawnd_client *client = find_client(line, false);
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (strcmp(verbs[i].name, line->verb) == 0 && (client || verbs[i].without_client)) {
			verbs[i].carry_out(line, client);
			return;
		}
	reply_error(line->tag, &err, NULL);
}

static void *line_main(void *text)
{
	struct driver_line line;
	if (driver_line_parse(&line, text))
		carry_out(&line);
	driver_line_free(&line);
	pthread_mutex_lock(&lock);
	if (--n_running == 0)
		pthread_cond_signal(&idle);
	pthread_mutex_unlock(&lock);
	return NULL;
}

int main(void)
{
	char *text = NULL;
	size_t capacity = 0;
	pthread_attr_t detached;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	while (getline(&text, &capacity, stdin) > 0) {
		pthread_t thread;
		pthread_mutex_lock(&lock);
		n_running++;
		pthread_mutex_unlock(&lock);
		if (pthread_create(&thread, &detached, line_main, strdup(text)) != 0)
			abort();
	}
	free(text);
	pthread_mutex_lock(&lock);
	while (n_running)
		pthread_cond_wait(&idle, &lock);
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		spawnd_close(clients[i].client);
	return 0;
}
