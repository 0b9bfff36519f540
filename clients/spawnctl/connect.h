// The way to the server that the command line names.
#pragma once

#include "clients/spawnctl/options.h"

// Connects; the client is closed by spawnd_close. Returns 0, or else the exit code, the failure
// having been told.
int connect_client(const struct options *options, spawnd_client **ret_client);

// The process that the first operand names. Returns as connect_client.
int connect_operand(const struct options *options, struct spawnd_process *ret_process);
