// Names of signals and errnos, by the C library's own tables.
#include "clients/spawnctl/signal_names.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { signal_max = 64 };

static int parse_number(const char *text, int lowest, int highest, int *ret)
{
	char *end;
	long value;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtol(text, &end, 10);
	if (errno != 0 || *end != '\0' || value < lowest || value > highest)
		return -EINVAL;
	*ret = (int)value;
	return 0;
}

int signal_names_parse(const char *text, int *ret_signal)
{
	if (*text >= '0' && *text <= '9')
		return parse_number(text, 1, signal_max, ret_signal);
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	if (strncasecmp(text, "RTMIN", 5) == 0) {
		int above = 0;

		if (text[5] != '\0' &&
		    (text[5] != '+' || parse_number(text + 6, 0, SIGRTMAX - SIGRTMIN, &above) < 0))
			return -EINVAL;
		*ret_signal = SIGRTMIN + above;
		return 0;
	}
	for (int number = 1; number < signal_max; number++) {
		const char *name = sigabbrev_np(number);

		if (name && strcasecmp(text, name) == 0) {
			*ret_signal = number;
			return 0;
		}
	}
	return -EINVAL;
}

void signal_names_format(int signal_number, char *buffer, size_t size)
{
	const char *name = sigabbrev_np(signal_number);

	if (name)
		snprintf(buffer, size, "%s", name);
	else if (signal_number >= SIGRTMIN && signal_number <= SIGRTMAX)
		snprintf(buffer, size, "RTMIN+%d", signal_number - SIGRTMIN);
	else
		snprintf(buffer, size, "%d", signal_number);
}

void signal_names_format_errno(int errno_code, char *buffer, size_t size)
{
	const char *name = strerrorname_np(errno_code);

	if (name)
		snprintf(buffer, size, "%s", name);
	else
		snprintf(buffer, size, "errno %d", errno_code);
}
