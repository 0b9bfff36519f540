// An exit record drawn as a timeline of rungs, one line an event.
#pragma once

#include <stdio.h>

#include <spawnd/client.h>

// Draws the start, every rung of the climb (when, what, to whom, how many it hit, who asked, who
// was left), the leader's end and the empty tree, in the order of their times. A record without a
// process (START_FAILED) draws nothing. Returns 0, -EIO where out failed, or -ENOMEM.
int timeline_draw(const struct spawnd_exit *record, FILE *out);
