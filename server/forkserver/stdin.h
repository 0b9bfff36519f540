// Standard input pipes: bytes pass through, none is kept. No call blocks.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/link/messages.h"

struct root;
struct slot;

// Begins to hold fd, the writing end (owned by the slot from now on).
int stdin_begin(struct root *root, struct slot *slot, int fd);

// Carries out LINK_STDIN and has the state told.
void stdin_order(struct root *root, struct slot *slot, const struct link_stdin *order);

// Closes it, as a rung asks. False: it is not open.
bool stdin_close(struct root *root, struct slot *slot);

// There is room again, or nobody reads it any more.
void stdin_on_event(struct root *root, struct slot *slot, uint32_t events);
