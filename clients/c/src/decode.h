// From the wire to the library's own structures. Whatever the bytes are, nothing here crashes,
// takes more than DECODE_BYTES_MAX of memory, or reads an unknown value as a known one. (ENV-10,
// RPC-10)
#pragma once

#include "clients/c/src/limits.h"
#include "spawn/v1/await.pb-c.h"
#include "spawn/v1/cancel.pb-c.h"
#include "spawn/v1/envelope.pb-c.h"
#include "spawn/v1/inspect.pb-c.h"
#include "spawn/v1/session.pb-c.h"
#include "spawn/v1/spawn.pb-c.h"
#include "spawn/v1/stream.pb-c.h"
#include "spawnd/client.h"

#include <stddef.h>
#include <stdint.h>

#define DECODE_BYTES_MAX   ((size_t)32 << 20)
#define DECODE_JOURNAL_MAX 256

// NULL where the bytes are no message of this kind. Freed by decode_free.
ProtobufCMessage *decode_message(
    const ProtobufCMessageDescriptor *kind, const void *bytes, size_t size);
void decode_free(ProtobufCMessage *message); // NULL does nothing

// NULL where the bytes are no Response that may be believed: without status, or without a good
// epoch. Freed by decode_free(&response->base). (ENV-7, IDN-3)
Spawn__V1__Response *decode_response(const void *bytes, size_t size);

// The error that a status other than OK means. Returns -1.
int decode_status(const Spawn__V1__Status *status, struct spawnd_error *err);

// The record as one block (spawnd_exit_free). 0, or -1 with SPAWND_E_PROTOCOL for a record that
// contradicts itself, or SPAWND_E_MEMORY.
int decode_exit(
    const Spawn__V1__ExitRecord *record, struct spawnd_exit **ret_exit, struct spawnd_error *err);

// Another block with the same content; NULL without memory.
struct spawnd_exit *decode_exit_copy(const struct spawnd_exit *record);

// rungs has room for SPAWND_RUNGS_MAX. 0, or -1 with SPAWND_E_PROTOCOL for more.
int decode_ladder(Spawn__V1__Rung *const *ladder, size_t n_ladder, struct spawnd_rung *rungs,
    size_t *ret_count, struct spawnd_error *err);

// One process of a list. info's pointers lead into block and exit.
struct decode_listed {
	struct spawnd_process_info info;
	void *block;
	struct spawnd_exit *exit;
};

// 0 or -1 with *err filled in. Freed by decode_listed_free.
int decode_listed(const Spawn__V1__ProcessInfo *process, struct decode_listed *ret_listed,
    struct spawnd_error *err);
void decode_listed_free(struct decode_listed *listed);

void decode_info(const Spawn__V1__GetServerInfoResponse *response, struct spawnd_info *ret_info);
void decode_limits(const Spawn__V1__Limits *limits, struct limits *ret_limits);

int decode_blocked(int blocked);
int decode_eof(int eof);
