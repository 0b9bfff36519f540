// Lengths of time: what is read, what is refused, what is written.
#include <errno.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <spawnd/client.h>

#include "clients/spawnctl/duration.h"

static void reads(const char *text, uint64_t wanted_ms)
{
	uint64_t ms = 4711;

	cr_assert(eq(int, duration_parse(text, &ms), 0), "%s", text);
	cr_assert(eq(u64, ms, wanted_ms), "%s", text);
}

static void refuses(const char *text, int rc)
{
	uint64_t ms = 4711;

	cr_assert(eq(int, duration_parse(text, &ms), rc), "%s", text);
	cr_assert(eq(u64, ms, 4711), "untouched: %s", text);
}

Test(duration, reads_each_unit)
{
	reads("250ms", 250);
	reads("5s", 5000);
	reads("2m", 120000);
	reads("24h", 86400000);
	reads("forever", SPAWND_FOREVER);
}

Test(duration, reads_fractions_to_the_millisecond)
{
	reads("1.5s", 1500);
	reads("0.0015s", 1);
	reads(".25s", 250);
	reads("1.5m", 90000);
	reads("0.9ms", 0);
}

Test(duration, reads_zero_without_a_unit_and_nothing_else)
{
	reads("0", 0);
	reads("0s", 0);
	refuses("5", -EINVAL);
}

Test(duration, refuses_what_is_no_time)
{
	refuses("", -EINVAL);
	refuses("s", -EINVAL);
	refuses(".s", -EINVAL);
	refuses("-1s", -EINVAL);
	refuses("1 s", -EINVAL);
	refuses("1sec", -EINVAL);
	refuses("Forever", -EINVAL);
}

Test(duration, refuses_more_than_a_day)
{
	refuses("24.001h", -ERANGE);
	refuses("86400001ms", -ERANGE);
	refuses("99999999999999999999999h", -ERANGE);
}

static void writes(uint64_t ms, const char *seconds, const char *short_form)
{
	char text[40];

	duration_format_seconds(ms, text, sizeof text);
	cr_assert_str_eq(text, seconds);
	duration_format_short(ms, text, sizeof text);
	cr_assert_str_eq(text, short_form);
}

Test(duration, writes)
{
	writes(0, "0.000 s", "0 ms");
	writes(12, "0.012 s", "12 ms");
	writes(1500, "1.500 s", "1.5 s");
	writes(59000, "59.000 s", "59 s");
	writes(150000, "150.000 s", "2 m 30 s");
	writes(3900000, "3900.000 s", "1 h 5 m");
	writes(266400000, "266400.000 s", "3 d 2 h");
	writes(SPAWND_FOREVER, "forever", "forever");
}
