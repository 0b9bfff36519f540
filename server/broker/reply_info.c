// Fills in what the server says of itself.
#include "server/broker/reply_info.h"

#include "server/broker/ladder.h"
#include "server/broker/proctable.h"
#include "server/broker/requests.h"
#include "server/broker/sessions.h"
#include "server/common/log.h"

uint64_t reply_info_max_launch_bytes(const struct broker *broker)
{
	return broker->config->max_message_bytes - INFO_LAUNCH_MARGIN_BYTES;
}

uint64_t reply_info_max_read_bytes(const struct broker *broker)
{
	return broker->config->max_message_bytes - INFO_READ_MARGIN_BYTES;
}

static void fill_limits(Spawn__V1__Limits *limits, const struct broker *broker)
{
	const struct config *config = broker->config;
	spawn__v1__limits__init(limits);
	limits->max_message_bytes = config->max_message_bytes;
	limits->max_launch_bytes = reply_info_max_launch_bytes(broker);
	limits->max_processes = broker->hello.max_processes;
	limits->max_unreleased = config->max_unreleased;
	limits->max_unsettled = REQUESTS_UNSETTLED_MAX;
	limits->max_parked_session = config->max_parked_session;
	limits->max_parked = config->max_parked;
	limits->max_hold_ms = INFO_MAX_HOLD_MS;
	limits->max_spawn_hold_ms = INFO_MAX_SPAWN_HOLD_MS;
	limits->takeover_ms = LADDER_TAKEOVER_MS;
	limits->max_wait_ms = LADDER_WAIT_MAX_MS;
	limits->max_rungs = LADDER_RUNGS_MAX;
	limits->max_ring_bytes = INFO_MAX_RING_BYTES;
	limits->max_read_bytes = reply_info_max_read_bytes(broker);
	limits->max_write_bytes = INFO_MAX_WRITE_BYTES;
	limits->max_sessions = config->max_sessions;
}

static void fill_capabilities(Spawn__V1__Capabilities *capabilities, const struct broker *broker)
{
	spawn__v1__capabilities__init(capabilities);
	capabilities->subreaper = true;
	capabilities->realtime_kill = broker->hello.realtime_kill;
	capabilities->identities = broker->config->n_uids || broker->config->n_gids;
}

static void fill_counters(Spawn__V1__Counters *counters, const struct broker *broker)
{
	struct endpoint_counters endpoint;
	endpoint_count(broker->endpoint, &endpoint);
	spawn__v1__counters__init(counters);
	counters->processes = broker->n_alive;
	counters->records = HASH_CNT(hh_id, broker->processes_by_id) - broker->n_alive;
	counters->sessions = HASH_COUNT(broker->sessions);
	counters->connections = endpoint.connections;
	counters->parked = broker->n_parked;
	counters->started = broker->n_started;
	counters->listener_repairs = endpoint.listener_repairs;
	counters->log_lines_lost = log_lost();
}

void reply_info_fill(struct info_messages *messages, const struct broker *broker)
{
	fill_limits(&messages->limits, broker);
	fill_capabilities(&messages->capabilities, broker);
	fill_counters(&messages->counters, broker);
}
