// Refusals as wire statuses: the only place that knows the protocol's codes. The table is that of
// docs/spec/02-envelope.md (STA).
#pragma once

#include <stdbool.h>

#include "server/broker/refusal.h"

struct errmap_entry {
	int code;      // Code of status.proto
	bool recorded; // the answer is kept for repetitions; else nothing was done and the id is free
};

struct errmap_entry errmap(enum refusal_kind kind);
