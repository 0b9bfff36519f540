// The library's values as JSON objects: exit records, processes, climbs.
#include "clients/spawnctl/record_json.h"

#include <ctype.h>
#include <stdio.h>

#include "clients/spawnctl/json_line.h"

static void set_id(json_t *object, const char *key, uint64_t id)
{
	json_object_set_new(object, key, json_line_id(id));
}

static void set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_line_number(number));
}

static void set_bool(json_t *object, const char *key, int value)
{
	json_object_set_new(object, key, json_boolean(value));
}

static void set_bytes(json_t *object, const char *key, const char *bytes)
{
	json_object_set_new(object, key, json_line_bytes(bytes));
}

static void set_name(json_t *object, const char *key, const char *name)
{
	json_object_set_new(object, key, json_string(name));
}

static json_t *make_rung(const struct spawnd_rung *rung)
{
	json_t *object = json_object();

	set_name(object, "action", spawnd_action_name(rung->action));
	set_number(object, "signal", (uint64_t)rung->signal);
	set_name(object, "scope", spawnd_scope_name(rung->scope));
	set_number(object, "wait_ms", rung->wait_ms);
	return object;
}

static json_t *make_ladder(const struct spawnd_rung *rungs, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, make_rung(&rungs[i]));
	return array;
}

static json_t *make_member(const struct spawnd_member *member)
{
	char state[2] = {member->state, '\0'};
	json_t *object = json_object();

	set_number(object, "pid", member->pid);
	set_bytes(object, "comm", member->comm);
	set_bytes(object, "state", state);
	set_bytes(object, "waits_in", member->waits_in);
	return object;
}

static json_t *make_entry(const struct spawnd_journal_entry *entry)
{
	json_t *object = json_object(), *left = json_array();

	set_number(object, "rung", entry->rung);
	set_number(object, "at_ms", entry->at_ms);
	set_name(object, "action", spawnd_action_name(entry->action));
	set_number(object, "signal", (uint64_t)entry->signal);
	set_name(object, "scope", spawnd_scope_name(entry->scope));
	set_number(object, "hit", entry->hit);
	set_name(object, "climber", spawnd_climber_name(entry->climber));
	set_bool(object, "skipped", entry->skipped);
	set_number(object, "wait_ms", entry->wait_ms);
	set_number(object, "left_count", entry->left_count);
	for (size_t i = 0; i < entry->n_left; i++)
		json_array_append_new(left, make_member(&entry->left[i]));
	json_object_set_new(object, "left", left);
	return object;
}

static json_t *make_usage(const struct spawnd_usage *usage)
{
	json_t *object = json_object();

	set_number(object, "user_us", usage->user_us);
	set_number(object, "system_us", usage->system_us);
	set_number(object, "max_rss_kib", usage->max_rss_kib);
	set_number(object, "minor_faults", usage->minor_faults);
	set_number(object, "major_faults", usage->major_faults);
	set_number(object, "in_blocks", usage->in_blocks);
	set_number(object, "out_blocks", usage->out_blocks);
	set_number(object, "voluntary_switches", usage->voluntary_switches);
	set_number(object, "involuntary_switches", usage->involuntary_switches);
	return object;
}

// The library names stages as people read them ("exec"); the protocol's names are upper case.
static json_t *make_start_failed(int stage, int errno_code)
{
	char name[32];
	json_t *object = json_object();

	snprintf(name, sizeof name, "%s", spawnd_stage_name(stage));
	for (char *at = name; *at; at++)
		*at = *at == ' ' || *at == '-' ? '_' : (char)toupper((unsigned char)*at);
	set_name(object, "stage", name);
	json_object_set_new(object, "errno_code", json_integer(errno_code));
	return object;
}

json_t *record_json_exit(const struct spawnd_exit *record)
{
	json_t *object = json_object(), *journal = json_array();

	set_id(object, "process_id", record->process.id);
	set_id(object, "session_id", record->process.session_id);
	set_number(object, "spawn_request_id", record->process.request_id);
	set_bytes(object, "name", record->name);
	set_name(object, "kind", spawnd_exit_kind_name(record->kind));
	set_number(object, "code", (uint64_t)record->code);
	set_number(object, "signal", (uint64_t)record->signal);
	set_bool(object, "core_dumped", record->core_dumped);
	if (record->kind == SPAWND_START_FAILED)
		json_object_set_new(
		    object, "start_failed", make_start_failed(record->stage, record->sys_errno));
	set_bytes(object, "lost_reason", record->lost_reason);
	set_name(object, "cause", spawnd_exit_cause_name(record->cause));
	set_number(object, "rung", record->rung);
	for (size_t i = 0; i < record->n_journal; i++)
		json_array_append_new(journal, make_entry(&record->journal[i]));
	json_object_set_new(object, "journal", journal);
	set_bool(object, "tree_empty", record->tree_empty);
	set_name(object, "tree_proof", spawnd_tree_proof_name(record->tree_proof));
	set_number(object, "started_unix_ms", record->started_unix_ms);
	set_number(object, "leader_exit_ms", record->leader_exit_ms);
	set_number(object, "tree_empty_ms", record->tree_empty_ms);
	json_object_set_new(object, "usage", make_usage(&record->usage));
	return object;
}

json_t *record_json_process(const struct spawnd_process_info *info)
{
	json_t *object = json_object(), *argv = json_array();

	set_id(object, "process_id", info->process.id);
	set_id(object, "session_id", info->process.session_id);
	set_number(object, "spawn_request_id", info->process.request_id);
	set_bytes(object, "name", info->name);
	for (size_t i = 0; i < info->n_argv; i++)
		json_array_append_new(argv, json_line_bytes(info->argv[i]));
	json_object_set_new(object, "argv", argv);
	set_number(object, "pid", info->process.pid);
	set_name(object, "state", spawnd_process_state_name(info->state));
	json_object_set_new(object, "ladder", make_ladder(info->ladder, info->n_rungs));
	set_number(object, "rung_reached", info->rung_reached);
	set_number(object, "next_rung_ms", info->next_rung_ms);
	set_number(object, "started_unix_ms", info->started_unix_ms);
	set_number(object, "age_ms", info->age_ms);
	set_name(object, "on_owner_lost", spawnd_on_owner_lost_name(info->on_owner_lost));
	set_bool(object, "owner_lost", info->owner_lost);
	set_name(object, "blocked",
	    info->blocked == SPAWND_BLOCKED_NO ? "UNSPECIFIED" : spawnd_blocked_name(info->blocked));
	if (info->exit)
		json_object_set_new(object, "exit", record_json_exit(info->exit));
	return object;
}

json_t *record_json_climb(const struct spawnd_climb *climb, const struct spawnd_exit *record)
{
	json_t *object = json_object();

	set_id(object, "process_id", climb->process_id);
	set_number(object, "rung_reached", climb->rung_reached);
	json_object_set_new(object, "ladder", make_ladder(climb->ladder, climb->n_rungs));
	set_bool(object, "never_started", climb->never_started);
	if (record)
		json_object_set_new(object, "exit", record_json_exit(record));
	return object;
}

static json_t *make_limits(const struct spawnd_info *info)
{
	json_t *object = json_object();

	set_number(object, "max_message_bytes", info->max_message_bytes);
	set_number(object, "max_launch_bytes", info->max_launch_bytes);
	set_number(object, "max_processes", info->max_processes);
	set_number(object, "max_unreleased", info->max_unreleased);
	set_number(object, "max_unsettled", info->max_unsettled);
	set_number(object, "max_parked_session", info->max_parked_session);
	set_number(object, "max_parked", info->max_parked);
	set_number(object, "max_hold_ms", info->max_hold_ms);
	set_number(object, "max_spawn_hold_ms", info->max_spawn_hold_ms);
	set_number(object, "takeover_ms", info->takeover_ms);
	set_number(object, "max_wait_ms", info->max_wait_ms);
	set_number(object, "max_rungs", info->max_rungs);
	set_number(object, "max_ring_bytes", info->max_ring_bytes);
	set_number(object, "max_read_bytes", info->max_read_bytes);
	set_number(object, "max_write_bytes", info->max_write_bytes);
	set_number(object, "max_sessions", info->max_sessions);
	return object;
}

static json_t *make_capabilities(const struct spawnd_info *info)
{
	json_t *object = json_object();

	set_bool(object, "cgroup", info->can_cgroup);
	set_bool(object, "subreaper", info->can_subreaper);
	set_bool(object, "realtime_kill", info->can_realtime_kill);
	set_bool(object, "nested", info->can_nested);
	set_bool(object, "identities", info->can_identities);
	return object;
}

static json_t *make_counters(const struct spawnd_info *info)
{
	json_t *object = json_object();

	set_number(object, "processes", info->processes);
	set_number(object, "records", info->records);
	set_number(object, "sessions", info->sessions);
	set_number(object, "connections", info->connections);
	set_number(object, "parked", info->parked);
	set_number(object, "started", info->started);
	set_number(object, "listener_repairs", info->listener_repairs);
	set_number(object, "log_lines_lost", info->log_lines_lost);
	return object;
}

json_t *record_json_info(const struct spawnd_info *info)
{
	json_t *object = json_object();

	set_bytes(object, "version", info->version);
	set_number(object, "major", info->major);
	set_number(object, "minor", info->minor);
	set_id(object, "epoch", info->epoch);
	set_number(object, "uptime_ms", info->uptime_ms);
	set_number(object, "root_pid", info->root_pid);
	set_number(object, "broker_pid", info->broker_pid);
	set_number(object, "guard_pid", info->guard_pid);
	set_bool(object, "shutting_down", info->shutting_down);
	json_object_set_new(object, "limits", make_limits(info));
	json_object_set_new(object, "capabilities", make_capabilities(info));
	json_object_set_new(object, "counters", make_counters(info));
	return object;
}
