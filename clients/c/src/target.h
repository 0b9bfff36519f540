// How a call names a process: by its id, or by the Spawn that asked for it. Clauses: IDN-8, IDS-7.
#pragma once

#include "clients/c/src/error.h"
#include "spawn/v1/target.pb-c.h"
#include "spawnd/client.h"

struct target {
	Spawn__V1__Target message; // points into key
	Spawn__V1__SpawnKey key;
	uint32_t epoch; // of the handle: the upper half of its id (IDN-4)
};

// Fills in *target, which must not be moved afterwards. 0, or -1 with SPAWND_E_ARGUMENT.
static inline int target_set(
    struct target *target, const struct spawnd_process *process, struct spawnd_error *err)
{
	target->message = (Spawn__V1__Target)SPAWN__V1__TARGET__INIT;
	target->key = (Spawn__V1__SpawnKey)SPAWN__V1__SPAWN_KEY__INIT;
	if (process && process->id) {
		target->message.by_case = SPAWN__V1__TARGET__BY_PROCESS_ID;
		target->message.process_id = process->id;
		target->epoch = (uint32_t)(process->id >> 32);
	} else if (process && process->session_id && process->request_id) {
		target->message.by_case = SPAWN__V1__TARGET__BY_SPAWN;
		target->message.spawn = &target->key;
		target->key.session_id = process->session_id;
		target->key.request_id = process->request_id;
		target->epoch = (uint32_t)(process->session_id >> 32);
	} else {
		return error_argument(
		    err, "process", "a process is named by its id, or by session_id and request_id");
	}
	// Ids without an epoch are nobody's; 0 would switch the comparison off.
	if (!target->epoch)
		return error_set(err, SPAWND_E_NOT_FOUND, 0, "no server gives out such an id");
	return 0;
}
