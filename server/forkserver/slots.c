// The tables that outlive a broker.
#include "server/forkserver/slots.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define SLOT_BYTES 4096u

// One page each, so that a slot's memory is touched with the slot.
union slot_page {
	struct slot slot;
	uint8_t page[SLOT_BYTES];
};
static_assert(sizeof(union slot_page) == SLOT_BYTES, "a slot fills one page");

static void *reserve(size_t bytes)
{
	void *memory = mmap(
	    NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

static void release(void *memory, size_t bytes)
{
	if (memory)
		munmap(memory, bytes);
}

static struct slot *entry(const struct slots *slots, uint32_t index)
{
	return &((union slot_page *)(void *)slots->table)[index].slot;
}

int slots_open(struct slots *slots, uint32_t max_records, uint64_t seed)
{
	memset(slots, 0, sizeof(*slots));
	TAILQ_INIT(&slots->all);
	slots->max = max_records;
	slots->table = reserve((size_t)max_records * SLOT_BYTES);
	slots->free_list = reserve((size_t)max_records * sizeof(uint32_t));
	slots->sessions = reserve(SLOT_SESSIONS_MAX * sizeof(struct session_keepsake));
	slots->free_sessions = reserve(SLOT_SESSIONS_MAX * sizeof(uint32_t));
	int r = -ENOMEM;
	if (slots->table && slots->free_list && slots->sessions && slots->free_sessions)
		r = handle_open(&slots->by_id, max_records, seed);
	if (r == 0)
		r = handle_open(&slots->by_key, max_records, seed);
	if (r == 0)
		r = handle_open(&slots->by_session, SLOT_SESSIONS_MAX, seed);
	if (r == 0)
		r = handle_open(&slots->tombstones, SLOT_TOMBSTONES_MAX, seed);
	if (r < 0)
		slots_close(slots);
	return r;
}

void slots_close(struct slots *slots)
{
	release(slots->table, (size_t)slots->max * SLOT_BYTES);
	release(slots->free_list, (size_t)slots->max * sizeof(uint32_t));
	release(slots->sessions, SLOT_SESSIONS_MAX * sizeof(struct session_keepsake));
	release(slots->free_sessions, SLOT_SESSIONS_MAX * sizeof(uint32_t));
	handle_close(&slots->by_id);
	handle_close(&slots->by_key);
	handle_close(&slots->by_session);
	handle_close(&slots->tombstones);
	memset(slots, 0, sizeof(*slots));
}

struct slot *slots_take(struct slots *slots, uint64_t process_id, struct link_key key)
{
	uint32_t index;
	if (slots->n_free > 0)
		index = slots->free_list[--slots->n_free];
	else if (slots->touched < slots->max)
		index = slots->touched++;
	else
		return NULL;
	// Neither can fail: both tables hold as many entries as there are slots.
	handle_put(&slots->by_id, process_id, 0, index);
	handle_put(&slots->by_key, key.session_id, key.request_id, index);
	struct slot *slot = entry(slots, index);
	uint32_t generation = slot->generation;
	memset(slot, 0, offsetof(struct slot, keepsake));
	slot->generation = (generation + 1) & SLOT_GENERATION_MASK;
	slot->process_id = process_id;
	slot->key = key;
	slot->pidfd = slot->stdin_fd = slot->cancel_fd = slot->job = -1;
	for (uint32_t i = 0; i < LINK_STREAMS; i++)
		slot->streams[i] = (struct stream){.fd = -1, .number = i, .last_byte = UINT64_MAX};
	LIST_INIT(&slot->orphans);
	TAILQ_INSERT_TAIL(&slots->all, slot, all_queue);
	slots->used++;
	return slot;
}

void slots_give(struct slots *slots, struct slot *slot)
{
	handle_drop(&slots->by_id, slot->process_id, 0);
	handle_drop(&slots->by_key, slot->key.session_id, slot->key.request_id);
	TAILQ_REMOVE(&slots->all, slot, all_queue);
	slot->state = SLOT_FREE;
	slot->generation = (slot->generation + 1) & SLOT_GENERATION_MASK;
	slots->used--;
	slots->free_list[slots->n_free++] = slots_index(slots, slot);
}

struct slot *slots_find(const struct slots *slots, uint64_t process_id)
{
	uint32_t index = handle_find(&slots->by_id, process_id, 0);
	return index == HANDLE_NONE ? NULL : entry(slots, index);
}

bool slots_has_key(const struct slots *slots, struct link_key key)
{
	return handle_find(&slots->by_key, key.session_id, key.request_id) != HANDLE_NONE;
}

uint32_t slots_index(const struct slots *slots, const struct slot *slot)
{
	return (uint32_t)((const union slot_page *)(const void *)slot -
	                  (const union slot_page *)(const void *)slots->table);
}

struct slot *slots_at(const struct slots *slots, uint32_t index, uint32_t generation)
{
	if (index >= slots->touched)
		return NULL;
	struct slot *slot = entry(slots, index);
	return slot->state != SLOT_FREE && slot->generation == generation ? slot : NULL;
}

void slot_keep(struct slot *slot, const uint8_t *keepsake, uint32_t size)
{
	memcpy(slot->keepsake, keepsake, size);
	slot->keepsake_size = size;
}

static int drop_session(struct slots *slots, uint64_t session_id, uint32_t index)
{
	if (index == HANDLE_NONE)
		return 0;
	handle_drop(&slots->by_session, session_id, 0);
	slots->sessions[index].size = 0;
	slots->free_sessions[slots->n_free_sessions++] = index;
	return 0;
}

int slots_keep_session(
    struct slots *slots, uint64_t session_id, const uint8_t *keepsake, uint32_t size)
{
	uint32_t number = (uint32_t)session_id;
	uint32_t index = handle_find(&slots->by_session, session_id, 0);
	if (number > slots->highest_session)
		slots->highest_session = number;
	if (size == 0)
		return drop_session(slots, session_id, index);
	if (index == HANDLE_NONE) {
		if (slots->n_free_sessions > 0)
			index = slots->free_sessions[--slots->n_free_sessions];
		else if (slots->touched_sessions < SLOT_SESSIONS_MAX)
			index = slots->touched_sessions++;
		else
			return -ENOSPC;
		handle_put(&slots->by_session, session_id, 0, index);
	}
	struct session_keepsake *session = &slots->sessions[index];
	session->session_id = session_id;
	session->size = size;
	memcpy(session->bytes, keepsake, size);
	return 0;
}

int slots_keep_tombstone(struct slots *slots, struct link_key key)
{
	return handle_put(&slots->tombstones, key.session_id, key.request_id, 0);
}

void slots_drop_tombstone(struct slots *slots, struct link_key key)
{
	handle_drop(&slots->tombstones, key.session_id, key.request_id);
}

bool slots_has_tombstone(const struct slots *slots, struct link_key key)
{
	return handle_find(&slots->tombstones, key.session_id, key.request_id) != HANDLE_NONE;
}
