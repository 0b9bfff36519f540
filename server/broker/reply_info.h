// What the server says of itself: version, limits, capabilities, counters.
#pragma once

#include "server/broker/broker.h"
#include "spawn/v1/inspect.pb-c.h"
#include "spawn/v1/session.pb-c.h"

#define INFO_MAJOR               1u
#define INFO_MINOR               0u
#define INFO_MAX_HOLD_MS         25000u
#define INFO_MAX_SPAWN_HOLD_MS   1000u
#define INFO_MAX_RING_BYTES      (UINT64_C(64) << 20)
#define INFO_MAX_WRITE_BYTES     (UINT64_C(256) << 10)
#define INFO_LAUNCH_MARGIN_BYTES (UINT64_C(64) << 10)
#define INFO_READ_MARGIN_BYTES   (UINT64_C(4) << 10)

struct info_messages {
	Spawn__V1__Limits limits;
	Spawn__V1__Capabilities capabilities;
	Spawn__V1__Counters counters;
};

void reply_info_fill(struct info_messages *messages, const struct broker *broker);

uint64_t reply_info_max_launch_bytes(const struct broker *broker);
uint64_t reply_info_max_read_bytes(const struct broker *broker);
