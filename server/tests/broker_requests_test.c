// The request table at its real size: the limit of 4,096, growth, floors near and far.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "server/broker/requests.h"

static struct requests table;
static uint8_t digest[REQUESTS_DIGEST_BYTES];
static size_t n_released;

static void *memory_for(size_t capacity)
{
	void *memory = calloc(capacity, sizeof(struct request_entry));
	cr_assert_not_null(memory);
	return memory;
}

static void open_table(void)
{
	requests_init(&table, memory_for(8), 8);
	n_released = 0;
}

static void close_table(void)
{
	free(table.entries);
}

static enum request_verdict begin(uint64_t id, struct request_entry **ret_entry)
{
	enum request_verdict verdict = requests_begin(&table, id, digest, ret_entry);
	if (verdict == REQUEST_GROW) {
		free(requests_grow(&table, memory_for(2 * table.capacity), 2 * table.capacity));
		verdict = requests_begin(&table, id, digest, ret_entry);
	}
	return verdict;
}

static void release(void *user, void *answer)
{
	cr_expect_eq(user, &table);
	n_released += answer != NULL;
}

TestSuite(requests, .init = open_table, .fini = close_table);

Test(requests, one_request_from_first_to_last)
{
	struct request_entry *entry = NULL;
	int answer;
	cr_assert_eq(begin(1, &entry), REQUEST_NEW);
	cr_assert_eq(entry->state, REQUEST_PENDING);
	cr_assert_eq(begin(1, &entry), REQUEST_JOIN);
	requests_finish(entry, &answer);
	cr_assert_eq(begin(1, &entry), REQUEST_REPEAT);
	cr_assert_eq(entry->answer, &answer);
	digest[0] = 1;
	cr_assert_eq(begin(1, &entry), REQUEST_CONFLICT);
	cr_assert_eq(requests_raise_floor(&table, 2, release, &table), 1);
	cr_assert_eq(n_released, 1);
	cr_assert_eq(begin(1, &entry), REQUEST_BELOW_FLOOR);
	cr_assert_null(requests_find(&table, 1));
}

Test(requests, id_zero_is_never_taken)
{
	struct request_entry *entry = NULL;
	cr_expect_eq(begin(0, &entry), REQUEST_BELOW_FLOOR);
	cr_expect_eq(requests_bury(&table, 0, &entry), REQUEST_BELOW_FLOOR);
}

Test(requests, a_buried_spawn_is_cancelled_once_and_repeated)
{
	struct request_entry *entry = NULL;
	int answer;
	cr_expect_eq(requests_bury(&table, 9, &entry), REQUEST_NEW);
	cr_expect_eq(requests_bury(&table, 9, &entry), REQUEST_REPEAT);
	cr_assert_eq(begin(9, &entry), REQUEST_CANCELLED);
	cr_expect_eq(requests_bury(&table, 9, &entry), REQUEST_CONFLICT);
	requests_finish(entry, &answer);
	cr_expect_eq(begin(9, &entry), REQUEST_REPEAT);
}

Test(requests, the_limit_holds_and_lets_repetitions_through)
{
	struct request_entry *entry = NULL;
	for (uint64_t id = 1; id <= REQUESTS_UNSETTLED_MAX; id++)
		cr_assert_eq(begin(id * 1000003, &entry), REQUEST_NEW, "%lu", id);
	cr_expect_eq(begin(1, &entry), REQUEST_FULL);
	cr_expect_eq(requests_bury(&table, 2, &entry), REQUEST_FULL);
	cr_expect_eq(begin(1000003, &entry), REQUEST_JOIN);
	cr_expect_leq(table.capacity, 8192);
	requests_forget(&table, 1000003);
	cr_expect_eq(begin(1, &entry), REQUEST_NEW);
	cr_expect_eq(begin(2, &entry), REQUEST_FULL);
}

Test(requests, pending_ones_outlast_the_floor_until_they_are_finished)
{
	struct request_entry *entry = NULL;
	int answer;
	for (uint64_t id = 1; id <= 100; id++) {
		cr_assert_eq(begin(id, &entry), REQUEST_NEW);
		if (id % 2 == 0)
			requests_finish(entry, &answer);
	}
	cr_expect_eq(requests_raise_floor(&table, 51, release, &table), 25);
	cr_expect_eq(table.n_entries, 75);
	cr_expect_eq(begin(7, &entry), REQUEST_BELOW_FLOOR);
	requests_finish(requests_find(&table, 7), &answer);
	cr_expect_eq(requests_raise_floor(&table, 40, release, &table), 0, "lower ones are ignored");
	cr_expect_eq(requests_raise_floor(&table, 51, release, &table), 1);
	cr_expect_eq(requests_raise_floor(&table, UINT64_MAX, release, &table), 25);
	cr_expect_eq(n_released, 51);
	cr_expect_eq(table.n_entries, 49);
	cr_expect_eq(begin(UINT64_MAX - 1, &entry), REQUEST_BELOW_FLOOR);
	cr_expect_eq(begin(UINT64_MAX, &entry), REQUEST_NEW);
}

Test(requests, a_long_session_stays_small)
{
	struct request_entry *entry = NULL;
	int answer;
	for (uint64_t id = 1; id <= 1000000; id++) {
		cr_assert_eq(begin(id, &entry), REQUEST_NEW);
		requests_finish(entry, &answer);
		if (id > 4)
			requests_raise_floor(&table, id - 4, release, &table);
	}
	cr_expect_eq(table.n_entries, 5);
	cr_expect_leq(table.capacity, 16);
}
