// Translates what comes from the wire into the broker's own words, and checks it on the way.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/broker/broker.h"
#include "server/broker/ladder.h"
#include "server/broker/refusal.h"
#include "server/broker/requests.h"
#include "server/link/messages.h"
#include "spawn/v1/ladder.pb-c.h"
#include "spawn/v1/target.pb-c.h"

struct call;

// Finds the process that a target names, of the caller's principal. NULL: refusal is filled in, and
// *ret_key (may be NULL) has the key where the target was one of a session that is still known as
// this epoch's, else zeros.
struct process *decode_target(const struct call *call, const Spawn__V1__Target *target,
    struct link_key *ret_key, struct refusal *refusal);

// SCOPE_... to enum ladder_scope. False: invalid.
bool decode_scope(int wire, uint8_t *ret_scope);

// A ladder as asked for, normalised. False: refusal is filled in.
bool decode_ladder(Spawn__V1__Rung *const *rungs, size_t n, bool stdin_is_pipe,
    struct ladder *ret_ladder, struct refusal *refusal);

// Is it zero, at most 24 h, or unlimited? (LAD-18)
bool decode_wait_is_valid(uint64_t wait_ms);

// Is this text all that the envelope has as its method? protobuf-c loses what follows a NUL.
bool decode_method_is_whole(const uint8_t *envelope, size_t size, const char *method);

// The digest of what makes two requests the same: method and payload. (IDS-6)
void decode_digest(const char *method, const void *payload, size_t size,
    uint8_t ret_digest[REQUESTS_DIGEST_BYTES]);
