// An exit record as its wire message.
#pragma once

#include "server/broker/ladder.h"
#include "server/broker/proctable.h"
#include "spawn/v1/exit.pb-c.h"

// The message with everything that it points to; it borrows from the process.
struct record {
	Spawn__V1__ExitRecord message;
	Spawn__V1__StartFailed start_failed;
	Spawn__V1__Usage usage;
	Spawn__V1__JournalEntry entries[LADDER_RUNGS_MAX];
	Spawn__V1__JournalEntry *entry_list[LADDER_RUNGS_MAX];
	Spawn__V1__Member members[LADDER_RUNGS_MAX][LINK_MEMBERS_MAX];
	Spawn__V1__Member *member_lists[LADDER_RUNGS_MAX][LINK_MEMBERS_MAX];
	char states[LADDER_RUNGS_MAX][LINK_MEMBERS_MAX][2];
};

// The leader of the process has ended, or its start has failed.
void reply_record_fill(struct record *record, struct process *process);

// A ladder as wire messages.
struct ladder_message {
	Spawn__V1__Rung rungs[LADDER_RUNGS_MAX];
	Spawn__V1__Rung *list[LADDER_RUNGS_MAX];
};
void reply_record_ladder(struct ladder_message *message, const struct ladder *ladder);
