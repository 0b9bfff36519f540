// Drives a climb to its end: the stop machine's actions become Cancels, answers become its events,
// and an AwaitExit is outstanding all the while.
#pragma once

#include "clients/c/src/climb.h"

// Runs on the driver's thread until the climb is over, and finishes it.
void stop_drive(
    struct use *use, struct climb_member *member, const struct spawnd_stop_options *options);

// Takes what can be read from *hurry_fd: each byte is one hurry; at its end the descriptor is not
// watched any more (-1).
void stop_read_hurry(struct spawnd_client *client, struct climb *climb, int *hurry_fd);
