// A SpawnRequest, checked: what the process table keeps of it, and the launch file for the root.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/broker/ladder.h"
#include "server/broker/proctable.h"
#include "server/broker/refusal.h"
#include "spawn/v1/spawn.pb-c.h"

struct spawn_order {
	struct ladder ladder;
	enum owner_lost_policy on_owner_lost;
	bool keep_on_leader_exit;
	bool is_pipe[3];
	uint32_t policy[3];
	int launch_fd; // owned; -1: none
};

// Checks everything and builds the launch file. False: refusal is filled in, nothing is held.
bool decode_spawn(const struct broker *broker, const Spawn__V1__SpawnRequest *request,
    struct spawn_order *ret_order, struct refusal *refusal);
