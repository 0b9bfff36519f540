// From spawnd_spawn_options to the wire.
#pragma once

#include "clients/c/src/limits.h"
#include "spawn/v1/spawn.pb-c.h"
#include "spawnd/client.h"

// The request and the arrays that it points into; strings are borrowed from the options.
struct spawn_request {
	Spawn__V1__SpawnRequest message;
	Spawn__V1__Stdio stdio[3];
	Spawn__V1__Rung rungs[SPAWND_RUNGS_MAX];
	Spawn__V1__Rung *rung_pointers[SPAWND_RUNGS_MAX];
	Spawn__V1__Identity identity;
	Spawn__V1__Umask umask;
	ProtobufCBinaryData *argv;
	Spawn__V1__EnvVar *env;
	Spawn__V1__EnvVar **env_pointers;
	Spawn__V1__Rlimit *rlimits;
	Spawn__V1__Rlimit **rlimit_pointers;
};

// Checks the options, against the server's limits too, and fills in *request, which must not be
// moved. 0, or -1 with SPAWND_E_ARGUMENT (field: as in spawn.proto) or MEMORY. Freed by
// spawn_request_free in any case.
int spawn_request_fill(struct spawn_request *request, const struct spawnd_spawn_options *options,
    const struct limits *limits, struct spawnd_error *err);
void spawn_request_free(struct spawn_request *request);
