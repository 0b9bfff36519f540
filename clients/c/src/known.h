// What a client remembers of the processes it has met: their ladders, and which have ended. A cache
// of fixed size; what has dropped out of it is asked of the server. Thread-safe.
#pragma once

#include "spawnd/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct known;

struct known *known_new(void); // NULL without memory
void known_free(struct known *known);

// The server answered this ladder for a process.
void known_set_ladder(
    struct known *known, uint64_t process_id, const struct spawnd_rung *rungs, size_t n_rungs);

// Its exit record was handed out.
void known_set_ended(struct known *known, uint64_t process_id);

// True where the ladder is known: rungs (room for SPAWND_RUNGS_MAX) and *ret_count are filled in.
bool known_ladder(
    struct known *known, uint64_t process_id, struct spawnd_rung *rungs, size_t *ret_count);

bool known_has_ended(struct known *known, uint64_t process_id);
