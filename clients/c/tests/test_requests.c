// Request ids and the floor; when a call is sent again.
#include "clients/c/src/requests.h"
#include "clients/c/src/retry.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

#define THREADS    8
#define PER_THREAD 2000

static struct requests requests;

static uint64_t take(bool recorded, uint64_t *ret_floor)
{
	uint64_t id;
	cr_assert_eq(requests_take(&requests, recorded, &id, ret_floor), 0);
	return id;
}

static void begin(void)
{
	requests_init(&requests);
}

static void end(void)
{
	requests_free(&requests);
}

TestSuite(requests, .init = begin, .fini = end);

Test(requests, counted_from_one)
{
	uint64_t floor;
	for (uint64_t i = 1; i < 300; i++)
		cr_assert_eq(take(i % 3, &floor), i);
}

Test(requests, the_floor_stays_at_the_oldest_unsettled)
{
	uint64_t floor;
	uint64_t first = take(true, &floor), second = take(true, &floor), read = take(false, &floor);
	cr_assert_eq(floor, first);
	requests_settle(&requests, second);
	requests_settle(&requests, read);
	requests_settle(&requests, 77);
	take(false, &floor);
	cr_assert_eq(floor, first);
	requests_settle(&requests, first);
	uint64_t next = take(true, &floor);
	cr_assert_eq(floor, next);
	cr_assert(requests_is_passed(&requests, second));
	cr_assert_not(requests_is_passed(&requests, next));
}

Test(requests, an_indeterminate_one_holds_thousands)
{
	uint64_t floor, stuck = take(true, &floor);
	for (int i = 0; i < 5000; i++) {
		requests_settle(&requests, take(true, &floor));
		cr_assert_eq(floor, stuck);
	}
	requests_settle(&requests, stuck);
	uint64_t id = take(false, &floor);
	cr_assert_eq(floor, id);
}

// Whatever is taken and settled in whatever order: the floor never falls, never passes an unsettled
// id, and no id comes twice. Exhaustive for 7 steps of 5 kinds.
Test(requests, every_short_history)
{
	unsigned n_histories = 0;
	for (unsigned code = 0; code < 5 * 5 * 5 * 5 * 5 * 5 * 5; code++) {
		struct requests own;
		uint64_t held[8], id, floor, last_floor = 0, last_id = 0;
		size_t n_held = 0;
		unsigned steps = code;
		requests_init(&own);
		for (int i = 0; i < 7; i++, steps /= 5) {
			unsigned step = steps % 5;
			if (step <= 1) {
				requests_take(&own, step == 0, &id, &floor);
				cr_assert_gt(id, last_id);
				cr_assert_geq(floor, last_floor);
				cr_assert_leq(floor, id);
				for (size_t k = 0; k < n_held; k++)
					cr_assert_leq(floor, held[k]);
				last_id = id;
				last_floor = floor;
				if (step == 0)
					held[n_held++] = id;
			} else if (n_held) {
				size_t at = (step - 2) % n_held;
				requests_settle(&own, held[at]);
				for (size_t k = at + 1; k < n_held; k++)
					held[k - 1] = held[k];
				n_held--;
			}
		}
		requests_free(&own);
		n_histories++;
	}
	printf("requests: %u histories\n", n_histories);
}

static void *hammer(void *seen)
{
	uint64_t floor, id;
	for (int i = 0; i < PER_THREAD; i++) {
		requests_take(&requests, true, &id, &floor);
		if (floor > id || __atomic_exchange_n(&((unsigned char *)seen)[id], 1, __ATOMIC_SEQ_CST))
			return seen;
		requests_settle(&requests, id);
	}
	return NULL;
}

Test(requests, from_many_threads)
{
	static unsigned char seen[THREADS * PER_THREAD + 2];
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, hammer, seen), 0);
	for (int i = 0; i < THREADS; i++) {
		void *wrong;
		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong, "an id twice, or a floor above it");
	}
	uint64_t floor;
	cr_assert_eq(take(false, &floor), THREADS * PER_THREAD + 1);
	cr_assert_eq(floor, THREADS * PER_THREAD + 1);
}

Test(retry, attempts_at_their_times)
{
	static const uint64_t at_ms[] = {0, 250, 750, 1750, 3750, 5750, 7750};
	uint64_t time_us = 0;
	for (unsigned attempt = 0; attempt < 6; attempt++) {
		cr_assert_eq(time_us, at_ms[attempt] * 1000);
		time_us += retry_gap_us(attempt);
	}
}

Test(retry, pauses_after_losses_do_not_shrink_and_are_bounded)
{
	cr_assert_eq(retry_after_loss_us(1), 0);
	for (unsigned n = 2; n < 100; n++) {
		cr_assert_geq(retry_after_loss_us(n), retry_after_loss_us(n - 1));
		cr_assert_leq(retry_after_loss_us(n), 2000000);
	}
}
