// Fuzz target: drives a ladder or a request table with events made of the input's bytes; what must
// hold after each is what the explorers check.
#include <stdio.h>
#include <stdlib.h>

#include "server/tests/ladder_watch.h"
#include "server/tests/requests_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	const uint8_t *data;
	size_t left;
};

static uint8_t take(struct bytes *bytes)
{
	if (bytes->left == 0)
		return 0;
	bytes->left--;
	return *bytes->data++;
}

static void must_hold(const char *violated)
{
	if (!violated)
		return;
	fprintf(stderr, "fuzz_tables: %s\n", violated);
	abort();
}

static uint64_t take_wait(struct bytes *bytes)
{
	static const uint64_t chosen[] = {0, 1, LADDER_WAIT_MAX_MS, LADDER_WAIT_MAX_MS + 1,
	    LADDER_FOREVER, LADDER_FOREVER - 1, 2000, 5000};
	uint8_t kind = take(bytes);
	return kind < 128 ? chosen[kind % 8] : (uint64_t)(kind - 128u) << 8 | take(bytes);
}

static struct ladder_rung take_rung(struct bytes *bytes)
{
	uint8_t kind = take(bytes);
	struct ladder_rung rung = {.action = kind & 3, .scope = kind >> 2 & 7};
	rung.signal = kind & 0x80 ? take(bytes) : rung.action == LADDER_SIGNAL ? 15 : 0;
	rung.wait_ms = take_wait(bytes);
	return rung;
}

static void check_init(const struct ladder *ladder, const struct ladder_rung *rungs, size_t n)
{
	if (ladder->n_rungs < 1 || ladder->n_rungs > LADDER_RUNGS_MAX)
		must_hold("the ladder has no length");
	for (size_t i = 0; i < ladder->n_rungs; i++) {
		const struct ladder_rung *rung = &ladder->rungs[i];
		bool kills = rung->action == LADDER_SIGNAL && rung->signal == 9;
		bool last = i + 1u == ladder->n_rungs;
		if (kills != last || (last && rung->scope != LADDER_TREE))
			must_hold("KILL is not the last rung, on the tree");
		if (rung->wait_ms > LADDER_WAIT_MAX_MS && rung->wait_ms != LADDER_FOREVER)
			must_hold("a wait is over its limit");
		if (i < n && (rung->signal != rungs[i].signal || rung->wait_ms != rungs[i].wait_ms))
			must_hold("a rung is not what was asked for");
	}
}

static bool take_ladder(struct bytes *bytes, struct ladder *ret_ladder)
{
	struct ladder_rung rungs[LADDER_RUNGS_MAX + 2] = {0};
	uint8_t head = take(bytes);
	size_t n = (head & 15) % (LADDER_RUNGS_MAX + 3), index = 99;
	for (size_t i = 0; i < n; i++)
		rungs[i] = take_rung(bytes);
	if (ladder_init(ret_ladder, rungs, n, head & 16, &index) != LADDER_OK) {
		if (index >= n)
			must_hold("a fault is not at one of the rungs");
		return false;
	}
	check_init(ret_ladder, rungs, n);
	return true;
}

static struct watch_event take_event(
    struct bytes *bytes, const struct ladder *ladder, const struct watch *watch)
{
	uint8_t head = take(bytes);
	struct watch_event event = {
	    .kind = (enum watch_kind)((head & 15) % WATCH_KINDS), .flag = head & 16};
	switch (event.kind) {
	case WATCH_CANCEL:
		event.rung = head & 32 ? LADDER_LAST : take(bytes) % (ladder->n_rungs + 2u);
		event.wait_ms = take_wait(bytes);
		break;
	case WATCH_ACTED: // in order, as the root does; or said again
		event.rung = watch_unacted(watch) ? watch_unacted(watch) : ladder->acted;
		break;
	case WATCH_ANSWERED:
		event.rung = head & 32 ? watch->reached : take(bytes) % (ladder->n_rungs + 1u);
		break;
	case WATCH_OWNER_LOST:
		event.rung = take(bytes) % 3;
		break;
	default:
		break;
	}
	return event;
}

static uint64_t take_time(struct bytes *bytes, uint64_t now_ms, const struct ladder *ladder)
{
	uint8_t step = take(bytes);
	uint64_t later_ms = now_ms + step;
	if (step >= 192 && ladder->due_ms != LADDER_FOREVER && ladder->due_ms > now_ms)
		later_ms = ladder->due_ms - (step & 1);
	else if (step >= 160)
		later_ms = now_ms + ((uint64_t)step << (step & 31));
	return later_ms < now_ms || later_ms == UINT64_MAX ? UINT64_MAX - 1 : later_ms;
}

static void drive_ladder(struct bytes *bytes)
{
	struct ladder ladder;
	if (!take_ladder(bytes, &ladder))
		return;
	struct watch watch = {0};
	uint64_t now_ms = take(bytes) & 1 ? UINT64_MAX - 100000u : 1;
	while (bytes->left > 0) {
		struct watch_event event = take_event(bytes, &ladder, &watch);
		if (event.kind == WATCH_ACTED && event.rung == 0)
			continue;
		must_hold(watch_step(&ladder, &watch, now_ms, &event));
		must_hold(watch_stalled_client(ladder, watch, now_ms));
		now_ms = take_time(bytes, now_ms, &ladder);
	}
}

static void drive_requests(struct bytes *bytes)
{
	static struct requests_watch watch;
	uint64_t ids[WATCH_IDS];
	uint8_t n_dense = take(bytes) % (WATCH_IDS + 1);
	for (uint8_t i = 0; i < WATCH_IDS; i++)
		ids[i] = i < n_dense ? i + 1u : ((uint64_t)take(bytes) << 8 | i) + 256u;
	requests_watch_init(&watch, ids, WATCH_IDS, 8);
	while (bytes->left > 0) {
		uint8_t head = take(bytes), more = take(bytes);
		struct requests_watch_event event = {
		    .kind = (enum requests_watch_kind)((head & 7) % REQUESTS_KINDS),
		    .id = more % WATCH_IDS,
		    .content = head >> 7,
		};
		event.floor = ids[event.id] + (head >> 6 & 1);
		must_hold(requests_watch_step(&watch, &event));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes bytes = {data, size < 4096 ? size : 4096};
	if (take(&bytes) & 1)
		drive_requests(&bytes);
	else
		drive_ladder(&bytes);
	return 0;
}
