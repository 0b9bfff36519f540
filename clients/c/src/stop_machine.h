// The climb of one ladder as a pure step function: what has happened, and when, in; what is to be
// done out. No clock, no call, no allocation. Times are microseconds of one monotonic clock.
// Clauses: docs/spec/06-ladder.md (LAD-1 to LAD-15), docs/spec/12-clients.md (INT-3).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define STOP_RUNGS_MAX 8u
#define STOP_NEVER     UINT64_MAX // no time; a wait without limit

// Counted from the first attempt of a rung's Cancel that no answer has come to: then the wait
// begins.
#define STOP_WINDOW_US UINT64_C(2000000)

enum stop_outcome {
	STOP_CLIMBING = 0,
	STOP_EXITED,   // the awaited exit was observed
	STOP_UNREAPED, // the last rung's wait is over
	STOP_ENDED,    // ended from outside: lost, closed, never started
};

struct stop_machine {
	uint64_t wait_us[STOP_RUNGS_MAX]; // of each rung
	uint64_t window_us;               // STOP_WINDOW_US; less in tests
	uint64_t next_us;  // when the rung's time is over; STOP_NEVER: not known, or never
	uint8_t n_rungs;   // 1 to STOP_RUNGS_MAX
	uint8_t rung;      // asked for, counted from 1; 0: none
	uint8_t n_hurries; // steps up that wait for the rung's Cancel to leave
	bool sent;         // the rung's Cancel has left at least once
	bool answered;     // ... and was answered or refused
	uint8_t outcome;   // enum stop_outcome
};

enum stop_event_kind {
	STOP_TIME = 1,      // nothing but that it is now
	STOP_RUNG_LEFT,     // rung: the first attempt of its Cancel has left
	STOP_RUNG_TAKEN,    // rung: its Cancel was answered, and reached tells how far the climb is
	STOP_RUNG_DECLINED, // rung: its Cancel was refused for good, or the target was not found
	STOP_RUNG_NEARER,   // rung: another stop wants wait_us for it, and its Cancel has left
	STOP_HURRY,         // somebody wants the next rung now
	STOP_EXIT_SEEN,
	STOP_GIVE_UP,
};

struct stop_event {
	enum stop_event_kind kind;
	uint8_t rung, reached;
	uint64_t wait_us;
	uint64_t at_us; // when it happened: not after the step's now_us
};

struct stop_actions {
	uint8_t send_rung; // send a Cancel of this rung with its wait; 0: none
	bool over;         // outcome is final
};

// Begins: the first step with STOP_TIME sends rung 1.
void stop_machine_init(struct stop_machine *machine, uint8_t n_rungs, const uint64_t *wait_us);

// The ladder turned out to be another one. Rungs that have acted stay.
void stop_machine_set_ladder(
    struct stop_machine *machine, uint8_t n_rungs, const uint64_t *wait_us);

struct stop_actions stop_step(
    struct stop_machine *machine, const struct stop_event *event, uint64_t now_us);
