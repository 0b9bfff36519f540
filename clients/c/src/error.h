// Filling in the caller's struct spawnd_error. Every function returns -1; err may be NULL.
#pragma once

#include "spawnd/client.h"

// An error of the library's own finding. sys_errno: 0 where there is none.
int error_set(struct spawnd_error *err, int kind, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// SPAWND_E_ARGUMENT with the name of the field that is wrong.
int error_argument(struct spawnd_error *err, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int error_memory(struct spawnd_error *err);

// Copies an error that was kept; err may be NULL.
int error_copy(struct spawnd_error *err, const struct spawnd_error *from);
