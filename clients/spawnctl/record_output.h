// Where the exit record of a command goes: in words, as a timeline, as JSON.
#pragma once

#include <stdio.h>

#include "clients/spawnctl/options.h"

struct record_output {
	const struct options *options;
	FILE *file; // NULL: nothing is written
	bool json;
};

// Chooses by the command and its options: run writes to standard error or into --record=FILE if
// asked, the others to standard output. Returns 0, or else the exit code, the failure having been
// told.
int record_output_open(struct record_output *output, const struct options *options);
void record_output_close(struct record_output *output);

// Writes a record. Returns as record_output_open.
int record_output_write(struct record_output *output, const struct spawnd_exit *record);

// A start has failed: says so in words on standard error, and where JSON is wanted writes its
// record. Returns as record_output_open.
int record_output_start_failed(struct record_output *output, spawnd_client *client,
    const struct spawnd_process *process, const struct spawnd_error *err);
