// The request table's invariants, written down a second time and naively.
#include "server/tests/requests_watch.h"

#include <string.h>

struct releases {
	size_t n;
	void *answers[WATCH_IDS];
};

static char tags[WATCH_IDS]; // what joins a pending request: an address of its own for each id

static void collect(void *user, void *answer)
{
	struct releases *releases = user;
	if (releases->n < WATCH_IDS)
		releases->answers[releases->n] = answer;
	releases->n++;
}

static void fill_digest(uint8_t digest[REQUESTS_DIGEST_BYTES], uint8_t content)
{
	memset(digest, 0x55, REQUESTS_DIGEST_BYTES);
	digest[REQUESTS_DIGEST_BYTES - 1] = content;
}

static void *answer_of(uint8_t id, const struct requests_watch_id *known)
{
	return (void *)(uintptr_t)(1u + id * 4u + known->content * 2u + known->buried);
}

void requests_watch_init(
    struct requests_watch *watch, const uint64_t *ids, uint8_t n_ids, size_t capacity)
{
	memset(watch, 0, sizeof(*watch));
	watch->n_ids = n_ids;
	memcpy(watch->ids, ids, n_ids * sizeof(*ids));
	watch->floor = 1;
	requests_init(&watch->table, watch->memory[0], capacity);
}

static enum request_verdict begin_owed(
    const struct requests_watch *watch, const struct requests_watch_event *event)
{
	const struct requests_watch_id *known = &watch->known[event->id];
	if (watch->ids[event->id] < watch->floor)
		return REQUEST_BELOW_FLOOR;
	switch (known->state) {
	case 0:
		return REQUEST_NEW;
	case REQUEST_TOMBSTONE:
		return REQUEST_CANCELLED;
	default:
		if (known->content != event->content)
			return REQUEST_CONFLICT;
		return known->state == REQUEST_PENDING ? REQUEST_JOIN : REQUEST_REPEAT;
	}
}

static enum request_verdict bury_owed(
    const struct requests_watch *watch, const struct requests_watch_event *event)
{
	const struct requests_watch_id *known = &watch->known[event->id];
	if (watch->ids[event->id] < watch->floor)
		return REQUEST_BELOW_FLOOR;
	if (known->state == 0)
		return REQUEST_NEW;
	return known->state == REQUEST_TOMBSTONE ? REQUEST_REPEAT : REQUEST_CONFLICT;
}

static void grow(struct requests_watch *watch)
{
	struct request_entry *larger = watch->memory[1 - watch->in_use];
	memset(larger, 0, sizeof(watch->memory[0]));
	struct request_entry *old = requests_grow(&watch->table, larger, 2 * watch->table.capacity);
	memset(old, 0xaa, sizeof(watch->memory[0])); // nobody may look there any more
	watch->in_use = 1 - watch->in_use;
}

static enum request_verdict ask(struct requests_watch *watch,
    const struct requests_watch_event *event, struct request_entry **ret_entry)
{
	uint64_t id = watch->ids[event->id];
	uint8_t digest[REQUESTS_DIGEST_BYTES];
	fill_digest(digest, event->content);
	return event->kind == REQUESTS_BEGIN ? requests_begin(&watch->table, id, digest, ret_entry)
	                                     : requests_bury(&watch->table, id, ret_entry);
}

static const char *step_ask(struct requests_watch *watch, const struct requests_watch_event *event)
{
	bool begins = event->kind == REQUESTS_BEGIN;
	enum request_verdict owed = begins ? begin_owed(watch, event) : bury_owed(watch, event);
	struct request_entry *entry = NULL;
	enum request_verdict verdict = ask(watch, event, &entry);
	if (verdict == REQUEST_GROW) {
		if (owed != REQUEST_NEW || watch->table.n_entries + 2 < watch->table.capacity / 2)
			return "the table asks for room that it does not need";
		grow(watch);
		verdict = ask(watch, event, &entry);
	}
	if (verdict != owed)
		return "the verdict is not the list's";
	struct requests_watch_id *known = &watch->known[event->id];
	if (verdict == REQUEST_CONFLICT || verdict == REQUEST_BELOW_FLOOR)
		return entry ? "a refusal hands out an entry" : NULL;
	if (!entry || entry != requests_find(&watch->table, watch->ids[event->id]))
		return "the verdict hands out another entry";
	if (verdict == REQUEST_NEW && begins && known->executed)
		return "a request is carried out twice";
	if (verdict == REQUEST_NEW || verdict == REQUEST_CANCELLED) {
		known->executed = verdict == REQUEST_NEW && begins;
		known->state = begins ? REQUEST_PENDING : REQUEST_TOMBSTONE;
		known->content = begins ? event->content : 0;
		known->buried = !begins || verdict == REQUEST_CANCELLED;
		if (begins)
			entry->joined = &tags[event->id];
	}
	return NULL;
}

static const char *step_raise(struct requests_watch *watch, uint64_t floor)
{
	size_t n_owed = 0;
	struct releases releases = {0};
	size_t n_removed = requests_raise_floor(&watch->table, floor, collect, &releases);
	if (floor >= watch->floor)
		watch->floor = floor;
	for (uint8_t id = 0; id < watch->n_ids && floor >= watch->floor; id++) {
		struct requests_watch_id *known = &watch->known[id];
		if (known->state == 0 || known->state == REQUEST_PENDING || watch->ids[id] >= floor)
			continue;
		void *answer = known->state == REQUEST_DONE ? answer_of(id, known) : NULL;
		size_t at = 0;
		while (at < releases.n && releases.answers[at] != answer)
			at++;
		if (at == releases.n)
			return "the answer of a settled request is not released";
		releases.answers[at] = (void *)tags; // seen
		known->state = 0;
		n_owed++;
	}
	return releases.n == n_owed && n_removed == n_owed ? NULL : "too much is released";
}

static void step_pending(struct requests_watch *watch, const struct requests_watch_event *event)
{
	struct requests_watch_id *known = &watch->known[event->id];
	uint64_t id = watch->ids[event->id];
	if (known->state != REQUEST_PENDING)
		return;
	if (event->kind == REQUESTS_FINISH) {
		requests_finish(requests_find(&watch->table, id), answer_of(event->id, known));
		known->state = REQUEST_DONE;
	} else if (!known->buried) {
		requests_forget(&watch->table, id);
		known->state = 0;
		known->executed = false;
	}
}

static const char *compare(const struct requests_watch *watch)
{
	size_t n_known = 0;
	for (uint8_t id = 0; id < watch->n_ids; id++) {
		const struct requests_watch_id *known = &watch->known[id];
		const struct request_entry *entry = requests_find(&watch->table, watch->ids[id]);
		if ((entry != NULL) != (known->state != 0))
			return entry ? "a request is there that is gone" : "a request is lost";
		if (!entry)
			continue;
		n_known++;
		if (entry->id != watch->ids[id] || entry->state != known->state)
			return "an entry has another state";
		uint8_t digest[REQUESTS_DIGEST_BYTES];
		fill_digest(digest, known->content);
		if (known->state != REQUEST_TOMBSTONE && memcmp(entry->digest, digest, sizeof(digest)) != 0)
			return "an entry has another content";
		if (known->state != REQUEST_TOMBSTONE && entry->joined != &tags[id])
			return "what had joined is lost";
		if (known->state == REQUEST_DONE && entry->answer != answer_of(id, known))
			return "an answer changed";
	}
	if (watch->table.n_entries != n_known)
		return "entries are miscounted";
	return watch->table.floor == watch->floor ? NULL : "the floor is another one";
}

const char *requests_watch_step(
    struct requests_watch *watch, const struct requests_watch_event *event)
{
	const char *violated = NULL;
	if (event->kind == REQUESTS_BEGIN || event->kind == REQUESTS_BURY)
		violated = step_ask(watch, event);
	else if (event->kind == REQUESTS_RAISE)
		violated = step_raise(watch, event->floor);
	else
		step_pending(watch, event);
	return violated ? violated : compare(watch);
}

void requests_watch_put(struct requests_watch *watch, uint8_t id, size_t slot)
{
	const struct requests_watch_id *known = &watch->known[id];
	struct request_entry *entry = &watch->table.entries[slot];
	*entry = (struct request_entry){.id = watch->ids[id], .state = known->state};
	if (known->state != REQUEST_TOMBSTONE) {
		fill_digest(entry->digest, known->content);
		entry->joined = &tags[id];
	}
	if (known->state == REQUEST_DONE)
		entry->answer = answer_of(id, known);
	watch->table.n_entries++;
}
