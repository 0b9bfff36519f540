// The request table: open addressing with linear probing; a removal moves later ones back, so that
// no probe ever passes a hole.
#include "server/broker/requests.h"

#include <string.h>

static size_t slot_of(const struct requests *requests, uint64_t id)
{
	uint64_t mixed = id * 0x9e3779b97f4a7c15u;
	return (size_t)(mixed ^ mixed >> 32) & (requests->capacity - 1);
}

static size_t next_slot(const struct requests *requests, size_t slot)
{
	return (slot + 1) & (requests->capacity - 1);
}

// The slot of the id, or the free one where it belongs. There always is one: see is_crowded.
static size_t probe(const struct requests *requests, uint64_t id)
{
	size_t slot = slot_of(requests, id);
	while (requests->entries[slot].state != 0 && requests->entries[slot].id != id)
		slot = next_slot(requests, slot);
	return slot;
}

static bool is_crowded(const struct requests *requests)
{
	return requests->n_entries + 1 > requests->capacity / 4 * 3;
}

static size_t distance(const struct requests *requests, size_t from, size_t to)
{
	return (to - from) & (requests->capacity - 1);
}

static void remove_at(struct requests *requests, size_t hole)
{
	struct request_entry *entries = requests->entries;
	for (size_t slot = next_slot(requests, hole); entries[slot].state != 0;
	     slot = next_slot(requests, slot)) {
		size_t home = slot_of(requests, entries[slot].id);
		if (distance(requests, home, slot) < distance(requests, hole, slot))
			continue; // it would end up before its home
		entries[hole] = entries[slot];
		hole = slot;
	}
	entries[hole] = (struct request_entry){0};
	requests->n_entries--;
}

void requests_init(struct requests *requests, struct request_entry *memory, size_t capacity)
{
	*requests = (struct requests){.floor = 1, .capacity = capacity, .entries = memory};
}

struct request_entry *requests_grow(
    struct requests *requests, struct request_entry *memory, size_t capacity)
{
	struct request_entry *old = requests->entries;
	size_t old_capacity = requests->capacity;
	requests->entries = memory;
	requests->capacity = capacity;
	for (size_t i = 0; i < old_capacity; i++)
		if (old[i].state != 0)
			memory[probe(requests, old[i].id)] = old[i];
	return old;
}

// Where the id may be added: the free entry, and REQUEST_NEW.
static enum request_verdict add(
    struct requests *requests, uint64_t id, uint8_t state, struct request_entry **ret_entry)
{
	if (requests->n_entries >= REQUESTS_UNSETTLED_MAX)
		return REQUEST_FULL;
	if (is_crowded(requests))
		return REQUEST_GROW;
	struct request_entry *entry = &requests->entries[probe(requests, id)];
	*entry = (struct request_entry){.id = id, .state = state};
	requests->n_entries++;
	*ret_entry = entry;
	return REQUEST_NEW;
}

enum request_verdict requests_begin(struct requests *requests, uint64_t id,
    const uint8_t digest[REQUESTS_DIGEST_BYTES], struct request_entry **ret_entry)
{
	if (id < requests->floor)
		return REQUEST_BELOW_FLOOR;
	struct request_entry *entry = requests_find(requests, id);
	if (!entry) {
		enum request_verdict verdict = add(requests, id, REQUEST_PENDING, &entry);
		if (verdict != REQUEST_NEW)
			return verdict;
		memcpy(entry->digest, digest, REQUESTS_DIGEST_BYTES);
		*ret_entry = entry;
		return REQUEST_NEW;
	}
	if (entry->state == REQUEST_TOMBSTONE) {
		entry->state = REQUEST_PENDING;
		memcpy(entry->digest, digest, REQUESTS_DIGEST_BYTES);
		*ret_entry = entry;
		return REQUEST_CANCELLED;
	}
	if (memcmp(entry->digest, digest, REQUESTS_DIGEST_BYTES) != 0)
		return REQUEST_CONFLICT;
	*ret_entry = entry;
	return entry->state == REQUEST_PENDING ? REQUEST_JOIN : REQUEST_REPEAT;
}

enum request_verdict requests_bury(
    struct requests *requests, uint64_t id, struct request_entry **ret_entry)
{
	if (id < requests->floor)
		return REQUEST_BELOW_FLOOR;
	struct request_entry *entry = requests_find(requests, id);
	if (!entry)
		return add(requests, id, REQUEST_TOMBSTONE, ret_entry);
	if (entry->state != REQUEST_TOMBSTONE)
		return REQUEST_CONFLICT;
	*ret_entry = entry;
	return REQUEST_REPEAT;
}

struct request_entry *requests_find(const struct requests *requests, uint64_t id)
{
	struct request_entry *entry = &requests->entries[probe(requests, id)];
	return entry->state != 0 ? entry : NULL;
}

void requests_finish(struct request_entry *entry, void *answer)
{
	entry->state = REQUEST_DONE;
	entry->answer = answer;
}

void requests_forget(struct requests *requests, uint64_t id)
{
	size_t slot = probe(requests, id);
	if (requests->entries[slot].state != REQUEST_PENDING)
		return;
	if (id < requests->floor)
		requests->n_below--;
	remove_at(requests, slot);
}

static bool is_pending_below(const struct requests *requests, size_t slot)
{
	const struct request_entry *entry = &requests->entries[slot];
	return entry->state == REQUEST_PENDING && entry->id < requests->floor;
}

// Settles the entry at slot where it may go: true when it is gone (another may be in its slot now).
static bool settle(
    struct requests *requests, size_t slot, void (*release)(void *user, void *answer), void *user)
{
	struct request_entry *entry = &requests->entries[slot];
	if (entry->state == 0 || entry->id >= requests->floor || entry->state == REQUEST_PENDING)
		return false;
	void *answer = entry->state == REQUEST_DONE ? entry->answer : NULL;
	remove_at(requests, slot);
	release(user, answer);
	return true;
}

static size_t settle_all(
    struct requests *requests, void (*release)(void *user, void *answer), void *user)
{
	size_t n_removed = 0;
	for (size_t slot = 0; slot < requests->capacity; slot++)
		while (settle(requests, slot, release, user))
			n_removed++;
	requests->n_below = 0;
	for (size_t slot = 0; slot < requests->capacity; slot++)
		requests->n_below += is_pending_below(requests, slot);
	return n_removed;
}

size_t requests_raise_floor(struct requests *requests, uint64_t floor,
    void (*release)(void *user, void *answer), void *user)
{
	if (floor < requests->floor)
		return 0;
	uint64_t first = requests->floor;
	requests->floor = floor;
	// The usual small step looks up the ids that it passes, not the whole table.
	if (requests->n_below > 0 || floor - first >= requests->capacity)
		return settle_all(requests, release, user);
	size_t n_removed = 0;
	for (uint64_t id = first; id < floor; id++) {
		n_removed += settle(requests, probe(requests, id), release, user);
		requests->n_below += is_pending_below(requests, probe(requests, id));
	}
	return n_removed;
}
