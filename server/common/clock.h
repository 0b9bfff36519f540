// The two clocks: monotonic time, which alone drives decisions, and wall-clock time for people.
#pragma once

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_read_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Milliseconds of CLOCK_MONOTONIC.
static inline uint64_t now_ms(void)
{
	return clock_read_ns(CLOCK_MONOTONIC) / 1000000u;
}

// Microseconds of CLOCK_MONOTONIC.
static inline uint64_t now_us(void)
{
	return clock_read_ns(CLOCK_MONOTONIC) / 1000u;
}

// Milliseconds since 1970 UTC; for people, never for a decision.
static inline uint64_t now_unix_ms(void)
{
	return clock_read_ns(CLOCK_REALTIME) / 1000000u;
}
