// The server's orderly end: every ladder at once on one budget, records to those who wait, then
// nothing more. Clauses: docs/spec/10-inspect.md (SHD).
#pragma once

#include <stdint.h>

struct broker;

// TERM or INT came for the count-th time.
void shutdown_begin(struct broker *broker, uint32_t count);

// A process has ended or is given up: ends the shutdown where it was the last.
void shutdown_step(struct broker *broker);
