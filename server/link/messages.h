// The private protocol between spawnd (the root) and spawnd-broker: the layout of every message.
//
// The link is one SOCK_SEQPACKET socketpair. Each message is one record: a struct link_header and
// the struct of its kind, little more. Both ends are built from the same source and run on the same
// machine, so integers are in host order; the root still checks every byte that it receives
// (link_check), because a broker may be compromised. No message is empty, none exceeds
// LINK_MESSAGE_MAX. Text is NUL-padded. Times are milliseconds of CLOCK_MONOTONIC.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LINK_VERSION              1u
#define LINK_MESSAGE_MAX          65536u
#define LINK_KEEPSAKE_MAX         2048u  // bytes that the root keeps for the broker, a process
#define LINK_SESSION_KEEPSAKE_MAX 256u   // the same, a session
#define LINK_MEMBERS_MAX          8u     // members named in one answer; all are counted
#define LINK_IDENTITIES_MAX       64u    // uids, and gids, that a launch may name
#define LINK_STDIN_MAX            61440u // bytes of standard input in one message
#define LINK_URL_MAX              256u

enum link_kind {
	// broker to root
	LINK_CONFIG = 1,       // first message of a broker
	LINK_READY,            // the broker serves: the root may say so
	LINK_START,            // start a process; carries the sealed launch file as its one descriptor
	LINK_ACT,              // carry out a rung, or a plain signal
	LINK_LOOK,             // name the members that are alive
	LINK_DROP,             // forget a slot: its record was released
	LINK_KEEPSAKE,         // replace the keepsake of a process
	LINK_SESSION_KEEPSAKE, // replace, or drop, the keepsake of a session
	LINK_TOMBSTONE,        // keep, or drop, a cancelled spawn that never came
	LINK_STREAM_WATCH,     // tell me the state of a stream when it has passed an offset
	LINK_STREAM_CONSUMED,  // bytes below an offset may be overwritten
	LINK_STREAM_POLICY,    // change what a full ring does
	LINK_STDIN,            // bytes for standard input
	LINK_PONG,
	LINK_STOPPED, // every ladder of the shutdown is over: the root may end
	// root to broker
	LINK_HELLO = 64, // answer to LINK_CONFIG; its one descriptor is the arena, as large as its file
	LINK_REFUSED,    // LINK_START was refused before anything was begun
	LINK_STARTED,    // exec has succeeded
	LINK_START_FAILED,
	LINK_ACTED,   // answer to LINK_ACT
	LINK_MEMBERS, // answer to LINK_LOOK
	LINK_LEADER_EXITED,
	LINK_TREE_LEFT, // members outlive the leader
	LINK_TREE_EMPTY,
	LINK_STREAM_STATE,
	LINK_STDIN_STATE,
	LINK_PING,
	LINK_SHUTDOWN, // TERM or INT came to the server
};

struct link_header {
	uint32_t kind; // enum link_kind
	uint32_t size; // of the whole message, this header included
};

// Names one spawn for ever: the root starts at most one process for it.
struct link_key {
	uint64_t session_id;
	uint64_t request_id;
};

// --- broker to root ---------------------------------------------------------------------------

// What the root needs of the configuration. Accepted once in a root's life; a second one must be
// equal.
struct link_config {
	struct link_header header;
	uint32_t version;           // LINK_VERSION
	uint32_t max_processes;     // 0: as many as descriptors allow
	uint32_t max_records;       // slots in all, alive or not
	uint32_t start_timeout_ms;  // a start that takes longer is killed
	uint32_t stop_term_wait_ms; // broker lost: wait between TERM and KILL of every tree
	uint32_t n_uids, n_gids;    // a launch may name these besides the server's own
	uint32_t uids[LINK_IDENTITIES_MAX];
	uint32_t gids[LINK_IDENTITIES_MAX];
};

struct link_ready {
	struct link_header header;
	char url[LINK_URL_MAX]; // the address that clients dial
};

struct link_start {
	struct link_header header;
	uint64_t process_id; // epoch << 32 | number; the number is above all earlier ones
	struct link_key key;
	uint32_t keepsake_size;
	uint8_t keepsake[LINK_KEEPSAKE_MAX];
};

enum link_action { LINK_ACTION_SIGNAL = 1, LINK_ACTION_CLOSE_STDIN, LINK_ACTION_CANCEL_NOTICE };
enum link_scope { LINK_SCOPE_LEADER = 1, LINK_SCOPE_GROUP, LINK_SCOPE_TREE };

// Carries out one rung. Where the process is still starting, it is carried out after exec. Below
// KILL each member is signalled once; KILL on TREE repeats until nothing is left, also after the
// answer. The root refuses a rung that is not above the highest one carried out (EALREADY).
struct link_act {
	struct link_header header;
	uint64_t process_id;
	uint64_t serial;        // copied into the answer
	uint32_t rung;          // from 1; 0: a plain signal outside the ladder
	uint32_t action;        // enum link_action
	uint32_t signal;        // with LINK_ACTION_SIGNAL
	uint32_t scope;         // enum link_scope
	uint32_t keepsake_size; // 0: the keepsake stays as it is
	uint8_t keepsake[LINK_KEEPSAKE_MAX];
};

struct link_look {
	struct link_header header;
	uint64_t process_id;
	uint64_t serial; // copied into the answer
};

struct link_drop {
	struct link_header header;
	uint64_t process_id; // refused in silence while its tree is not empty
};

struct link_keepsake {
	struct link_header header;
	uint64_t process_id;
	uint32_t keepsake_size;
	uint8_t keepsake[LINK_KEEPSAKE_MAX];
};

struct link_session_keepsake {
	struct link_header header;
	uint64_t session_id;
	uint32_t keepsake_size; // 0 drops it
	uint8_t keepsake[LINK_SESSION_KEEPSAKE_MAX];
};

struct link_tombstone {
	struct link_header header;
	struct link_key key;
	uint32_t drop; // 0 keep, 1 drop
};

enum link_stream { LINK_STDOUT = 0, LINK_STDERR = 1, LINK_STREAMS = 2 };

// Asks for one LINK_STREAM_STATE: as soon as head > past, or the stream has ended. One watch a
// stream; a later one replaces it.
struct link_stream_watch {
	struct link_header header;
	uint64_t process_id;
	uint32_t stream; // enum link_stream
	uint32_t now;    // 1: answer at once, whatever past is
	uint64_t past;
	uint64_t serial; // the state carries that of the last watch of its stream
};

struct link_stream_consumed {
	struct link_header header;
	uint64_t process_id;
	uint32_t stream;
	uint64_t offset; // monotone, not past the head; else ignored
};

enum link_policy { LINK_POLICY_DROP_OLDEST = 0, LINK_POLICY_BLOCK = 1 };

struct link_stream_policy {
	struct link_header header;
	uint64_t process_id;
	uint32_t policy; // for both streams
};

// The root writes what fits into the pipe and answers LINK_STDIN_STATE. It keeps no byte: what was
// not taken is sent again once a state says that there is room.
struct link_stdin {
	struct link_header header;
	uint64_t process_id;
	uint64_t offset; // must equal the offset of the last state
	uint32_t close;  // 1: close once all of data is taken
	uint32_t data_size;
	uint8_t data[LINK_STDIN_MAX];
};

struct link_pong {
	struct link_header header;
	uint64_t serial;
};

struct link_stopped {
	struct link_header header;
};

// --- root to broker ---------------------------------------------------------------------------

// What the root can do and has, once its configuration is known.
struct link_hello {
	struct link_header header;
	uint32_t version;
	uint32_t max_processes; // effective
	uint32_t max_records;   // effective
	uint32_t realtime_kill; // 1: the kill loop may run at SCHED_RR
	uint64_t epoch;         // 32 random bits, never 0
	uint32_t next_process;  // numbers from here on are unused
	uint32_t next_session;
	uint32_t root_pid, guard_pid;
	uint64_t started_ms; // the server's start
};

// Why a LINK_START was not begun: EAGAIN no slot or process limit, EEXIST key already used, ESTALE
// tombstone for this key, EPERM identity not allowed, EINVAL malformed, ENOSPC no ring.
struct link_refused {
	struct link_header header;
	uint64_t process_id;
	struct link_key key;
	int32_t error; // positive errno
};

// Where a stream's ring lies in the arena. size 0: not a pipe.
struct link_ring {
	uint64_t arena_offset;
	uint64_t size;
};

struct link_started {
	struct link_header header;
	uint64_t process_id;
	uint32_t pid;
	uint64_t started_ms;      // monotonic
	uint64_t started_unix_ms; // wall clock
	struct link_ring rings[LINK_STREAMS];
};

struct link_start_failed {
	struct link_header header;
	uint64_t process_id;
	uint32_t stage; // enum launch_stage of launch.h
	int32_t error;  // positive errno
	uint64_t at_ms;
};

struct link_member {
	uint32_t pid;
	char comm[16];
	char state;        // the kernel's letter
	char waits_in[39]; // kernel function, or empty
};

// Answer to LINK_ACT. The members are those that were alive just before it acted.
struct link_acted {
	struct link_header header;
	uint64_t process_id;
	uint64_t serial;
	uint32_t rung;
	int32_t error; // 0; EALREADY rung not above; ESRCH nobody left; EINVAL nothing to close; EAGAIN
	               // too many acts wait for starts
	uint32_t hit;
	uint64_t at_ms;
	uint32_t n_alive; // all that were alive before it acted
	struct link_member members[LINK_MEMBERS_MAX];
};

enum link_blocked {
	LINK_BLOCKED_NO = 0,
	LINK_BLOCKED_TRACED,
	LINK_BLOCKED_UNINTERRUPTIBLE,
	LINK_BLOCKED_FROZEN,
	LINK_BLOCKED_OTHER,
};

struct link_members {
	struct link_header header;
	uint64_t process_id;
	uint64_t serial;
	uint32_t blocked; // enum link_blocked, of the first member that has a reason
	uint32_t n_alive;
	struct link_member members[LINK_MEMBERS_MAX];
};

struct link_usage {
	uint64_t user_us, system_us, max_rss_kib, minor_faults, major_faults;
	uint64_t in_blocks, out_blocks, voluntary_switches, involuntary_switches;
};

#define LINK_STATUS_LOST 0u

struct link_leader_exited {
	struct link_header header;
	uint64_t process_id;
	uint32_t code_kind; // CLD_EXITED, CLD_KILLED, CLD_DUMPED; LINK_STATUS_LOST: not known
	int32_t status;     // exit code or signal
	uint64_t at_ms;
	struct link_usage usage;
};

// Sent after LINK_LEADER_EXITED, once, where the first look finds members alive.
struct link_tree_left {
	struct link_header header;
	uint64_t process_id;
	uint32_t n_alive;
};

enum link_proof { LINK_PROOF_SUBREAPER = 1, LINK_PROOF_CGROUP, LINK_PROOF_NONE };

// Sent after LINK_LEADER_EXITED, once.
struct link_tree_empty {
	struct link_header header;
	uint64_t process_id;
	uint32_t proof; // enum link_proof
	uint64_t at_ms;
};

enum link_eof { LINK_EOF_NO = 0, LINK_EOF_CLOSED, LINK_EOF_FORCED };

// Bytes [tail, head) of the stream are in the ring, byte n at arena_offset + n % size.
struct link_stream_state {
	struct link_header header;
	uint64_t process_id;
	uint32_t stream;
	uint32_t eof; // enum link_eof
	uint64_t head;
	uint64_t tail;
	uint64_t serial; // of the last watch received for this stream; 0: none
};

struct link_stdin_state {
	struct link_header header;
	uint64_t process_id;
	uint64_t offset; // bytes written into the pipe so far
	uint32_t room;   // 1: more may be sent now; 0: a further state follows when it may
	uint32_t closed; // 1: no more will be taken
	uint32_t broken; // 1: nobody reads it any more
};

struct link_ping {
	struct link_header header;
	uint64_t serial;
};

struct link_shutdown {
	struct link_header header;
	uint32_t count; // 1: climb every ladder; 2 and more: the last rung now
};
