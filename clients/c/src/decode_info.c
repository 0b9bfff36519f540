// The server's limits and what it says of itself.
#include "clients/c/src/decode.h"
#include "clients/c/src/decode_words.h"

#include <string.h>

static uint64_t between(uint64_t value, uint64_t least, uint64_t most)
{
	if (value < least)
		return least;
	return value > most ? most : value;
}

// Announcements out of every reason are brought to what the protocol guarantees. (LIM-2)
void decode_limits(const Spawn__V1__Limits *limits, struct limits *ret_limits)
{
	Spawn__V1__Limits none = SPAWN__V1__LIMITS__INIT;
	if (!limits) {
		none.max_message_bytes = 1048576;
		none.max_launch_bytes = 983040;
		none.max_hold_ms = 25000;
		none.max_read_bytes = 1044480;
		none.max_write_bytes = 262144;
		limits = &none;
	}
	uint64_t message_bytes = between(limits->max_message_bytes, 65536, UINT32_MAX);
	ret_limits->max_message_bytes = message_bytes;
	ret_limits->max_launch_bytes = between(limits->max_launch_bytes, 1, message_bytes);
	ret_limits->max_hold_ms = between(limits->max_hold_ms, 1000, 25000);
	ret_limits->max_spawn_hold_ms = between(limits->max_spawn_hold_ms, 1000, 60000);
	ret_limits->max_read_bytes = between(limits->max_read_bytes, 4096, message_bytes);
	ret_limits->max_write_bytes = between(limits->max_write_bytes, 4096, message_bytes - 4096);
}

static void copy_limits(const Spawn__V1__Limits *limits, struct spawnd_info *info)
{
	info->max_message_bytes = limits->max_message_bytes;
	info->max_launch_bytes = limits->max_launch_bytes;
	info->max_processes = limits->max_processes;
	info->max_unreleased = limits->max_unreleased;
	info->max_unsettled = limits->max_unsettled;
	info->max_parked_session = limits->max_parked_session;
	info->max_parked = limits->max_parked;
	info->max_hold_ms = limits->max_hold_ms;
	info->max_spawn_hold_ms = limits->max_spawn_hold_ms;
	info->takeover_ms = limits->takeover_ms;
	info->max_wait_ms = limits->max_wait_ms;
	info->max_rungs = limits->max_rungs;
	info->max_ring_bytes = limits->max_ring_bytes;
	info->max_read_bytes = limits->max_read_bytes;
	info->max_write_bytes = limits->max_write_bytes;
	info->max_sessions = limits->max_sessions;
}

static void copy_counters(const Spawn__V1__Counters *counters, struct spawnd_info *info)
{
	info->processes = counters->processes;
	info->records = counters->records;
	info->sessions = counters->sessions;
	info->connections = counters->connections;
	info->parked = counters->parked;
	info->started = counters->started;
	info->listener_repairs = counters->listener_repairs;
	info->log_lines_lost = counters->log_lines_lost;
}

void decode_info(const Spawn__V1__GetServerInfoResponse *response, struct spawnd_info *ret_info)
{
	struct spawnd_info info = {.major = response->major,
	    .minor = response->minor,
	    .epoch = response->epoch,
	    .uptime_ms = response->uptime_ms,
	    .guard_pid = response->guard_pid,
	    .root_pid = response->root_pid,
	    .broker_pid = response->broker_pid,
	    .shutting_down = !!response->shutting_down};
	decode_text(info.version, sizeof info.version, response->version, strlen(response->version));
	if (response->capabilities) {
		info.can_cgroup = !!response->capabilities->cgroup;
		info.can_subreaper = !!response->capabilities->subreaper;
		info.can_realtime_kill = !!response->capabilities->realtime_kill;
		info.can_nested = !!response->capabilities->nested;
		info.can_identities = !!response->capabilities->identities;
	}
	if (response->limits)
		copy_limits(response->limits, &info);
	if (response->counters)
		copy_counters(response->counters, &info);
	*ret_info = info;
}
