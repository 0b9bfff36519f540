// What a launch may ask for, and what it will take.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/link/launch.h"

struct root;

// Only the server's own ids, and those that its configuration names. (SPN-14)
bool admit_identity(const struct root *root, const struct launch *launch);

// Are its supplementary groups those that the server has? Then they need not be set.
bool admit_has_own_groups(const struct launch *launch);

// Descriptors that the root will hold for it.
uint32_t admit_count_fds(const struct launch *launch);
