// An exit record drawn as a timeline of rungs, one line an event.
#include "clients/spawnctl/timeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clients/spawnctl/duration.h"
#include "clients/spawnctl/plain_text.h"
#include "clients/spawnctl/record_text.h"

// Events of one millisecond are drawn in this order.
enum event_kind { EVENT_START, EVENT_RUNG, EVENT_LEADER_END, EVENT_TREE_EMPTY };

struct event {
	uint64_t at_ms;
	int kind; // enum event_kind
	size_t place;
	const struct spawnd_journal_entry *entry; // with EVENT_RUNG
};

static int compare_events(const void *left, const void *right)
{
	const struct event *a = left, *b = right;

	if (a->at_ms != b->at_ms)
		return a->at_ms < b->at_ms ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind - b->kind;
	return a->place < b->place ? -1 : a->place > b->place;
}

static const char *climber_word(int climber)
{
	switch (climber) {
	case SPAWND_CLIMBER_CLIENT:
		return "client";
	case SPAWND_CLIMBER_NET:
		return "server";
	default:
		return "?";
	}
}

// Where it waits is told of those alone that no signal wakes; the record has it of all.
static void draw_member(const struct spawnd_member *member, FILE *out)
{
	char *comm = plain_text_escape(member->comm, 1);
	char *waits_in = plain_text_escape(member->waits_in, 1);

	fprintf(out, "%s[%" PRIu32 "]", comm ? comm : "?", member->pid);
	if (member->state)
		fprintf(out, " %c", member->state);
	if (member->state == 'D' && waits_in && *waits_in)
		fprintf(out, " in %s", waits_in);
	free(comm);
	free(waits_in);
}

static void draw_left(const struct spawnd_journal_entry *entry, FILE *out)
{
	if (entry->left_count == 0) {
		fprintf(out, "nobody left");
		return;
	}
	fprintf(out, "%" PRIu32 " left: ", entry->left_count);
	for (size_t i = 0; i < entry->n_left; i++) {
		if (i > 0)
			fprintf(out, ", ");
		draw_member(&entry->left[i], out);
	}
	if (entry->left_count > entry->n_left)
		fprintf(out, "%s and %zu more", entry->n_left > 0 ? "," : "",
		    entry->left_count - entry->n_left);
}

static void draw_rung(const struct spawnd_journal_entry *entry, FILE *out)
{
	char what[48];

	record_text_format_rung(entry->action, entry->signal, entry->scope, what, sizeof what);
	if (entry->skipped) {
		fprintf(out, "rung %" PRIu32 "  %-16s  skipped", entry->rung, what);
		return;
	}
	fprintf(out, "rung %" PRIu32 "  %-16s  hit %-3" PRIu32 " by %s  ", entry->rung, what,
	    entry->hit, climber_word(entry->climber));
	draw_left(entry, out);
}

static void draw_event(const struct spawnd_exit *record, const struct event *event, FILE *out)
{
	char words[256];

	fprintf(out, "  %4" PRIu64 ".%03u s  ", event->at_ms / 1000, (unsigned)(event->at_ms % 1000));
	switch (event->kind) {
	case EVENT_START:
		fprintf(out, "o  started");
		break;
	case EVENT_RUNG:
		fprintf(out, "|  ");
		draw_rung(event->entry, out);
		break;
	case EVENT_LEADER_END:
		record_text_format_end(record, words, sizeof words);
		fprintf(out, "x  %s", words);
		break;
	default:
		fprintf(out, "o  tree empty, proof %s", spawnd_tree_proof_name(record->tree_proof));
		break;
	}
	fputc('\n', out);
}

int timeline_draw(const struct spawnd_exit *record, FILE *out)
{
	struct event *events;
	size_t n = 0;

	if (record->kind == SPAWND_START_FAILED)
		return 0;
	events = calloc(record->n_journal + 3, sizeof *events);
	if (!events)
		return -ENOMEM;
	events[n++] = (struct event){.at_ms = 0, .kind = EVENT_START};
	for (size_t i = 0; i < record->n_journal; i++)
		events[n++] = (struct event){record->journal[i].at_ms, EVENT_RUNG, i, &record->journal[i]};
	if (record->kind != SPAWND_LOST)
		events[n++] = (struct event){.at_ms = record->leader_exit_ms, .kind = EVENT_LEADER_END};
	if (record->tree_empty)
		events[n++] = (struct event){.at_ms = record->tree_empty_ms, .kind = EVENT_TREE_EMPTY};
	qsort(events, n, sizeof *events, compare_events);
	for (size_t i = 0; i < n; i++)
		draw_event(record, &events[i], out);
	free(events);
	return ferror(out) ? -EIO : 0;
}
