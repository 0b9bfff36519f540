// Bytes of unknown origin (names, arguments) made fit to print.
#pragma once

#include <stddef.h>

// Writes text with every backslash doubled and every byte that is not part of valid UTF-8 as \xHH:
// always valid UTF-8, and no two different inputs look alike. Where show_controls, control
// characters become \xHH too, so that a terminal obeys none of them. The result is malloc'ed; NULL:
// no memory.
char *plain_text_escape(const char *text, int show_controls);

// A command line for people: arguments that need it in single quotes, control characters and bytes
// that are not UTF-8 as \xHH. malloc'ed; NULL: no memory.
char *plain_text_join(const char *const *argv, size_t n_argv);
