// When a call is sent again. Pure. Clauses: IDS-10, RPC-8.
#pragma once

#include <stdint.h>

// After this long without a valid answer, an answer counts as lost: the climb goes on.
#define RETRY_WINDOW_US UINT64_C(2000000)

// A call whose connection broke so often under it is given up: its own answer may be what breaks
// it.
#define RETRY_LOSSES_MAX 10u

// From the attempt of this number (counted from 0) to the next: attempts go out at 0, 250, 750 and
// 1,750 ms, afterwards every 2 s.
static inline uint64_t retry_gap_us(unsigned attempt)
{
	return attempt < 3 ? UINT64_C(250000) << attempt : UINT64_C(2000000);
}

// From the n-th lost connection (counted from 1) to the next attempt: at once, then 100 ms,
// doubling up to 2 s.
static inline uint64_t retry_after_loss_us(unsigned n_losses)
{
	if (n_losses <= 1)
		return 0;
	uint64_t pause_us = n_losses > 6 ? UINT64_C(2000000) : UINT64_C(100000) << (n_losses - 2);
	return pause_us > 2000000 ? 2000000 : pause_us;
}
