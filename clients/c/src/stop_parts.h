// What the parts of a climb's driver share: stop_drive.c holds the machine and the loop,
// stop_cancel.c asks for rungs, stop_await.c awaits the exit.
#pragma once

#include "clients/c/src/call.h"
#include "clients/c/src/climb.h"
#include "clients/c/src/invoke.h"
#include "clients/c/src/stop_learn.h"
#include "clients/c/src/stop_machine.h"
#include "clients/c/src/target.h"

struct drive {
	struct use *use;
	struct spawnd_client *client;
	struct climb *climb;
	const struct spawnd_stop_options *options;
	struct target target;
	bool by_id;
	struct session *session;
	unsigned n_renewals; // of the session, during this climb

	struct stop_machine machine;
	struct stop_ladder ladder;
	uint64_t wait_ms[SPAWND_RUNGS_MAX]; // of each rung, as asked for

	struct call cancel; // of the machine's rung
	bool cancel_left_told, cancel_not_found;
	struct call nearer; // a join of the same rung with a shorter wait
	uint8_t nearer_rung;
	uint64_t nearer_wait_ms;
	bool nearer_told;
	struct call await;
	uint64_t await_begun_us, await_silent_us, await_next_us;
	int blocked; // what the latest answer said

	bool over;
	struct spawnd_exit *record;
	struct spawnd_error error;
};

// The end: the first word counts. drive->error is filled in before stop_end.
void stop_end(struct drive *drive);
void stop_end_with_record(struct drive *drive, struct spawnd_exit *record); // takes it over
void stop_lost(struct drive *drive);
void stop_call_failed(struct drive *drive, enum call_outcome outcome, const char *method);

// Ends the climb where nothing can be sent to the server: bounded, as every call is. (RPC-7)
void stop_check_reach(struct drive *drive, struct call *call, uint64_t now_us);

// Tells the machine, and does what it asks for; tells the members.
void stop_feed(struct drive *drive, struct stop_event event);
void stop_post(struct drive *drive, int event, uint8_t rung);

// Takes over drive->ladder and the waits asked for, as far as rungs have not acted.
void stop_apply_waits(struct drive *drive);

// The session is over, the climb is not: the same rung is asked for again in the next session.
void stop_renew_session(struct drive *drive);

// A call is of no further interest: its id is settled.
void stop_end_call(struct call *call);

// stop_cancel.c
void stop_send_rung(struct drive *drive, uint8_t rung);
int stop_start_cancel(struct drive *drive, struct call *call, uint8_t rung, uint64_t wait_ms);
void stop_begin_nearer(struct drive *drive, uint64_t wait_ms);
void stop_step_cancel(struct drive *drive, uint64_t now_us);
void stop_step_nearer(struct drive *drive, uint64_t now_us);

// stop_await.c
void stop_step_await(struct drive *drive, uint64_t now_us);
