// An exit record in words, for people.
#pragma once

#include <stddef.h>

#include <spawnd/client.h>

// Writes how a process ended in one line without a newline, for example
//   exited 7 after 0.012 s
//   killed by signal 9 (KILL), sent from outside, after 0.010 s
//   killed by signal 15 (TERM), cancelled at rung 2, after 5.003 s
//   could not start: exec: No such file or directory (ENOENT): /no/such
// subject names what could not be started; NULL where it is not known. Always NUL-terminated.
void record_text_format(
    const struct spawnd_exit *record, const char *subject, char *buffer, size_t size);

// The same for a start that failed and has no record at hand: stage and errno.
void record_text_format_start_failed(
    int stage, int errno_code, const char *subject, char *buffer, size_t size);

// How the leader ended, and nothing else: "exited 7", "killed by signal 9 (KILL)".
void record_text_format_end(const struct spawnd_exit *record, char *buffer, size_t size);

// A rung in words, "TERM to tree" or "close stdin of leader". Always NUL-terminated.
void record_text_format_rung(int action, int signal, int scope, char *buffer, size_t size);
