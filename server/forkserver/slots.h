// The tables that outlive a broker: a slot for each process with its keepsake, session keepsakes,
// and tombstones of cancelled spawns. Memory is reserved for all and used only where touched.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "server/forkserver/handle.h"
#include "server/link/launch_map.h"
#include "server/link/messages.h"

#define SLOT_SESSIONS_MAX    65536u
#define SLOT_TOMBSTONES_MAX  65536u
#define SLOT_GENERATION_MASK 0xffffffu // what an event has room for

enum slot_state {
	SLOT_FREE,
	SLOT_WAITING,     // for a place to start
	SLOT_STARTING,    // cloned, not yet executed
	SLOT_FAILED,      // the start failed; pidfd >= 0: its process is not dead yet
	SLOT_LIVE,        // the leader runs
	SLOT_LEADER_GONE, // the leader is reaped, members may live
	SLOT_EMPTY,       // nobody is left; waits for LINK_DROP
};

// What the broker has not been told yet; each has at most one place in the outbox.
enum slot_unsent {
	UNSENT_STARTED,
	UNSENT_START_FAILED,
	UNSENT_LEADER_EXITED,
	UNSENT_TREE_LEFT,
	UNSENT_TREE_EMPTY,
	UNSENT_STDOUT_STATE,
	UNSENT_STDERR_STATE,
	UNSENT_STDIN_STATE,
	UNSENT_KINDS,
};

enum stream_phase {
	STREAM_NONE,    // not a pipe
	STREAM_ARMED,   // the loop tells when there is something to read
	STREAM_READY,   // in the queue of pipes to read
	STREAM_RESTING, // gave little; read again after a rest
	STREAM_FULL,    // its ring is full and its policy makes the writer wait
	STREAM_ENDED,
};

// One output pipe and its ring. Bytes [tail, head) are in the ring.
struct stream {
	int fd;
	uint32_t number; // enum link_stream: its place in its slot
	enum stream_phase phase;
	uint32_t policy; // enum link_policy
	uint32_t eof;    // enum link_eof
	uint64_t ring_offset, ring_size;
	uint64_t head;
	uint64_t consumed;
	uint64_t last_byte; // once forced: read up to here, then end. UINT64_MAX: not forced
	uint64_t rest_until_us;
	bool watched;
	uint64_t watch_past;
	uint64_t watch_serial; // of the last watch received
	TAILQ_ENTRY(stream) queue;
};

struct orphan;

// Everything about one process. One page.
struct slot {
	uint32_t generation; // changes at each use: old events are told apart by it
	enum slot_state state;
	uint64_t process_id;
	struct link_key key;
	uint64_t tag; // hard RLIMIT_LOCKS of its tree; 0: none
	pid_t pid;
	int pidfd;                // -1 once the leader is reaped
	int job;                  // start in progress, else -1
	struct launch_map launch; // until exec
	uint32_t fds;             // descriptors counted for it

	uint32_t rung;    // highest carried out
	bool drop_wanted; // LINK_DROP came before its process was dead
	bool proof_spoiled;
	uint32_t seen_scan; // last scan of the root's children that met a member

	int stdin_fd;
	uint64_t stdin_offset;
	bool stdin_piped, stdin_broken, stdin_stuck;
	int cancel_fd;
	struct stream streams[LINK_STREAMS];

	uint32_t unsent; // bits of enum slot_unsent
	uint64_t started_ms, started_unix_ms;
	uint32_t failed_stage;
	int32_t failed_error;
	uint64_t exited_ms, empty_ms;
	uint32_t proof;      // enum link_proof
	uint32_t left_alive; // members told to outlive the leader; 0: not told
	int32_t code_kind, status;
	struct link_usage usage;

	// Kill loop: passes over the tree until it is empty.
	bool killing;
	uint32_t kill_serial;
	uint32_t kill_wait_ms;
	uint64_t kill_next_us;
	uint64_t reap_next_us; // leader dead but not waitable: when to try again; 0: not so
	uint32_t reap_wait_ms;
	uint64_t forced_at_ms; // after tree-empty: when open streams are ended

	LIST_HEAD(, orphan) orphans; // adopted members
	TAILQ_ENTRY(slot) start_queue;
	TAILQ_ENTRY(slot) tree_queue; // of leaderless trees
	TAILQ_ENTRY(slot) kill_queue;
	TAILQ_ENTRY(slot) force_queue; // of streams to be ended
	TAILQ_ENTRY(slot) retry_queue; // of dead leaders that cannot be reaped yet
	TAILQ_ENTRY(slot) all_queue;   // of all slots in use

	uint32_t keepsake_size;
	uint8_t keepsake[LINK_KEEPSAKE_MAX];
};

TAILQ_HEAD(slot_queue, slot);
TAILQ_HEAD(stream_queue, stream);

struct session_keepsake {
	uint64_t session_id;
	uint32_t size;
	uint8_t bytes[LINK_SESSION_KEEPSAKE_MAX];
};

struct slots {
	struct slot *table;
	uint32_t max, touched, used; // entries, entries ever used, entries in use
	uint32_t *free_list, n_free;
	struct handle_table by_id, by_key;
	struct slot_queue all;

	struct session_keepsake *sessions;
	uint32_t *free_sessions, n_free_sessions, touched_sessions;
	struct handle_table by_session;
	uint32_t highest_session; // number of the highest session id seen

	struct handle_table tombstones;
};

// 0 or negative errno.
int slots_open(struct slots *slots, uint32_t max_records, uint64_t seed);
void slots_close(struct slots *slots);

// A fresh slot that knows its id and key. NULL: none free. The caller has checked that neither is
// in use.
struct slot *slots_take(struct slots *slots, uint64_t process_id, struct link_key key);

// Forgets the slot; the caller has released all that it held.
void slots_give(struct slots *slots, struct slot *slot);

// NULL where there is none.
struct slot *slots_find(const struct slots *slots, uint64_t process_id);
bool slots_has_key(const struct slots *slots, struct link_key key);

// An index and back; NULL where the slot has been used anew since that generation.
uint32_t slots_index(const struct slots *slots, const struct slot *slot);
struct slot *slots_at(const struct slots *slots, uint32_t index, uint32_t generation);

void slot_keep(struct slot *slot, const uint8_t *keepsake, uint32_t size);

// Keeps, replaces or (size 0) drops. 0; -ENOSPC.
int slots_keep_session(
    struct slots *slots, uint64_t session_id, const uint8_t *keepsake, uint32_t size);

// 0; -ENOSPC.
int slots_keep_tombstone(struct slots *slots, struct link_key key);
void slots_drop_tombstone(struct slots *slots, struct link_key key);
bool slots_has_tombstone(const struct slots *slots, struct link_key key);
