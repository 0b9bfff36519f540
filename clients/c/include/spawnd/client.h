// libspawnd: spawn processes, cancel them, await their exit, by a spawnd server.
//
// Rules that hold for every function:
//  - It returns 0 or, on failure, -1 with *err filled in (err may be NULL). What a function answers
//    through ret_... is untouched on failure.
//  - It may be called from any thread; calls on one client are independent of each other. Each
//    blocks the calling thread alone, and no longer than its timeout_ms and 1 s.
//  - Strings and byte blocks passed in are borrowed for the call. What is handed out is owned by
//  the
//    caller and freed by the function named with it.
//  - Times are milliseconds of the monotonic clock. SPAWND_FOREVER means without limit.
//  - The library prints nothing, installs no signal handler and touches no global state.
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
	SPAWND_E_ARGUMENT,      // wrong arguments; nothing was sent, or the server refused a field
	SPAWND_E_MEMORY,        // no memory
	SPAWND_E_UNREACHABLE,   // no server answers at the address; nothing was done
	SPAWND_E_INDETERMINATE, // sent, but no answer in time: it may have been done (RPC-7)
	SPAWND_E_START_FAILED,  // the process never ran its program: stage and sys_errno (SPN-4)
	SPAWND_E_NOT_FOUND,     // no such process, or not yours
	SPAWND_E_LOST,          // the server was restarted: its processes and records are gone (VER-4)
	SPAWND_E_EXISTS,        // the name is taken: process_id has by whom
	SPAWND_E_UNREAPED,      // the last rung's wait is over and the process has not ended (LAD-6)
	SPAWND_E_TIMEOUT,       // the awaited fact did not come in time; nothing is wrong
	SPAWND_E_STATE,         // not possible in the process's or the server's state
	SPAWND_E_LIMIT,         // a limit is reached; retry_after_ms where known
	SPAWND_E_UNAVAILABLE,   // the server takes no such call now (it is shutting down)
	SPAWND_E_DENIED,        // not permitted
	SPAWND_E_VERSION,       // the server speaks another major version (VER-2)
	SPAWND_E_UNSUPPORTED,   // the server does not know the method or the option (RPC-6)
	SPAWND_E_CANCELLED,     // a Spawn that was cancelled before it began: nothing was started
	SPAWND_E_CLOSED,        // the client is closed
	SPAWND_E_PROTOCOL,      // the server broke the protocol
	SPAWND_E_UNKNOWN,       // an error code that this library does not know
};

// Filled in by a failing call. The caller owns it; it holds no pointers.
struct spawnd_error {
	int kind;                // enum spawnd_error_kind
	int code;                // the server's status code (gRPC numbers), or 0 where it sent none
	int stage;               // START_FAILED: the step, as StartStage in the protocol
	int sys_errno;           // errno of the step, or of a local failure; else 0
	uint64_t retry_after_ms; // LIMIT, UNAVAILABLE: repeat not before; 0 unknown
	uint64_t process_id;     // EXISTS: who has the name
	char field[64];          // ARGUMENT: the field's path, or empty
	char message[256];       // the same in words, always set, NUL-terminated
};

// The kind's name in lower case, for example "start_failed". Static storage.
SPAWND_API const char *spawnd_error_kind_name(int kind);

// The step's name, for example "exec" or "cwd". Static storage.
SPAWND_API const char *spawnd_stage_name(int stage);

/* ---- client ------------------------------------------------------------------------------ */

typedef struct spawnd_client spawnd_client;

struct spawnd_connect_options {
	size_t size; // sizeof(struct spawnd_connect_options)
	const char
	    *url; // "ipc:///path" or "tcp://host:port"; NULL: SPAWND_URL, else the user's own server
	const char *name;         // this program's name, for the server's lists; NULL: none
	uint64_t lease_ms;        // 0: 10,000 (SES-3)
	uint64_t timeout_ms;      // for connecting, and for each later call that has no own; 0: 10,000
	const char *access_token; // for tcp; NULL: none
};
#define SPAWND_CONNECT_OPTIONS_INIT                                                                \
	{                                                                                              \
		sizeof(struct spawnd_connect_options), NULL, NULL, 0, 0, NULL                              \
	}

// Connects and opens a session. options may be NULL. *ret_client is freed by spawnd_close.
SPAWND_API int spawnd_connect(const struct spawnd_connect_options *options,
    spawnd_client **ret_client, struct spawnd_error *err);

// Closes the session, so that each of its processes meets its on_owner_lost, and frees the client.
// Calls of other threads that are under way fail with SPAWND_E_CLOSED before it returns; no new
// ones may begin. NULL does nothing. Takes at most 2 s where the server does not answer. (RPC-12)
SPAWND_API void spawnd_close(spawnd_client *client);

SPAWND_API uint64_t spawnd_client_session(const spawnd_client *client);
SPAWND_API uint64_t spawnd_client_epoch(const spawnd_client *client);
// The address in use; owned by the client.
SPAWND_API const char *spawnd_client_url(const spawnd_client *client);

// Renews the lease; needed on tcp alone, where no call is made for longer than the lease. (SES-4)
SPAWND_API int spawnd_keep_alive(spawnd_client *client, struct spawnd_error *err);

// Writes the default server address of this user, as a URL. Needs no server.
SPAWND_API int spawnd_default_url(char *buffer, size_t size, struct spawnd_error *err);

/* ---- processes --------------------------------------------------------------------------- */

// Names a process. A plain value: copy it, store it, share it between threads and processes.
// Made by spawnd_spawn, or by hand: {.id = ...} with the rest 0. (SPN-5)
struct spawnd_process {
	uint64_t id; // 0: not known (yet): session_id and request_id name it
	uint64_t session_id;
	uint64_t request_id;
	uint32_t pid; // for people, never an identity; 0: not known
};

// Writes id as 16 lower-case hexadecimal digits and a NUL. Reading accepts those only.
SPAWND_API void spawnd_id_format(uint64_t id, char buffer[17]);
SPAWND_API int spawnd_id_parse(const char *text, uint64_t *ret_id, struct spawnd_error *err);

enum spawnd_action { SPAWND_SIGNAL = 1, SPAWND_CLOSE_STDIN, SPAWND_CANCEL_NOTICE };
enum spawnd_scope { SPAWND_LEADER = 1, SPAWND_GROUP, SPAWND_TREE };

struct spawnd_rung {
	int action;       // enum spawnd_action
	int signal;       // with SPAWND_SIGNAL
	int scope;        // enum spawnd_scope
	uint64_t wait_ms; // before the next rung; SPAWND_FOREVER or at most 24 h
};

// Reads a ladder such as "INT leader 5s, TERM tree 2s, KILL tree 500ms": for each rung a signal
// (name without SIG, or number), "close-stdin" or "notice"; leader, group or tree (leader may be
// left out); and its wait in ms, s, m, h or "forever". rungs has room for SPAWND_RUNGS_MAX.
SPAWND_API int spawnd_ladder_parse(
    const char *text, struct spawnd_rung *rungs, size_t *ret_count, struct spawnd_error *err);

// Writes a rung in the same words. Always NUL-terminated.
SPAWND_API void spawnd_rung_format(const struct spawnd_rung *rung, char *buffer, size_t size);

enum spawnd_stdio_kind { SPAWND_NULL = 0, SPAWND_FILE, SPAWND_PIPE, SPAWND_SAME_AS_STDOUT };
enum spawnd_ring_policy { SPAWND_DROP_OLDEST = 0, SPAWND_BLOCK };

struct spawnd_stdio {
	int kind;            // enum spawnd_stdio_kind
	const char *path;    // FILE: an absolute path
	int truncate;        // FILE for output
	uint64_t ring_bytes; // PIPE for output; 0: 1 MiB
	int policy;          // PIPE for output: enum spawnd_ring_policy
};

enum spawnd_on_owner_lost {
	SPAWND_OWNER_LOST_CANCEL = 0,
	SPAWND_OWNER_LOST_KILL,
	SPAWND_OWNER_LOST_KEEP
};
enum spawnd_on_leader_exit { SPAWND_LEADER_EXIT_CANCEL_TREE = 0, SPAWND_LEADER_EXIT_KEEP };

struct spawnd_identity {
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t n_groups;
};

struct spawnd_rlimit {
	uint32_t resource; // RLIMIT_...
	uint64_t soft, hard;
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
	uint64_t run_ms;    // 0: never; else the server climbs after so long
	uint32_t hold_ms;   // the answer may wait so long for the exit, at most 1,000
	const char *name;   // unique among the user's live processes; NULL: none
	const struct spawnd_identity *identity; // NULL: the server's
	int umask;                              // -1: 022
	const struct spawnd_rlimit *rlimits;
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

// Starts a process; returns once it executes its program, or with SPAWND_E_START_FAILED. Where the
// process ended within hold_ms and ret_exit is not NULL, *ret_exit is its record
// (spawnd_exit_free), else NULL. On SPAWND_E_INDETERMINATE the library cancels the spawn by its
// request id before it returns where it can, and *ret_process is filled in with session_id and
// request_id all the same, so that the caller can await or cancel it. (SPN-1, SPN-2)
SPAWND_API int spawnd_spawn(spawnd_client *client, const struct spawnd_spawn_options *options,
    struct spawnd_process *ret_process, struct spawnd_exit **ret_exit, struct spawnd_error *err);

/* ---- exit -------------------------------------------------------------------------------- */

enum spawnd_exit_kind {
	SPAWND_EXIT_UNRECOGNISED = 0, // the server said what this library does not know (RPC-5)
	SPAWND_EXITED,
	SPAWND_SIGNALED,
	SPAWND_START_FAILED,
	SPAWND_LOST,
};

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

enum spawnd_tree_proof {
	SPAWND_PROOF_UNSPECIFIED = 0,
	SPAWND_PROOF_CGROUP,
	SPAWND_PROOF_SUBREAPER,
	SPAWND_PROOF_NONE,
};

enum spawnd_climber { SPAWND_CLIMBER_UNRECOGNISED = 0, SPAWND_CLIMBER_CLIENT, SPAWND_CLIMBER_NET };

struct spawnd_member {
	uint32_t pid;
	char comm[16];
	char state;
	char waits_in[40];
};

struct spawnd_journal_entry {
	uint32_t rung;
	uint64_t at_ms; // since the start
	int action, signal, scope;
	uint32_t hit;
	int climber; // enum spawnd_climber
	int skipped;
	uint64_t wait_ms;
	uint32_t left_count;
	size_t n_left; // at most 8
	struct spawnd_member left[8];
};

struct spawnd_usage {
	uint64_t user_us, system_us, max_rss_kib, minor_faults, major_faults;
	uint64_t in_blocks, out_blocks, voluntary_switches, involuntary_switches;
};

// An exit record (EXT-1). One block of memory: freed whole by spawnd_exit_free.
struct spawnd_exit {
	struct spawnd_process process;
	const char *name; // never NULL
	int kind;         // enum spawnd_exit_kind
	int code;         // EXITED
	int signal;       // SIGNALED
	int core_dumped;
	int stage, sys_errno;    // START_FAILED
	const char *lost_reason; // LOST; never NULL
	int cause;               // enum spawnd_exit_cause
	uint32_t rung;           // the highest that had acted when the leader ended; 0 none
	int tree_empty;
	int tree_proof; // enum spawnd_tree_proof
	uint64_t started_unix_ms;
	uint64_t leader_exit_ms, tree_empty_ms; // since the start
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

// Waits for the exit; as many and as often as wanted. SPAWND_E_TIMEOUT after timeout_ms
// (SPAWND_FOREVER waits on; 0 asks once). A restarted server is SPAWND_E_LOST. (AWT-1, LAD-5)
SPAWND_API int spawnd_await(spawnd_client *client, const struct spawnd_process *process, int until,
    uint64_t timeout_ms, struct spawnd_exit **ret_exit, struct spawnd_error *err);

// Drops the record and output of an ended process. One that is already gone is success.
SPAWND_API int spawnd_release(
    spawnd_client *client, const struct spawnd_process *process, struct spawnd_error *err);

/* ---- ladder ------------------------------------------------------------------------------ */

struct spawnd_climb {
	uint64_t process_id;
	uint32_t rung_reached;
	size_t n_rungs;
	struct spawnd_rung ladder[SPAWND_RUNGS_MAX];
	int never_started; // the Spawn had not arrived, and will start nothing
};

// Climbs to one rung and no further by this client; the server climbs on by itself unless a higher
// rung is asked for within wait_ms and its takeover time. delegate 1: the server need not wait for
// us. *ret_exit, where ret_exit is not NULL, is the record of a process that has already ended,
// else NULL. (LAD-1)
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

struct spawnd_stop_progress {
	int event;              // enum spawnd_stop_event
	uint32_t rung, n_rungs; // the rung it is about, counted from 1
	struct spawnd_rung what;
	uint64_t wait_ms; // until the next rung; SPAWND_FOREVER: none follows by time
};

struct spawnd_stop_options {
	size_t size;            // sizeof(struct spawnd_stop_options)
	uint64_t first_wait_ms; // overrides the first rung's wait where override_first_wait is 1
	int override_first_wait;
	uint64_t last_wait_ms; // overrides the last rung's wait where override_last_wait is 1
	int override_last_wait;
	int hurry_fd; // each byte that can be read from it climbs one rung at once; -1: none (INT-3)
	// Called on the calling thread; may be NULL. It must not call the library on the same client.
	void (*progress)(void *user, const struct spawnd_stop_progress *progress);
	void *user;
};
#define SPAWND_STOP_OPTIONS_INIT                                                                   \
	{                                                                                              \
		sizeof(struct spawnd_stop_options), 0, 0, 0, 0, -1, NULL, NULL                             \
	}

// Climbs the ladder of a process: Cancel, wait, Cancel, ... and answers its exit record. Each
// rung's wait counts from the receipt of its answer; the climb ends at the moment the tree is
// empty. A process that has already ended is success. SPAWND_E_UNREAPED when the last wait is over.
// options may be NULL. Concurrent stops of one process share one climb. (LAD-1 to LAD-15)
SPAWND_API int spawnd_stop(spawnd_client *client, const struct spawnd_process *process,
    const struct spawnd_stop_options *options, struct spawnd_exit **ret_exit,
    struct spawnd_error *err);

// Sends one signal, outside the ladder. *ret_hit (may be NULL) is how many it reached.
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

// Reads output from an offset into buffer. Bytes below release_below may be freed by the server;
// only the session that spawned the process may release. Waits at most hold_ms for the first byte.
// (STR-1)
SPAWND_API int spawnd_read_output(spawnd_client *client, const struct spawnd_process *process,
    int stream, uint64_t offset, uint64_t release_below, void *buffer, size_t size,
    uint64_t hold_ms, struct spawnd_chunk *ret_chunk, struct spawnd_error *err);

struct spawnd_stdin_state {
	uint64_t offset; // of the next byte wanted
	int closed;
	int broken; // nobody reads any more
};

// Writes standard input from an offset; takes what fits within hold_ms. close 1 closes it once all
// of data was taken. Repeating it is harmless. (STR-7)
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

// Calls each for every process, oldest first, until it returns non-zero. filter may be NULL.
SPAWND_API int spawnd_list(spawnd_client *client, const struct spawnd_list_filter *filter,
    int (*each)(void *user, const struct spawnd_process_info *info), void *user,
    struct spawnd_error *err);

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
