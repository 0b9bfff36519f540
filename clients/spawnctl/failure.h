// Failures told to people: a sentence on standard error, and the exit code that goes with it.
#pragma once

#include <spawnd/client.h>

#include "clients/spawnctl/options.h"

// Says "spawnctl: <doing>: <why>" with a hint where one helps, and returns the exit code: one of
// EXIT_CODES, or for COMMAND_RUN EXIT_CODE_RUN_FAILED. doing may be NULL.
int failure_tell(const struct options *options, const char *doing, const struct spawnd_error *err);

// Says "spawnctl: <why>" for a failure of spawnctl's own; returns the exit code as above, with
// EXIT_CODE_REFUSED for the commands that are not run.
int failure_tell_own(const struct options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Says that the command line is wrong; returns EXIT_CODE_USAGE, or EXIT_CODE_RUN_FAILED for run.
int failure_tell_usage(enum command_id command, const struct usage_problem *problem);

// The exit code of a start that failed.
int failure_start_code(const struct options *options, int stage, int errno_code);
