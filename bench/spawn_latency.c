// Measures spawn to exit of one small program: by the server in one call, by the server in three
// calls, and by posix_spawn here. The ways take turns in short rounds, so that what else the
// machine does hits them alike.
#include <errno.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <spawnd/client.h>

#define ROUND 50

struct bench {
	spawnd_client *client;
	char *program;
};

struct way {
	const char *words;
	int (*once)(struct bench *bench);
	uint64_t *took_ns;
};

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int complain(const char *what, const struct spawnd_error *err)
{
	fprintf(stderr, "spawn-latency: %s: %s\n", what, err->message);
	return -1;
}

static int start(struct bench *bench, uint32_t hold_ms, struct spawnd_process *ret_process,
    struct spawnd_exit **ret_exit)
{
	struct spawnd_error err;
	const char *const argv[] = {bench->program, NULL};
	struct spawnd_spawn_options options = SPAWND_SPAWN_OPTIONS_INIT;
	options.argv = argv;
	options.hold_ms = hold_ms;
	if (spawnd_spawn(bench->client, &options, ret_process, ret_exit, &err) != 0)
		return complain("spawn", &err);
	return 0;
}

static int end(
    struct bench *bench, const struct spawnd_process *process, struct spawnd_exit *record)
{
	struct spawnd_error err;
	int right = record && record->kind == SPAWND_EXITED && record->code == 0;
	spawnd_exit_free(record);
	if (spawnd_release(bench->client, process, &err) != 0)
		return complain("release", &err);
	if (!right)
		fprintf(stderr, "spawn-latency: the program did not exit with 0\n");
	return right ? 0 : -1;
}

// One round trip until the record is there, and one to release it.
static int by_hold(struct bench *bench)
{
	struct spawnd_process process;
	struct spawnd_exit *record = NULL;
	if (start(bench, 1000, &process, &record) != 0)
		return -1;
	return end(bench, &process, record);
}

static int by_await(struct bench *bench)
{
	struct spawnd_process process;
	struct spawnd_exit *record = NULL;
	struct spawnd_error err;
	if (start(bench, 0, &process, NULL) != 0)
		return -1;
	if (spawnd_await(bench->client, &process, SPAWND_UNTIL_TREE_EMPTY, 10000, &record, &err) != 0)
		return complain("await", &err);
	return end(bench, &process, record);
}

static int by_posix_spawn(struct bench *bench)
{
	char *const argv[] = {bench->program, NULL}, *const env[] = {NULL};
	pid_t pid;
	int status;
	if (posix_spawn(&pid, bench->program, NULL, NULL, argv, env) != 0)
		return -1;
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return a < b ? -1 : a > b;
}

static void report(const struct way *way, size_t count)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += way->took_ns[i];
	qsort(way->took_ns, count, sizeof way->took_ns[0], compare);
	printf("%-44s %8.1f %8.1f %8.0f\n", way->words, (double)way->took_ns[count / 2] / 1e3,
	    (double)way->took_ns[count * 99 / 100] / 1e3, (double)count * 1e9 / (double)sum);
}

static int measure(struct bench *bench, struct way *ways, size_t n_ways, size_t count)
{
	for (size_t done = 0; done < count; done += ROUND)
		for (size_t w = 0; w < n_ways; w++)
			for (size_t i = done; i < done + ROUND; i++) {
				uint64_t began = now_ns();
				if (ways[w].once(bench) != 0)
					return -1;
				ways[w].took_ns[i] = now_ns() - began;
			}
	return 0;
}

int main(int argc, char **argv)
{
	struct way ways[] = {
	    {"posix_spawn + waitpid, no server", by_posix_spawn, NULL},
	    {"Spawn{hold} + Release", by_hold, NULL},
	    {"Spawn + AwaitExit + Release", by_await, NULL},
	};
	size_t n_ways = sizeof ways / sizeof ways[0];
	struct bench bench = {.program = argc > 1 ? argv[1] : NULL};
	size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) / ROUND * ROUND : 2000;
	struct spawnd_error err;
	int status = 1;

	if (argc < 2 || count == 0) {
		fprintf(stderr, "usage: spawn-latency PROGRAM [COUNT]   (SPAWND_URL names the server)\n");
		return 2;
	}
	if (spawnd_connect(NULL, &bench.client, &err) != 0) {
		complain("connect", &err);
		return 1;
	}
	for (size_t w = 0; w < n_ways; w++) {
		ways[w].took_ns = calloc(count, sizeof ways[w].took_ns[0]);
		if (!ways[w].took_ns)
			goto out;
	}
	if (measure(&bench, ways, n_ways, count) != 0)
		goto out;
	printf("%-44s %8s %8s %8s\n", "", "median", "p99 us", "per s");
	for (size_t w = 0; w < n_ways; w++)
		report(&ways[w], count);
	status = 0;
out:
	for (size_t w = 0; w < n_ways; w++)
		free(ways[w].took_ns);
	spawnd_close(bench.client);
	return status;
}
