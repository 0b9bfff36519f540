// The line on standard error that tells which rung acts and how long until the next.
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <spawnd/client.h>

enum countdown_mode {
	COUNTDOWN_SILENT,   // tells nothing
	COUNTDOWN_LINES,    // one line a rung
	COUNTDOWN_TERMINAL, // one line a rung, its last part counting down in place
};

struct countdown {
	pthread_mutex_t lock; // guards everything below but changed_fd
	int mode;             // enum countdown_mode
	int fd;               // TERMINAL: standard error again, non-blocking, so that a terminal
	                      // stopped by Ctrl-S stops nothing else
	bool active;          // a rung is being told
	bool drawn;           // its line stands on the terminal, the cursor behind it
	bool mid_line;        // the process's output stopped within a line
	char rung_text[96];
	uint32_t rung, n_rungs;
	bool answered;        // so that deadline_ms holds
	uint64_t deadline_ms; // monotonic; SPAWND_FOREVER: no next rung by time
	uint64_t drawn_s;     // the seconds that the line shows
	int changed_fd;       // eventfd, readable when countdown_tick should be called
};

// mode TERMINAL falls back to otherwise where standard error is no terminal. Returns 0 or a
// negative errno.
int countdown_init(struct countdown *countdown, int mode, int otherwise);
void countdown_clear(struct countdown *countdown);

// A rung was sent, or answered: then its wait runs from now. The line of the one before it stays.
void countdown_rung(struct countdown *countdown, const struct spawnd_stop_progress *progress);
// Tells something that is no rung, on a line of its own.
void countdown_note(struct countdown *countdown, const char *text);
// The climb is over; the cursor stands at the beginning of a line.
void countdown_end(struct countdown *countdown);

// Draws what is due. Returns the milliseconds until it is due again; -1: until changed_fd.
int countdown_tick(struct countdown *countdown);

// Around each write of the process's output to a terminal, so that the line does not mix with it.
void countdown_before_output(struct countdown *countdown);
void countdown_after_output(struct countdown *countdown, char last_byte);
