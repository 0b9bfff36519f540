// Lengths of time as people write them: "250ms", "1.5s", "2m", "1h", "forever".
#pragma once

#include <stddef.h>
#include <stdint.h>

// Reads a length of time; a number without a unit is refused, but for 0. "forever" is
// SPAWND_FOREVER. Returns 0, -EINVAL (not a length of time) or -ERANGE (longer than 24 h).
int duration_parse(const char *text, uint64_t *ret_ms);

// Writes it as seconds with three digits, "0.012 s", or "forever". Always NUL-terminated.
void duration_format_seconds(uint64_t ms, char *buffer, size_t size);

// Writes it in the unit that people would choose: "250 ms", "5 s", "2 m 30 s", "1 h 5 m",
// "3 d 2 h", "forever".
void duration_format_short(uint64_t ms, char *buffer, size_t size);
