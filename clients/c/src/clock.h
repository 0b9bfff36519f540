// Time points in microseconds of the monotonic clock; durations come as milliseconds from outside.
#pragma once

#include <stdint.h>
#include <time.h>

#define CLOCK_NEVER UINT64_MAX

static inline uint64_t clock_now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

// CLOCK_NEVER for SPAWND_FOREVER and for whatever does not fit.
static inline uint64_t clock_us_of_ms(uint64_t ms)
{
	return ms > UINT64_MAX / 2000u ? CLOCK_NEVER : ms * 1000u;
}

// time_us + span_us, CLOCK_NEVER where either is or the sum does not fit.
static inline uint64_t clock_add_us(uint64_t time_us, uint64_t span_us)
{
	return span_us >= CLOCK_NEVER - time_us ? CLOCK_NEVER : time_us + span_us;
}

static inline uint64_t clock_min_us(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

// Whole milliseconds until then, rounded up; 0 where it has come, UINT64_MAX for CLOCK_NEVER.
static inline uint64_t clock_left_ms(uint64_t until_us, uint64_t now_us)
{
	if (until_us == CLOCK_NEVER)
		return UINT64_MAX;
	return until_us <= now_us ? 0 : (until_us - now_us + 999u) / 1000u;
}

static inline struct timespec clock_timespec(uint64_t time_us)
{
	return (struct timespec){
	    .tv_sec = (time_t)(time_us / 1000000u), .tv_nsec = (long)(time_us % 1000000u) * 1000};
}
