// Explores the request table through every sequence of begin, bury, finish, forget and raise over a
// few ids until no new state is found: ids side by side, ids that all fall on the end of the table
// and wrap around, and more ids than it has room for, so that it grows.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/tests/explore_set.h"
#include "server/tests/requests_watch.h"

#define IDS_MAX   7u
#define SLOTS_MAX 16u

// Everything that changes; bytes, so that there is no padding.
struct packed {
	uint8_t floor, capacity, n_below;
	uint8_t known[IDS_MAX];   // state, content, buried, executed
	uint8_t slot_of[IDS_MAX]; // 0: nowhere
};

struct run {
	const char *name;
	uint64_t ids[IDS_MAX];
	uint8_t n_ids, n_contents;
	bool buries;
	uint64_t floors[2 * IDS_MAX + 2];
	uint8_t n_floors;
	struct explore_set states;
	uint64_t n_transitions;
};

static const char *const names[] = {"begin", "bury", "finish", "forget", "raise"};

static uint32_t number(uint32_t kind, uint32_t id, uint32_t content)
{
	return kind | id << 8 | content << 16;
}

static void print_event(uint32_t event)
{
	fprintf(stderr, "  %s id or floor %u content %u\n", names[event & 0xff], event >> 8 & 0xff,
	    event >> 16);
}

static void fail(const struct run *run, uint32_t item, uint32_t event, const char *violated)
{
	fprintf(stderr, "explore_requests: %s: %s\n", run->name, violated);
	explore_trace(&run->states, item, print_event);
	print_event(event);
	exit(1);
}

static uint8_t floor_index(const struct run *run, uint64_t floor)
{
	uint8_t i = 0;
	while (run->floors[i] != floor)
		i++;
	return i;
}

static struct packed pack(const struct run *run, const struct requests_watch *watch)
{
	struct packed packed = {
	    .floor = floor_index(run, watch->floor),
	    .capacity = (uint8_t)watch->table.capacity,
	    .n_below = (uint8_t)watch->table.n_below,
	};
	for (uint8_t id = 0; id < run->n_ids; id++) {
		const struct requests_watch_id *known = &watch->known[id];
		packed.known[id] = (uint8_t)(known->state | known->content << 2 | known->buried << 3 |
		                             known->executed << 4);
		const struct request_entry *entry = requests_find(&watch->table, run->ids[id]);
		packed.slot_of[id] = entry ? (uint8_t)(1 + (entry - watch->table.entries)) : 0;
	}
	return packed;
}

// What an entry holds follows from its id's account, which was compared with it before.
static void unpack(
    const struct run *run, const struct packed *packed, struct requests_watch *ret_watch)
{
	requests_watch_init(ret_watch, run->ids, run->n_ids, packed->capacity);
	ret_watch->floor = ret_watch->table.floor = run->floors[packed->floor];
	ret_watch->table.n_below = packed->n_below;
	for (uint8_t id = 0; id < run->n_ids; id++) {
		struct requests_watch_id *known = &ret_watch->known[id];
		known->state = packed->known[id] & 3;
		known->content = packed->known[id] >> 2 & 1;
		known->buried = packed->known[id] >> 3 & 1;
		known->executed = packed->known[id] >> 4 & 1;
		if (packed->slot_of[id] != 0)
			requests_watch_put(ret_watch, id, packed->slot_of[id] - 1u);
	}
}

static void try_event(struct run *run, uint32_t item, const struct packed *from, uint32_t numbered)
{
	struct requests_watch watch;
	unpack(run, from, &watch);
	struct requests_watch_event event = {
	    .kind = (enum requests_watch_kind)(numbered & 0xff),
	    .id = (uint8_t)(numbered >> 8),
	    .content = (uint8_t)(numbered >> 16),
	};
	if (event.kind == REQUESTS_RAISE)
		event.floor = run->floors[event.id];
	const char *violated = requests_watch_step(&watch, &event);
	if (violated)
		fail(run, item, numbered, violated);
	run->n_transitions++;
	struct packed to = pack(run, &watch);
	explore_add(&run->states, &to, item, numbered);
}

static void try_all(struct run *run, uint32_t item, const struct packed *from)
{
	for (uint32_t id = 0; id < run->n_ids; id++) {
		for (uint32_t content = 0; content < run->n_contents; content++)
			try_event(run, item, from, number(REQUESTS_BEGIN, id, content));
		if (run->buries)
			try_event(run, item, from, number(REQUESTS_BURY, id, 0));
		try_event(run, item, from, number(REQUESTS_FINISH, id, 0));
		try_event(run, item, from, number(REQUESTS_FORGET, id, 0));
	}
	for (uint32_t floor = 0; floor < run->n_floors; floor++)
		try_event(run, item, from, number(REQUESTS_RAISE, floor, 0));
}

static void add_floor(struct run *run, uint64_t floor)
{
	for (uint8_t i = 0; i < run->n_floors; i++)
		if (run->floors[i] == floor)
			return;
	run->floors[run->n_floors++] = floor;
}

static void explore(struct run *run)
{
	add_floor(run, 0);
	add_floor(run, 1);
	for (uint8_t id = 0; id < run->n_ids; id++) {
		add_floor(run, run->ids[id]);
		add_floor(run, run->ids[id] + 1);
	}
	struct requests_watch watch;
	requests_watch_init(&watch, run->ids, run->n_ids, 8);
	struct packed from = pack(run, &watch);
	explore_init(&run->states, sizeof(from));
	explore_start(&run->states, &from);
	for (size_t i = 0; i < run->states.n; i++) {
		explore_get(&run->states, i, &from);
		try_all(run, (uint32_t)i, &from);
	}
	printf("explore_requests: %s: %zu states, %llu transitions\n", run->name, run->states.n,
	    (unsigned long long)run->n_transitions);
	explore_close(&run->states);
}

// The slot where an id falls in an empty table of 8.
static size_t home_of(uint64_t id)
{
	struct request_entry memory[8] = {0}, *entry;
	struct requests table;
	uint8_t digest[REQUESTS_DIGEST_BYTES] = {0};
	requests_init(&table, memory, 8);
	if (requests_begin(&table, id, digest, &entry) != REQUEST_NEW)
		exit(1);
	return (size_t)(entry - memory);
}

// Four ids of the last two slots: they wrap around to the first ones.
static void choose_colliding(struct run *run)
{
	static const size_t homes[] = {7, 6, 7, 6};
	for (uint64_t id = 1; run->n_ids < 4; id++)
		if (home_of(id) == homes[run->n_ids])
			run->ids[run->n_ids++] = id;
}

int main(void)
{
	struct run side_by_side = {.name = "side by side", .n_ids = 4, .n_contents = 2, .buries = true};
	struct run colliding = {.name = "colliding", .n_contents = 2, .buries = true};
	struct run growing = {.name = "growing", .n_ids = 7, .n_contents = 1};
	for (uint8_t id = 0; id < IDS_MAX; id++)
		side_by_side.ids[id] = growing.ids[id] = id + 1u;
	choose_colliding(&colliding);
	explore(&side_by_side);
	explore(&colliding);
	explore(&growing);
	return 0;
}
