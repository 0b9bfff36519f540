// Names of signals and errnos as people write them: "INT", "RTMIN+3", "ENOENT".
#pragma once

#include <stddef.h>

// Reads "INT", "SIGINT", "sigint", "RTMIN+3" or "2". Returns 0 or -EINVAL.
int signal_names_parse(const char *text, int *ret_signal);

// Writes the name without SIG, or the number where it has none. Always NUL-terminated.
void signal_names_format(int signal_number, char *buffer, size_t size);

// "ENOENT", or "errno 4711" where it has no name.
void signal_names_format_errno(int errno_code, char *buffer, size_t size);
