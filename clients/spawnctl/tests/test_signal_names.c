// Names of signals: read and written.
#include <errno.h>
#include <signal.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "clients/spawnctl/signal_names.h"

static void reads(const char *text, int wanted)
{
	int number = -1;

	cr_assert(eq(int, signal_names_parse(text, &number), 0), "%s", text);
	cr_assert(eq(int, number, wanted), "%s", text);
}

Test(signal_names, reads)
{
	reads("INT", SIGINT);
	reads("SIGTERM", SIGTERM);
	reads("sigkill", SIGKILL);
	reads("9", SIGKILL);
	reads("64", 64);
	reads("RTMIN", SIGRTMIN);
	reads("SIGRTMIN+3", SIGRTMIN + 3);
}

Test(signal_names, refuses)
{
	static const char *const wrong[] = {
	    "", "0", "65", "-9", "9x", "SIG", "NOSUCH", "RTMIN+", "RTMIN+99", "RTMINUS"};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		int number = 4711;

		cr_assert(eq(int, signal_names_parse(wrong[i], &number), -EINVAL), "%s", wrong[i]);
		cr_assert(eq(int, number, 4711));
	}
}

Test(signal_names, every_number_is_read_as_it_is_written)
{
	for (int number = 1; number <= 64; number++) {
		char text[16];

		signal_names_format(number, text, sizeof text);
		reads(text, number);
	}
}

Test(signal_names, writes_errnos)
{
	char text[24];

	signal_names_format_errno(ENOENT, text, sizeof text);
	cr_assert_str_eq(text, "ENOENT");
	signal_names_format_errno(4711, text, sizeof text);
	cr_assert_str_eq(text, "errno 4711");
}
