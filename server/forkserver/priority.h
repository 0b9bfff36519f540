// Real-time priority for the root while it fights a bomb: at ordinary priority thousands of forking
// processes leave it a few hundredths of a processor. Children never inherit it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct root;

enum priority_reason {
	PRIORITY_STORM = 1, // orphans come and die faster than any program lets them
	PRIORITY_BOMB = 2,  // a kill loop meets many new members
};

struct priority {
	bool allowed, on;
	uint32_t reasons; // of enum priority_reason
};

// Finds out whether it is permitted.
void priority_open(struct priority *priority);

// Takes effect at once; without any reason the priority is ordinary again.
void priority_want(struct root *root, enum priority_reason reason, bool wanted);
