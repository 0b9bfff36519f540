// The heap of deadlines beside a plain list, through many sets and runs in a fixed random order.
#include <criterion/criterion.h>
#include <errno.h>

#include "server/broker/deadlines.h"

#define N 200

struct item {
	struct deadline deadline;
	uint64_t expected_ms; // DEADLINE_NEVER: not set
};

static struct deadlines heap;
static struct item items[N];
static uint64_t last_ms;
static size_t n_called;

static void close_heap(void)
{
	deadlines_close(&heap);
}

static uint32_t draw(uint32_t below)
{
	static uint64_t state = 20240229;
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

static void take(void *user, uint64_t now_ms)
{
	struct item *item = user;
	cr_assert_leq(item->expected_ms, now_ms, "too early");
	cr_assert_geq(item->expected_ms, last_ms, "out of order");
	last_ms = item->expected_ms;
	item->expected_ms = DEADLINE_NEVER;
	n_called++;
}

static void set(struct item *item, uint64_t at_ms)
{
	cr_assert_eq(deadlines_set(&heap, &item->deadline, at_ms), 0);
	item->expected_ms = at_ms;
}

static uint64_t earliest(void)
{
	uint64_t at_ms = DEADLINE_NEVER;
	for (size_t i = 0; i < N; i++)
		if (items[i].expected_ms < at_ms)
			at_ms = items[i].expected_ms;
	return at_ms;
}

TestSuite(deadlines, .fini = close_heap);

Test(deadlines, agrees_with_a_list)
{
	for (size_t i = 0; i < N; i++) {
		deadline_init(&items[i].deadline, take, &items[i]);
		items[i].expected_ms = DEADLINE_NEVER;
	}
	uint64_t now_ms = 1;
	for (size_t turn = 0; turn < 200000; turn++) {
		struct item *item = &items[draw(N)];
		set(item, draw(4) == 0 ? DEADLINE_NEVER : now_ms + draw(500));
		cr_assert_eq(deadlines_next(&heap), earliest());
		if (draw(20) == 0) {
			now_ms += draw(100);
			last_ms = 0;
			deadlines_run(&heap, now_ms);
			cr_assert_gt(earliest(), now_ms, "something due was left");
		}
	}
	cr_expect_gt(n_called, 10000);
}

static void again(void *user, uint64_t now_ms)
{
	struct item *item = user;
	n_called++;
	set(item, now_ms);
}

Test(deadlines, what_is_set_again_waits_for_the_next_run)
{
	deadline_init(&items[0].deadline, again, &items[0]);
	set(&items[0], 10);
	deadlines_run(&heap, 10);
	cr_expect_eq(n_called, 1);
	cr_expect_eq(deadlines_next(&heap), 10);
	deadlines_run(&heap, 10);
	cr_expect_eq(n_called, 2);
}

static void take_others_out(void *user, uint64_t now_ms)
{
	(void)now_ms;
	n_called++;
	for (size_t i = 0; i < N; i++)
		if (&items[i] != user)
			set(&items[i], DEADLINE_NEVER);
}

Test(deadlines, one_may_remove_the_others)
{
	for (size_t i = 0; i < N; i++) {
		deadline_init(&items[i].deadline, take_others_out, &items[i]);
		set(&items[i], 10);
	}
	deadlines_run(&heap, 10);
	cr_expect_eq(n_called, 1);
	cr_expect_eq(deadlines_next(&heap), DEADLINE_NEVER);
}
