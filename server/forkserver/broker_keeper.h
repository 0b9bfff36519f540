// Starts the broker, watches that it lives and answers, and ends it if it does not. In this version
// a lost broker ends the server in order.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct root;

struct keeper {
	pid_t pid; // 0: none
	int pidfd;
	bool ready;            // it said LINK_READY
	bool ended;            // it is dead and reaped
	bool refused_to_start; // it ended by itself, with a status of its own, before it was ready
	int exit_status;       // as a shell shows it: its code, or 128 + signal
	uint64_t started_us;
	uint64_t next_ping_us, pinged_us;
	uint32_t unanswered; // pings in a row after which nothing came
	bool heard;          // something came since the last ping
	uint64_t sent_serial, answered_serial;
	uint32_t stuck; // pings in a row during which the queue stayed full
};

// Starts the broker with the link as its descriptor 3. 0 or negative errno.
int keeper_start(struct root *root);

void keeper_on_ready(struct root *root, const char *url);
void keeper_on_pong(struct root *root, uint64_t serial);

// Its pidfd is readable.
void keeper_on_death(struct root *root);

// Pings, and ends a broker that does not answer.
void keeper_tick(struct root *root);
uint64_t keeper_next_us(const struct root *root);

// Ends it at once; keeper_on_death follows.
void keeper_kill(struct root *root, const char *why);
