// Log lines on standard error. A reader that never reads cannot block the process: lines that find
// no room are lost and counted. Usable from any thread; one line is one write. The program must
// ignore SIGPIPE.
#pragma once

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

// Call once before other threads exist; again to change what is given. program is kept, not copied.
// Without it: text, level info.
void log_open(const char *program, enum log_format format, enum log_level level);

// Reads "text" or "json". 0 or -EINVAL.
int log_parse_format(const char *name, enum log_format *ret_format);

// Writes one line, cut to about 2 KiB; control characters are escaped. errno survives.
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Lines lost so far.
uint64_t log_lost(void);

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
