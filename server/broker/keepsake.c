// Writes keepsakes: plain fields one after the other, in host order, behind a version.
#include "server/broker/keepsake.h"

#include <string.h>

#include "server/broker/proctable.h"
#include "server/broker/sessions.h"

#define KEEPSAKE_VERSION 1u

struct writer {
	uint8_t *at;
};

static void put(struct writer *writer, const void *data, size_t size)
{
	memcpy(writer->at, data, size);
	writer->at += size;
}

static void put_u8(struct writer *writer, unsigned value)
{
	*writer->at++ = (uint8_t)value;
}

static void put_u32(struct writer *writer, uint32_t value)
{
	put(writer, &value, sizeof value);
}

static void put_u64(struct writer *writer, uint64_t value)
{
	put(writer, &value, sizeof value);
}

// 8 rungs of 11 bytes and the climb: below 160 bytes.
static void put_ladder(struct writer *writer, const struct ladder *ladder)
{
	put_u8(writer, ladder->n_rungs);
	for (unsigned i = 0; i < ladder->n_rungs; i++) {
		put_u8(writer, ladder->rungs[i].action);
		put_u8(writer, ladder->rungs[i].signal);
		put_u8(writer, ladder->rungs[i].scope);
		put_u64(writer, ladder->rungs[i].wait_ms);
	}
	put_u8(writer, ladder->reached);
	put_u8(writer, ladder->acted);
	put_u8(writer, ladder->cause);
	put_u8(writer, ladder->net);
	put_u64(writer, ladder->wait_ms);
	put_u64(writer, ladder->takeover_ms);
	put_u64(writer, ladder->base_ms);
	put_u64(writer, ladder->due_ms);
}

// Without the members that were left: they are for people. 8 entries of 31 bytes at most.
static void put_journal(struct writer *writer, const struct process *process)
{
	unsigned n = 0;
	for (unsigned i = 0; i < LADDER_RUNGS_MAX; i++)
		n += process->journal[i] != NULL;
	put_u8(writer, n);
	for (unsigned i = 0; i < LADDER_RUNGS_MAX; i++) {
		const struct journal_entry *entry = process->journal[i];
		if (!entry)
			continue;
		put_u8(writer, entry->rung);
		put_u8(writer, entry->by_net);
		put_u8(writer, entry->skipped);
		put_u64(writer, entry->at_ms);
		put_u64(writer, entry->wait_ms);
		put_u32(writer, entry->hit);
		put_u32(writer, entry->left_count);
	}
}

size_t keepsake_of_process(const struct process *process, uint8_t buffer[LINK_KEEPSAKE_MAX])
{
	struct writer writer = {buffer};
	put_u32(&writer, KEEPSAKE_VERSION);
	put_u32(&writer, process->name.uid);
	put(&writer, process->digest, sizeof process->digest);
	put_u32(&writer, process->name.size);
	put(&writer, process->name.bytes, process->name.size);
	put_u8(&writer, process->on_owner_lost);
	put_u8(&writer, process->keep_on_leader_exit);
	put_u8(&writer, process->owner_lost);
	put_u64(&writer, process->run_due.at_ms);
	put_u64(&writer, process->rung_signals);
	put_u64(&writer, process->call_signals);
	put_ladder(&writer, &process->ladder);
	put_journal(&writer, process);
	return (size_t)(writer.at - buffer);
}

void keepsake_send_process(const struct process *process)
{
	struct link_keepsake message = {.header.kind = LINK_KEEPSAKE, .process_id = process->id};
	message.keepsake_size = (uint32_t)keepsake_of_process(process, message.keepsake);
	broker_send(process->broker, &message);
}

void keepsake_send_session(const struct session *session)
{
	struct link_session_keepsake message = {
	    .header.kind = LINK_SESSION_KEEPSAKE, .session_id = session->id};
	struct writer writer = {message.keepsake};
	put_u32(&writer, KEEPSAKE_VERSION);
	put_u32(&writer, session->uid);
	put_u64(&writer, session->lease.lease_ms);
	put_u64(&writer, session->requests.floor);
	put(&writer, session->client, sizeof session->client);
	message.keepsake_size = (uint32_t)(writer.at - message.keepsake);
	broker_send(session->broker, &message);
}

void keepsake_drop_session(const struct session *session)
{
	struct link_session_keepsake message = {
	    .header.kind = LINK_SESSION_KEEPSAKE, .session_id = session->id};
	broker_send(session->broker, &message);
}
