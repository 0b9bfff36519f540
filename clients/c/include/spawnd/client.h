// libspawnd: spawn processes, cancel them, await their exit, by a spawnd server.
//
// Rules that hold for every function:
//  - It returns 0 or, on failure, -1 with *err filled in. err may be NULL. What a function answers
//    through ret_... is untouched on failure, unless it says otherwise; a ret_... pointer that "may
//    be NULL" says so, the others may not.
//  - It may be called from any thread, also several at once on one client: the calls are
//  independent of
//    each other (RPC-11). Each blocks the calling thread alone, and no longer than its time
//    (timeout_ms, hold_ms, the ladder's waits; where it has none, the client's timeout_ms) and 1 s.
//  - spawnd_close is the one exception: after it has begun, no other call on that client may begin.
//  - After fork a child must not use a client of its parent; it may make one of its own after exec.
//  - Strings and byte blocks passed in are borrowed for the call. What is handed out is owned by
//  the
//    caller and freed by the function named with it; "static storage" is never freed.
//  - Times are milliseconds of the monotonic clock (LAD-14); fields named ..._unix_ms are
//  wall-clock
//    stamps for people. SPAWND_FOREVER means without limit.
//  - The library prints nothing, installs no signal handler, changes no signal mask but that of its
//  own
//    threads, and has no global state. It reads the environment in spawnd_connect and
//    spawnd_default_url alone.
//  - Structs that begin with size are versioned: fill them by their ..._INIT, so that a program
//  goes on
//    working with a later library.
// Names in brackets, such as (SPN-4), are clauses of docs/spec/.
#ifndef SPAWND_CLIENT_H
#define SPAWND_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SPAWND_API __attribute__((visibility("default")))
#else
#define SPAWND_API
#endif

#define SPAWND_FOREVER   UINT64_MAX
#define SPAWND_RUNGS_MAX 8
#define SPAWND_RUNG_LAST 255

/* ---- errors ------------------------------------------------------------------------------ */

enum spawnd_error_kind {
	SPAWND_E_NONE = 0,
	SPAWND_E_ARGUMENT,    // wrong arguments; nothing was done: field says which (STA-5)
	SPAWND_E_MEMORY,      // no memory, or no descriptor
	SPAWND_E_UNREACHABLE, // no server answers at the address; this call was not sent, or only asked
	SPAWND_E_INDETERMINATE, // sent, but no answer in time: it may have been done (RPC-7, IDS-9)
	SPAWND_E_START_FAILED,  // the process never ran its program: stage and sys_errno (SPN-4, SPN-8)
	SPAWND_E_NOT_FOUND,     // no such process, or not yours (STA-6)
	SPAWND_E_LOST,          // its server was restarted, or its record is gone (VER-4, IDN-6)
	SPAWND_E_EXISTS,        // the name is taken: process_id has by whom (SPN-9)
	SPAWND_E_UNREAPED,      // the last rung's wait is over and the process has not ended (LAD-6)
	SPAWND_E_TIMEOUT,       // the awaited fact did not come in time; nothing is wrong (AWT-3)
	SPAWND_E_STATE,         // not possible in the process's or the server's state
	SPAWND_E_LIMIT,         // a limit is reached, nothing was done: field names it (LIM-1)
	SPAWND_E_UNAVAILABLE,   // the server takes no such call now, nothing was done (SHD-1)
	SPAWND_E_DENIED,        // not permitted (IDN-2, SPN-14)
	SPAWND_E_VERSION,       // the server speaks another major version (VER-2)
	SPAWND_E_UNSUPPORTED,   // the server does not know the method or the option (RPC-6)
	SPAWND_E_CANCELLED, // a Spawn that was cancelled before it began: nothing was started (IDS-8)
	SPAWND_E_CLOSED,    // the client is closed (RPC-12)
	SPAWND_E_PROTOCOL,  // the server broke the protocol, or a promise of its own (RPC-10)
	SPAWND_E_UNKNOWN,   // an error code that this library does not know (STA-1)
};

// Filled in by a failing call. The caller owns it; it holds no pointers.
struct spawnd_error {
	int kind;                // enum spawnd_error_kind
	int code;                // the server's status code (gRPC numbers), or 0 where it sent none
	int stage;               // START_FAILED: the step, as StartStage in the protocol; else 0
	int sys_errno;           // Linux errno of the step, or of a local failure; else 0
	uint64_t retry_after_ms; // LIMIT, UNAVAILABLE: repeat not before; 0 unknown (STA-4)
	uint64_t process_id;     // EXISTS: who has the name; else 0
	char field[64];          // ARGUMENT: the field's path; LIMIT: the limit's name; or empty
	char message[256];       // the same in words, always set, NUL-terminated
};

// The kind's name in lower case, for example "start_failed". Static storage.
SPAWND_API const char *spawnd_error_kind_name(int kind);

// The step's name, for example "exec" or "cwd"; "UNRECOGNISED" for others. Static storage.
SPAWND_API const char *spawnd_stage_name(int stage);

/* ---- client ------------------------------------------------------------------------------ */

typedef struct spawnd_client spawnd_client;

struct spawnd_connect_options {
	size_t size; // sizeof(struct spawnd_connect_options)
	// "ipc:///path" or "tcp://host:port" (TRN-2); NULL: the environment's SPAWND_URL, else
	// spawnd_default_url
	const char *url;
	const char *name;  // this program's name, for the server's log; at most 128 bytes; NULL: none
	uint64_t lease_ms; // 1,000 to 3,600,000; 0: 10,000 (SES-3)
	// For connecting, and for each later call that has no time of its own; also how long a server
	// that cannot be reached is waited for in calls that have: 0: 10,000
	uint64_t timeout_ms;
	const char *access_token; // for tcp; at most 64 bytes; NULL: none (ENV-5)
};
#define SPAWND_CONNECT_OPTIONS_INIT                                                                \
	{                                                                                              \
		sizeof(struct spawnd_connect_options), NULL, NULL, 0, 0, NULL                              \
	}

// Connects and opens a session. options may be NULL. *ret_client is freed by spawnd_close. Where
// nobody listens it fails at once. From then on the library connects again by itself after a loss
// (RPC-12), and opens another session where the old one is over (SES-8): process ids stay valid. A
// client has one thread of its own, and uses those of the nng library. Errors: ARGUMENT, MEMORY,
// UNREACHABLE, DENIED, VERSION, LIMIT, UNAVAILABLE, PROTOCOL.
SPAWND_API int spawnd_connect(const struct spawnd_connect_options *options,
    spawnd_client **ret_client, struct spawnd_error *err);

// Closes the session, so that each of its processes meets its on_owner_lost (SES-7, SES-9), and
// frees the client. Calls of other threads that are under way fail with SPAWND_E_CLOSED before it
// returns; no new ones may begin. NULL does nothing. Takes at most 2 s where the server does not
// answer. No connection is attempted afterwards. Not to be called from a callback. (RPC-12)
SPAWND_API void spawnd_close(spawnd_client *client);

// The current session's id, and the epoch of its server (IDN-3): what the upper 32 bits of every
// process id of that server are. They change when the library opens another session.
SPAWND_API uint64_t spawnd_client_session(const spawnd_client *client);
SPAWND_API uint64_t spawnd_client_epoch(const spawnd_client *client);

// The address in use; owned by the client.
SPAWND_API const char *spawnd_client_url(const spawnd_client *client);

// Renews the lease now. The library does so by itself: after each reconnect, and on tcp, where only
// requests renew it, each third of the lease. (SES-5, SES-6)
SPAWND_API int spawnd_keep_alive(spawnd_client *client, struct spawnd_error *err);

// Writes the default server address of this user, as a URL and NUL-terminated. For root that is
// ipc:///run/spawnd/spawnd.sock; for others spawnd/spawnd.sock in $XDG_RUNTIME_DIR, else in
// /run/user/UID where that is a directory, else /tmp/spawnd-UID/spawnd.sock. Needs no server.
// Errors: ARGUMENT (no room; 512 bytes are always enough).
SPAWND_API int spawnd_default_url(char *buffer, size_t size, struct spawnd_error *err);

/* ---- processes --------------------------------------------------------------------------- */

// Names a process. A plain value: copy it, store it, share it between threads and processes. Made
// by spawnd_spawn, or by hand: {.id = ...} with the rest 0. A handle of an earlier life of the
// server is SPAWND_E_LOST, and nothing is sent with it. (SPN-5, IDN-6, IDN-8)
struct spawnd_process {
	uint64_t id;         // 0: not known (yet): session_id and request_id name the Spawn (IDS-7)
	uint64_t session_id; // the session that sent the Spawn
	uint64_t request_id; // the Spawn's request id
	uint32_t pid;        // for people, never an identity; 0: not known
};

// Writes id as 16 lower-case hexadecimal digits and a NUL. Reading accepts those only, and not 0.
// Errors: ARGUMENT.
SPAWND_API void spawnd_id_format(uint64_t id, char buffer[17]);
SPAWND_API int spawnd_id_parse(const char *text, uint64_t *ret_id, struct spawnd_error *err);

enum spawnd_action { SPAWND_SIGNAL = 1, SPAWND_CLOSE_STDIN, SPAWND_CANCEL_NOTICE };
enum spawnd_scope { SPAWND_LEADER = 1, SPAWND_GROUP, SPAWND_TREE };

// One rung. What a server answers and this library does not know is 0. (LAD-16)
struct spawnd_rung {
	int action;       // enum spawnd_action
	int signal;       // with SPAWND_SIGNAL: 1 to 64; else 0
	int scope;        // enum spawnd_scope; SPAWND_LEADER for the other actions
	uint64_t wait_ms; // before the next rung; SPAWND_FOREVER or at most 24 h
};

// Reads a ladder such as "INT leader 5s, TERM tree 2s, KILL tree 500ms": for each rung a signal
// (name without SIG, or number), "close-stdin" or "notice"; leader, group or tree (leader may be
// left out); and its wait in ms, s, m, h or "forever", 24h at most. rungs has room for
// SPAWND_RUNGS_MAX. Errors: ARGUMENT; field is "ladder[n]", counted from 0.
SPAWND_API int spawnd_ladder_parse(
    const char *text, struct spawnd_rung *rungs, size_t *ret_count, struct spawnd_error *err);

// Writes a rung in the same words. Always NUL-terminated.
SPAWND_API void spawnd_rung_format(const struct spawnd_rung *rung, char *buffer, size_t size);

// A standard descriptor of the process: all zero is /dev/null. SAME_AS_STDOUT for stderr. (SPN-12)
enum spawnd_stdio_kind { SPAWND_NULL = 0, SPAWND_FILE, SPAWND_PIPE, SPAWND_SAME_AS_STDOUT };
enum spawnd_ring_policy { SPAWND_DROP_OLDEST = 0, SPAWND_BLOCK };

struct spawnd_stdio {
	int kind;            // enum spawnd_stdio_kind
	const char *path;    // FILE: an absolute path
	int truncate;        // FILE for output: 1 cuts it to length 0, 0 appends
	uint64_t ring_bytes; // PIPE for output: what the server keeps unread; 0: 1 MiB (SPN-22)
	int policy;          // PIPE for output: enum spawnd_ring_policy, when that is full (STR-5)
};

// What the server does with a process when its session ends (SES-9), and with the members of its
// tree when its leader has exited (LAD-31).
enum spawnd_on_owner_lost {
	SPAWND_OWNER_LOST_CANCEL = 0,
	SPAWND_OWNER_LOST_KILL,
	SPAWND_OWNER_LOST_KEEP
};
enum spawnd_on_leader_exit { SPAWND_LEADER_EXIT_CANCEL_TREE = 0, SPAWND_LEADER_EXIT_KEEP };

// Who the process runs as: exactly these groups, at most 64. (SPN-14)
struct spawnd_identity {
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t n_groups;
};

struct spawnd_rlimit {
	uint32_t resource;   // RLIMIT_..., but not RLIMIT_LOCKS (SPN-13)
	uint64_t soft, hard; // UINT64_MAX: unlimited
};

struct spawnd_spawn_options {
	size_t size;             // sizeof(struct spawnd_spawn_options)
	const char *program;     // absolute, or a name for PATH; NULL: argv[0]
	const char *const *argv; // NULL-terminated, at least one
	const char *const *env;  // NULL-terminated "NAME=value"; NULL: none
	int env_base;            // 1: begin with PATH, HOME, USER, LOGNAME and SHELL
	const char *cwd;         // absolute; NULL: "/"
	struct spawnd_stdio stdio[3];
	const struct spawnd_rung
	    *ladder; // NULL: the default: INT leader 5s, TERM tree 2s, KILL tree 2s
	size_t n_rungs;
	int on_owner_lost;  // enum spawnd_on_owner_lost
	int on_leader_exit; // enum spawnd_on_leader_exit
	uint64_t run_ms;    // 0: never; else the server climbs after so long (LAD-30)
	uint32_t hold_ms;   // the answer may wait so long for the exit, at most 1,000 (SPN-10)
	const char *name;   // unique among the user's live processes; at most 128 bytes; NULL: none
	const struct spawnd_identity *identity; // NULL: the server's
	int umask;                              // -1: 022
	const struct spawnd_rlimit *rlimits;    // at most 16
	size_t n_rlimits;
	int allow_new_privileges; // 1: no_new_privs off
	uint64_t timeout_ms;      // for the call; 0: the client's
};
// All zero but size and umask. ("= SPAWND_SPAWN_OPTIONS_INIT", then fill in fields.)
#define SPAWND_SPAWN_OPTIONS_INIT spawnd_spawn_options_init()
static inline struct spawnd_spawn_options spawnd_spawn_options_init(void)
{
#ifdef __cplusplus
	struct spawnd_spawn_options options = {};
#else
	struct spawnd_spawn_options options = {0};
#endif
	options.size = sizeof options;
	options.umask = -1;
	return options;
}

struct spawnd_exit; // below

// Starts a process; returns once it executes its program (SPN-7), or with SPAWND_E_START_FAILED.
// Where the process ended within hold_ms and ret_exit is not NULL, *ret_exit is its record
// (spawnd_exit_free), else NULL. At most one process is started, whatever is lost or repeated
// (SPN-1). On SPAWND_E_INDETERMINATE the library cancels the spawn by its request id before it
// returns, and goes on doing so where no answer comes (SPN-2, SPN-3). Then, and on START_FAILED,
// CLOSED and PROTOCOL, *ret_process is filled in with session_id and request_id all the same, so
// that the caller can await, cancel or stop it: the record of a failed start is had so. Errors:
// ARGUMENT, MEMORY, UNREACHABLE, INDETERMINATE, START_FAILED, EXISTS, LIMIT, UNAVAILABLE, DENIED,
// UNSUPPORTED, CANCELLED, LOST (the server was restarted meanwhile), CLOSED, PROTOCOL, UNKNOWN.
SPAWND_API int spawnd_spawn(spawnd_client *client, const struct spawnd_spawn_options *options,
    struct spawnd_process *ret_process, struct spawnd_exit **ret_exit, struct spawnd_error *err);

/* ---- exit -------------------------------------------------------------------------------- */

// How the leader ended. What this library does not know is UNRECOGNISED, never a success. (EXT-2)
enum spawnd_exit_kind {
	SPAWND_EXIT_UNRECOGNISED = 0, // the server said what this library does not know (RPC-5)
	SPAWND_EXITED,
	SPAWND_SIGNALED,
	SPAWND_START_FAILED,
	SPAWND_LOST,
};

// Why it ended. (EXT-4)
enum spawnd_exit_cause {
	SPAWND_CAUSE_UNRECOGNISED = 0,
	SPAWND_CAUSE_ITSELF,
	SPAWND_CAUSE_CANCEL,
	SPAWND_CAUSE_OWNER_LOST,
	SPAWND_CAUSE_DEADLINE,
	SPAWND_CAUSE_SERVER_SHUTDOWN,
	SPAWND_CAUSE_LEADER_GONE,
	SPAWND_CAUSE_OUTSIDE_SIGNAL,
	SPAWND_CAUSE_OUT_OF_MEMORY,
	SPAWND_CAUSE_SIGNAL_CALL,
};

// How it is known that the tree is empty; other values are unrecognised. (EXT-7)
enum spawnd_tree_proof {
	SPAWND_PROOF_UNSPECIFIED = 0,
	SPAWND_PROOF_CGROUP,
	SPAWND_PROOF_SUBREAPER,
	SPAWND_PROOF_NONE,
};

enum spawnd_climber { SPAWND_CLIMBER_UNRECOGNISED = 0, SPAWND_CLIMBER_CLIENT, SPAWND_CLIMBER_NET };

// A process that was alive when the climb left a rung; for people.
struct spawnd_member {
	uint32_t pid;
	char comm[16];     // its command name; control characters are '?'
	char state;        // the kernel's letter, '?' where unknown
	char waits_in[40]; // the kernel function it waits in, or empty
};

// One rung of the climb as it was carried out. (EXT-6)
struct spawnd_journal_entry {
	uint32_t rung;             // counted from 1
	uint64_t at_ms;            // since the start
	int action, signal, scope; // as in spawnd_rung
	uint32_t hit;              // how many it reached
	int climber;               // enum spawnd_climber: who asked for it
	int skipped;               // 1: a higher rung was asked for first, this one did not act
	uint64_t wait_ms;          // the wait in force
	uint32_t left_count;       // how many were alive when the climb left it
	size_t n_left;             // the first of them, at most 8
	struct spawnd_member left[8];
};

// What the leader and the children that it waited for used: microseconds, KiB, counts.
struct spawnd_usage {
	uint64_t user_us, system_us, max_rss_kib, minor_faults, major_faults;
	uint64_t in_blocks, out_blocks, voluntary_switches, involuntary_switches;
};

// An exit record (EXT-1). One block of memory: freed whole by spawnd_exit_free.
struct spawnd_exit {
	struct spawnd_process process;
	const char *name;         // never NULL
	int kind;                 // enum spawnd_exit_kind
	int code;                 // EXITED
	int signal;               // SIGNALED
	int core_dumped;          // SIGNALED
	int stage, sys_errno;     // START_FAILED
	const char *lost_reason;  // LOST; never NULL
	int cause;                // enum spawnd_exit_cause
	uint32_t rung;            // the highest that had acted when the leader ended; 0 none
	int tree_empty;           // 0: only the leader's exit was awaited
	int tree_proof;           // enum spawnd_tree_proof
	uint64_t started_unix_ms; // wall clock, for people
	uint64_t leader_exit_ms, tree_empty_ms; // since the start (EXT-11)
	struct spawnd_usage usage;
	size_t n_journal;
	const struct spawnd_journal_entry *journal;
};

SPAWND_API void spawnd_exit_free(struct spawnd_exit *record); // NULL does nothing

// Names in the protocol's words without prefix, for example "SIGNALED", "OUTSIDE_SIGNAL",
// "SUBREAPER", "NET", "CLOSE_STDIN", "TREE". "UNRECOGNISED" for others. Static storage.
SPAWND_API const char *spawnd_exit_kind_name(int kind);
SPAWND_API const char *spawnd_exit_cause_name(int cause);
SPAWND_API const char *spawnd_tree_proof_name(int proof);
SPAWND_API const char *spawnd_climber_name(int climber);
SPAWND_API const char *spawnd_action_name(int action);
SPAWND_API const char *spawnd_scope_name(int scope);

enum spawnd_until { SPAWND_UNTIL_TREE_EMPTY = 0, SPAWND_UNTIL_LEADER_EXIT };

// Waits for the exit; as many callers and as often as wanted, until the record is released.
// *ret_exit (may be NULL) is freed by spawnd_exit_free. SPAWND_E_TIMEOUT after timeout_ms
// (SPAWND_FOREVER waits on; 0 asks once). It goes on over lost connections; a server that cannot be
// reached for the client's timeout_ms ends it with UNREACHABLE, one that is silent for as long
// beyond its hold with INDETERMINATE: the process may live, and the call may be repeated. A
// restarted server, and an id of this one that it does not know (any more), is SPAWND_E_LOST.
// (AWT-1, LAD-5, IDN-6, REM-2) Errors: TIMEOUT, LOST, NOT_FOUND (by request id), UNREACHABLE,
// INDETERMINATE, UNSUPPORTED, CLOSED, PROTOCOL and the general ones.
SPAWND_API int spawnd_await(spawnd_client *client, const struct spawnd_process *process, int until,
    uint64_t timeout_ms, struct spawnd_exit **ret_exit, struct spawnd_error *err);

// Drops the record and output of an ended process. One that is already gone is success. (AWT-6)
// Errors: STATE (its tree is not empty), UNREACHABLE, INDETERMINATE (may be repeated) and the
// general ones.
SPAWND_API int spawnd_release(
    spawnd_client *client, const struct spawnd_process *process, struct spawnd_error *err);

/* ---- ladder ------------------------------------------------------------------------------ */

// Where a climb stands.
struct spawnd_climb {
	uint64_t process_id;   // 0 where it never started
	uint32_t rung_reached; // counted from 1
	size_t n_rungs;
	struct spawnd_rung ladder[SPAWND_RUNGS_MAX]; // the normalised one (LAD-19)
	int never_started; // the Spawn had not arrived, and will start nothing
};

// Climbs to one rung (1 is the first, SPAWND_RUNG_LAST the last) and no further by this client; the
// server climbs on by itself unless a higher rung is asked for within wait_ms and its takeover
// time. delegate 1: the server need not wait for us. A rung that was reached before is joined.
// ret_climb may be NULL. *ret_exit, where ret_exit is not NULL, is the record of a process that has
// already ended (spawnd_exit_free), else NULL: that is success too. (LAD-1, LAD-20 to LAD-24)
// Errors: ARGUMENT, NOT_FOUND, LOST, UNREACHABLE, INDETERMINATE (may be repeated) and the general
// ones.
SPAWND_API int spawnd_cancel(spawnd_client *client, const struct spawnd_process *process, int rung,
    uint64_t wait_ms, int delegate, struct spawnd_climb *ret_climb, struct spawnd_exit **ret_exit,
    struct spawnd_error *err);

enum spawnd_stop_event {
	SPAWND_STOP_RUNG_SENT = 1, // the rung's Cancel goes out
	SPAWND_STOP_RUNG_ANSWERED, // it was answered: its wait runs from now
	SPAWND_STOP_RUNG_REFUSED,  // it was refused; the climb goes on (LAD-10)
	SPAWND_STOP_HURRIED,       // hurry_fd: the next rung comes now
	SPAWND_STOP_ENDED,
};

// What a climb has come to.
struct spawnd_stop_progress {
	int event;              // enum spawnd_stop_event
	uint32_t rung, n_rungs; // the rung it is about, counted from 1
	struct spawnd_rung what;
	uint64_t wait_ms; // until the next rung; SPAWND_FOREVER: none follows by time
};

struct spawnd_stop_options {
	size_t size; // sizeof(struct spawnd_stop_options)
	uint64_t
	    first_wait_ms; // overrides the first rung's wait where override_first_wait is 1; as wait_ms
	int override_first_wait;
	uint64_t last_wait_ms; // overrides the last rung's wait where override_last_wait is 1
	int override_last_wait;
	int hurry_fd; // each byte that can be read from it climbs one rung at once; -1: none (INT-3)
	// Called on the calling thread, for each event of the climb, those before this stop joined it
	// included; may be NULL. It must not call the library on the same client, and delays the climb
	// while it runs. *progress is borrowed.
	void (*progress)(void *user, const struct spawnd_stop_progress *progress);
	void *user;
};
#define SPAWND_STOP_OPTIONS_INIT                                                                   \
	{                                                                                              \
		sizeof(struct spawnd_stop_options), 0, 0, 0, 0, -1, NULL, NULL                             \
	}

// Climbs the ladder of a process: Cancel, wait, Cancel, ... and answers its exit record (*ret_exit
// may be NULL; spawnd_exit_free). Each rung's wait counts from the receipt of its answer, and where
// none comes from 2 s after it was first asked for (LAD-2, LAD-9); the climb ends at the moment the
// tree is empty (LAD-5). A process that has already ended is success with its record (LAD-7). A
// rung that the server refuses is reported through progress and climbed over (LAD-10). options may
// be NULL. Concurrent stops of one process by this client share one climb, and all get its result;
// a later one can bring it nearer, by a shorter wait or by its hurry_fd, never further (LAD-11).
// SPAWND_E_UNREAPED when the last wait is over: the process may still end, and can be awaited.
// SPAWND_E_CANCELLED: named by its request id, its Spawn had not arrived and will start nothing.
// Errors: UNREAPED, CANCELLED, LOST, NOT_FOUND (by request id), UNREACHABLE (no connection for the
// client's timeout_ms; the server climbs on by itself), CLOSED, ARGUMENT, MEMORY. (LAD-1 to LAD-15,
// INT-3)
SPAWND_API int spawnd_stop(spawnd_client *client, const struct spawnd_process *process,
    const struct spawnd_stop_options *options, struct spawnd_exit **ret_exit,
    struct spawnd_error *err);

// Sends one signal, 1 to 64, outside the ladder. scope is enum spawnd_scope. *ret_hit (may be NULL)
// is how many it reached; an ended process is 0. (SIG-1, SIG-2) Errors: ARGUMENT, NOT_FOUND, LOST,
// UNREACHABLE, INDETERMINATE (it may have been sent) and the general ones.
SPAWND_API int spawnd_signal(spawnd_client *client, const struct spawnd_process *process,
    int signal, int scope, uint32_t *ret_hit, struct spawnd_error *err);

/* ---- streams ----------------------------------------------------------------------------- */

enum spawnd_stream { SPAWND_STDOUT = 1, SPAWND_STDERR = 2 };
enum spawnd_eof { SPAWND_EOF_NO = 0, SPAWND_EOF_CLOSED, SPAWND_EOF_FORCED };

struct spawnd_chunk {
	uint64_t offset; // of the first byte; above the offset asked for: so many were dropped
	size_t size;     // bytes read; 0: the hold ended, or the stream
	int eof;         // enum spawnd_eof: the stream ends after these bytes
};

// Reads output from an offset into buffer: at most size bytes, and at most what the server gives at
// once. Bytes below release_below (at most offset) may be freed by the server; only the session
// that spawned the process may release. Waits at most hold_ms for the first byte: then *ret_chunk
// has size 0 and eof NO. Repeating it is harmless. (STR-1 to STR-7) Errors: STATE (not a PIPE),
// NOT_FOUND, LOST, UNREACHABLE, INDETERMINATE and the general ones.
SPAWND_API int spawnd_read_output(spawnd_client *client, const struct spawnd_process *process,
    int stream, uint64_t offset, uint64_t release_below, void *buffer, size_t size,
    uint64_t hold_ms, struct spawnd_chunk *ret_chunk, struct spawnd_error *err);

struct spawnd_stdin_state {
	uint64_t offset; // of the next byte wanted: everything below it was taken
	int closed;      // standard input is closed
	int broken;      // nobody reads any more: bytes from offset on have no reader
};

// Writes standard input from an offset; takes what fits within hold_ms, which may be less than
// size: ret_state->offset says how far it came. close 1 closes it once all of data was taken.
// Repeating it is harmless: bytes already taken are skipped. ret_state may be NULL. (STR-8 to
// STR-10) Errors: STATE (not a PIPE), ARGUMENT (an offset beyond the next byte), NOT_FOUND, LOST,
// UNREACHABLE, INDETERMINATE (may be repeated) and the general ones.
SPAWND_API int spawnd_write_stdin(spawnd_client *client, const struct spawnd_process *process,
    uint64_t offset, const void *data, size_t size, int close, uint64_t hold_ms,
    struct spawnd_stdin_state *ret_state, struct spawnd_error *err);

/* ---- inspection -------------------------------------------------------------------------- */

enum spawnd_process_state {
	SPAWND_STATE_UNRECOGNISED = 0,
	SPAWND_STATE_STARTING,
	SPAWND_STATE_RUNNING,
	SPAWND_STATE_CANCELLING,
	SPAWND_STATE_LEADER_EXITED,
	SPAWND_STATE_ENDED,
};
enum spawnd_blocked {
	SPAWND_BLOCKED_NO = 0,
	SPAWND_BLOCKED_TRACED,
	SPAWND_BLOCKED_UNINTERRUPTIBLE,
	SPAWND_BLOCKED_FROZEN,
	SPAWND_BLOCKED_OTHER,
};
SPAWND_API const char *spawnd_process_state_name(int state);
SPAWND_API const char *spawnd_blocked_name(int blocked);
SPAWND_API const char *spawnd_on_owner_lost_name(int on_owner_lost);

// One process of a list; all of it is borrowed for the callback.
struct spawnd_process_info {
	struct spawnd_process process;
	const char *name; // never NULL
	size_t n_argv;
	const char *const *argv; // cut at 4,096 bytes in all
	int state;               // enum spawnd_process_state
	uint32_t rung_reached;
	size_t n_rungs;
	struct spawnd_rung ladder[SPAWND_RUNGS_MAX];
	uint64_t next_rung_ms; // SPAWND_FOREVER: the server does not climb by itself
	uint64_t started_unix_ms, age_ms;
	int on_owner_lost; // enum spawnd_on_owner_lost
	int owner_lost;
	int blocked;                    // enum spawnd_blocked
	const struct spawnd_exit *exit; // ENDED; else NULL
};

struct spawnd_list_filter {
	size_t size;         // sizeof(struct spawnd_list_filter)
	int state;           // 0: any
	const char *name;    // NULL: any
	uint64_t session_id; // 0: any of this user's
	const struct spawnd_process
	    *process; // NULL: any; else this one: SPAWND_E_NOT_FOUND where it is unknown
};

// Calls each on the calling thread for every process, oldest first, until it returns non-zero.
// filter may be NULL; its conditions join by "and". each may call the library, but not
// spawnd_close. (INS-1, INS-2)
SPAWND_API int spawnd_list(spawnd_client *client, const struct spawnd_list_filter *filter,
    int (*each)(void *user, const struct spawnd_process_info *info), void *user,
    struct spawnd_error *err);

// What the server says of itself: limits and counters as in session.proto and inspect.proto.
// (INS-3)
struct spawnd_info {
	char version[32];
	uint32_t major, minor;
	uint64_t epoch;
	uint64_t uptime_ms;
	uint32_t guard_pid, root_pid, broker_pid;
	int shutting_down;
	int can_cgroup, can_subreaper, can_realtime_kill, can_nested, can_identities;
	// limits
	uint64_t max_message_bytes, max_launch_bytes, max_processes, max_unreleased, max_unsettled;
	uint64_t max_parked_session, max_parked, max_hold_ms, max_spawn_hold_ms, takeover_ms,
	    max_wait_ms;
	uint64_t max_rungs, max_ring_bytes, max_read_bytes, max_write_bytes, max_sessions;
	// how much it holds
	uint64_t processes, records, sessions, connections, parked, started, listener_repairs;
	uint64_t log_lines_lost;
};

SPAWND_API int spawnd_get_info(
    spawnd_client *client, struct spawnd_info *ret_info, struct spawnd_error *err);

// The library's own version, for example "0.1.0". Static storage.
SPAWND_API const char *spawnd_version(void);

#ifdef __cplusplus
}
#endif
#endif
