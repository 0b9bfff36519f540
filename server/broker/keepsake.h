// Keepsakes: what the broker leaves with the root so that another broker could go on. The root does
// not read them. They hold absolute monotonic times, which outlive a broker.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/link/messages.h"

struct process;
struct session;

// Writes the keepsake of a process; returns its size.
size_t keepsake_of_process(const struct process *process, uint8_t buffer[LINK_KEEPSAKE_MAX]);

// Sends a process's keepsake by itself, where no other message carries it.
void keepsake_send_process(const struct process *process);

void keepsake_send_session(const struct session *session);
void keepsake_drop_session(const struct session *session);
