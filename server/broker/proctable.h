// The table of processes: what is known of each, from its Spawn to the end of its record.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/broker/broker.h"
#include "server/broker/ladder.h"
#include "server/broker/requests.h"
#include "server/link/messages.h"

#define PROCESS_NAME_MAX     128u
#define PROCESS_ARGV_SHOWN   4096u // bytes of argv kept for lists
#define PROCESS_RETENTION_MS 600000u

// A name within one principal. Zeroed beyond size: it is a hash key as it stands.
struct process_name {
	uid_t uid;
	uint32_t size; // 0: no name
	char bytes[PROCESS_NAME_MAX];
};

enum process_phase {
	PROCESS_STARTING = 1,
	PROCESS_RUNNING,       // exec has succeeded; the leader lives
	PROCESS_LEADER_EXITED, // members may be left
	PROCESS_ENDED,         // the tree is empty, or the start failed
};

enum owner_lost_policy { OWNER_LOST_CANCEL = 1, OWNER_LOST_KILL, OWNER_LOST_KEEP };

// One rung as it was carried out or skipped.
struct journal_entry {
	uint32_t rung;
	uint64_t at_ms; // monotonic
	uint32_t hit;
	bool by_net, skipped;
	uint64_t wait_ms;
	uint32_t left_count, n_left; // alive when the climb left this rung
	struct link_member left[LINK_MEMBERS_MAX];
};

// An output stream as the root last described it.
struct stream {
	bool is_pipe;
	uint32_t policy; // enum link_policy
	struct link_ring ring;
	uint64_t head, tail;
	uint32_t eof; // enum link_eof
	uint64_t consumed;
	uint64_t serial;   // of the last watch sent
	uint64_t watching; // the watch that is not answered yet; 0: none
	uint64_t past;     // what it waits for
};

// Standard input, fed through the root.
struct stdin_feed {
	bool is_pipe;
	bool in_flight; // a piece was sent, its state has not come
	bool room;
	bool closed, broken;
	uint64_t offset; // taken so far
};

struct process {
	struct broker *broker;
	uint64_t id;
	struct link_key key;
	uid_t uid;                             // the principal
	uint8_t digest[REQUESTS_DIGEST_BYTES]; // of its Spawn
	struct process_name name;              // and the principal
	uint8_t *argv; // NUL-terminated strings one after the other, at most PROCESS_ARGV_SHOWN bytes
	uint32_t argv_size;
	enum owner_lost_policy on_owner_lost;
	bool keep_on_leader_exit;
	bool owner_lost; // its session has ended
	uint64_t run_ms;

	enum process_phase phase;
	uint32_t pid;
	uint64_t started_ms, started_unix_ms;

	struct ladder ladder;
	struct journal_entry *journal[LADDER_RUNGS_MAX]; // by rung - 1; NULL: not reached
	uint64_t climber_session;                        // of the last Cancel that climbed
	uint64_t rung_signals, call_signals; // bit n-1: signal n was sent by a rung, by a Signal call
	uint32_t blocked;                    // enum link_blocked
	struct deadline climb_due, act_due, run_due, retention_due;

	int fail_stage, fail_error; // the start failed
	struct link_leader_exited exit;
	uint32_t exit_rung;  // acted when the leader ended
	uint32_t exit_cause; // enum exit_cause
	uint32_t proof;      // enum link_proof
	uint64_t tree_empty_ms;

	struct stream streams[LINK_STREAMS];
	struct stdin_feed stdin_feed;

	struct call *parked;
	struct process *owned_prev, *owned_next;       // session->owned
	struct process *alive_prev, *alive_next;       // broker->alive
	struct process *retained_prev, *retained_next; // broker->retained
	bool retained;
	UT_hash_handle hh_id, hh_key, hh_name;
};

// Adds a process that starts: number, key and name are taken; the name must be free. 0, -ENOMEM.
int process_add(struct broker *broker, const struct link_key *key, const struct process_name *name,
    struct process **ret_process);

// The Spawn was refused by the root before anything began: as if it had never been.
void process_discard(struct process *process);

// Forgets an ended process: the root drops its slot; parked calls are answered NOT_FOUND.
void process_release(struct process *process);

struct process *process_find(struct broker *broker, uint64_t id);
struct process *process_find_key(struct broker *broker, const struct link_key *key);

// The live process that has the name, or NULL. name->size is not 0.
struct process *process_find_name(struct broker *broker, const struct process_name *name);

// Its tree is empty or its start has failed: the name is free.
void process_ended(struct process *process);

// Everybody has heard of its end: retention may begin. It may be gone afterwards.
void process_retain(struct process *process);

// Its session has ended: it leaves the session's list, and retention may begin. It may be gone
// afterwards.
void process_owner_gone(struct process *process, struct session *session);

// Is its start undecided or its tree not empty?
bool process_is_alive(const struct process *process);

void processes_destroy(struct broker *broker);
