// The end of the server, in order: asked for by a signal, or because the broker is lost.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct root;

enum stop_stage {
	STOP_NOT,
	STOP_ASKED, // the broker climbs all ladders
	STOP_TERM,  // the broker is lost: every tree got TERM
	STOP_LEAVE, // nothing is to be served any more: kill what is left, then go
};

struct stop {
	enum stop_stage stage;
	uint32_t count;             // requests so far
	uint64_t last_signal_us[2]; // when TERM, INT came last
	bool last_straight;         // it came from somebody other than the guard
	bool guard_gone;
	bool broker_stopped; // LINK_STOPPED came
	uint64_t term_until_us;
	int exit_status;
};

bool stop_is_asked(const struct root *root);

// TERM or INT came, from that process.
void stop_on_signal(struct root *root, int signal, uint32_t from_pid);

void stop_on_broker_stopped(struct root *root);
void stop_on_broker_death(struct root *root);
void stop_on_guard_death(struct root *root);

void stop_tick(struct root *root);
uint64_t stop_next_us(const struct root *root);

// Kills and reaps all that is left, the broker last; blocks while it does. Returns the exit status.
int stop_finish(struct root *root);
