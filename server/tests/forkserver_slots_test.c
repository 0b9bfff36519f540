// Unit tests: handles, slots, session keepsakes, tombstones, tree tags.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/forkserver/contain.h"
#include "server/forkserver/handle.h"
#include "server/forkserver/slots.h"

#define ENTRIES 500u
#define STEPS   200000

Test(forkserver_handle, agrees_with_a_plain_list)
{
	static uint32_t expected[ENTRIES * 2];
	struct handle_table table;
	uint32_t used = 0;
	cr_assert(eq(int, handle_open(&table, ENTRIES, 12345), 0));
	memset(expected, 0xff, sizeof(expected));
	srand(1);
	for (int step = 0; step < STEPS; step++) {
		uint32_t key = (uint32_t)rand() % (ENTRIES * 2), value = (uint32_t)step;
		if (rand() % 2) {
			bool full = used == ENTRIES && expected[key] == HANDLE_NONE;
			cr_assert(eq(int, handle_put(&table, key, key % 3, value), full ? -ENOSPC : 0));
			used += !full && expected[key] == HANDLE_NONE;
			expected[key] = full ? expected[key] : value;
		} else {
			handle_drop(&table, key, key % 3);
			used -= expected[key] != HANDLE_NONE;
			expected[key] = HANDLE_NONE;
		}
		cr_assert(eq(u32, table.used, used));
		uint32_t other = (uint32_t)rand() % (ENTRIES * 2);
		cr_assert(eq(u32, handle_find(&table, other, other % 3), expected[other]));
	}
	for (uint32_t key = 0; key < ENTRIES * 2; key++)
		cr_assert(eq(u32, handle_find(&table, key, key % 3), expected[key]));
	handle_close(&table);
}

static struct slots slots;

static void open_slots(void)
{
	cr_assert(eq(int, slots_open(&slots, ENTRIES, 1), 0));
}

static void close_slots(void)
{
	slots_close(&slots);
}

TestSuite(forkserver_slots, .init = open_slots, .fini = close_slots);

static struct link_key key_of(uint64_t request)
{
	return (struct link_key){.session_id = 9, .request_id = request};
}

static struct slot *take(uint64_t id)
{
	struct slot *slot = slots_take(&slots, id, key_of(id));
	if (slot)
		slot->state = SLOT_LIVE;
	return slot;
}

Test(forkserver_slots, found_by_id_and_key_until_given_back)
{
	struct slot *slot = take(5);
	cr_assert(eq(ptr, slots_find(&slots, 5), slot));
	cr_assert(slots_has_key(&slots, key_of(5)));
	cr_assert(not(slots_has_key(&slots, key_of(6))));
	slots_give(&slots, slot);
	cr_assert(eq(ptr, slots_find(&slots, 5), NULL));
	cr_assert(not(slots_has_key(&slots, key_of(5))));
}

Test(forkserver_slots, a_place_used_anew_is_told_apart)
{
	struct slot *slot = take(5);
	uint32_t index = slots_index(&slots, slot), generation = slot->generation;
	cr_assert(eq(ptr, slots_at(&slots, index, generation), slot));
	slots_give(&slots, slot);
	cr_assert(eq(ptr, slots_at(&slots, index, generation), NULL));
	struct slot *again = take(6);
	cr_assert(eq(ptr, again, slot), "the place is the same");
	cr_assert(eq(ptr, slots_at(&slots, index, generation), NULL));
	cr_assert(eq(ptr, slots_at(&slots, index, again->generation), slot));
	cr_assert(eq(ptr, slots_at(&slots, ENTRIES, 0), NULL));
}

Test(forkserver_slots, a_fresh_slot_holds_nothing_of_the_last_one)
{
	struct slot *slot = take(5);
	slot->pid = 77;
	slot->rung = 3;
	slot->unsent = 7;
	slot_keep(slot, (const uint8_t *)"abc", 3);
	cr_assert(eq(u32, slot->keepsake_size, 3));
	slots_give(&slots, slot);
	slot = take(6);
	cr_assert(eq(int, slot->pid, 0));
	cr_assert(eq(u32, slot->rung | slot->unsent, 0));
	cr_assert(eq(int, slot->pidfd, -1));
	cr_assert(eq(u32, slot->keepsake_size, 0));
}

Test(forkserver_slots, bounded)
{
	for (uint64_t id = 1; id <= ENTRIES; id++)
		cr_assert(ne(ptr, take(id), NULL));
	cr_assert(eq(ptr, take(ENTRIES + 1), NULL));
	slots_give(&slots, slots_find(&slots, 17));
	cr_assert(ne(ptr, take(ENTRIES + 1), NULL));
	cr_assert(eq(ptr, take(ENTRIES + 2), NULL));
}

Test(forkserver_slots, session_keepsakes)
{
	const uint8_t first[] = "first", second[] = "second one";
	cr_assert(eq(int, slots_keep_session(&slots, 7ull << 32 | 4, first, sizeof(first)), 0));
	cr_assert(eq(int, slots_keep_session(&slots, 7ull << 32 | 4, second, sizeof(second)), 0));
	cr_assert(eq(u32, slots.touched_sessions, 1), "replaced, not added");
	cr_assert(eq(u32, slots.sessions[0].size, sizeof(second)));
	cr_assert(eq(u32, slots.highest_session, 4));
	cr_assert(eq(int, slots_keep_session(&slots, 7ull << 32 | 4, NULL, 0), 0));
	for (uint32_t i = 0; i < SLOT_SESSIONS_MAX; i++)
		cr_assert(eq(int, slots_keep_session(&slots, 1 + i, first, 1), 0));
	cr_assert(eq(int, slots_keep_session(&slots, 1ull << 40, first, 1), -ENOSPC));
}

Test(forkserver_slots, tombstones)
{
	cr_assert(not(slots_has_tombstone(&slots, key_of(1))));
	cr_assert(eq(int, slots_keep_tombstone(&slots, key_of(1)), 0));
	cr_assert(slots_has_tombstone(&slots, key_of(1)));
	slots_drop_tombstone(&slots, key_of(1));
	cr_assert(not(slots_has_tombstone(&slots, key_of(1))));
}

// --- tags ----------------------------------------------------------------------------------------

static void check_tags(uint64_t limit, uint32_t random, struct contain *ret_contain)
{
	const uint32_t numbers[] = {1, 2, 3, 1000, 65536, 1u << 24, UINT32_MAX / 4};
	contain_open(ret_contain, limit, random);
	cr_assert(eq(u64, contain_tag(ret_contain, 0), 0));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uint64_t tag = contain_tag(ret_contain, numbers[i]);
		if (tag == 0)
			continue;
		cr_assert(lt(u64, tag, limit), "only a lower limit can be set without privilege");
		cr_assert(eq(u32, contain_number(ret_contain, tag), numbers[i]));
	}
	cr_assert(eq(u32, contain_number(ret_contain, limit), 0), "the server's own limit is no tag");
}

Test(forkserver_contain, an_outer_server_knows_what_an_inner_one_tags)
{
	struct contain outer, inner, innermost;
	check_tags(UINT64_MAX, 5, &outer);
	for (uint32_t number = 1; number < 1000; number += 99) {
		uint64_t tag = contain_tag(&outer, number);
		cr_assert(ne(u64, tag, 0));
		check_tags(tag, 77, &inner);
		uint64_t inner_tag = contain_tag(&inner, 5);
		cr_assert(ne(u64, inner_tag, 0));
		cr_assert(eq(u32, contain_number(&outer, inner_tag), number));
		check_tags(inner_tag, 12345678, &innermost);
		uint64_t innermost_tag = contain_tag(&innermost, 3);
		cr_assert(ne(u64, innermost_tag, 0));
		cr_assert(eq(u32, contain_number(&outer, innermost_tag), number));
		uint32_t taken_for = contain_number(&inner, innermost_tag);
		cr_assert(taken_for == 0 || taken_for > 1u << 30, "no tree that an inner server has soon");
	}
	cr_assert(ne(u64, contain_tag(&outer, UINT32_MAX - 1), 0));
}

Test(forkserver_contain, a_limit_with_little_room)
{
	struct contain contain;
	for (uint64_t limit = 0; limit < 100; limit++)
		check_tags(limit, 41, &contain);
	contain_open(&contain, 100, 7);
	cr_assert(ne(u64, contain_tag(&contain, 1), 0));
	cr_assert(eq(u64, contain_tag(&contain, 1000), 0), "then there is no proof, but no mistake");
}
