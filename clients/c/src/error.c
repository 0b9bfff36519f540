// Filling in the caller's struct spawnd_error.
#include "clients/c/src/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fill(struct spawnd_error *err, int kind, int sys_errno, const char *format,
    va_list args) __attribute__((format(printf, 4, 0)));

static void fill(
    struct spawnd_error *err, int kind, int sys_errno, const char *format, va_list args)
{
	memset(err, 0, sizeof *err);
	err->kind = kind;
	err->sys_errno = sys_errno;
	vsnprintf(err->message, sizeof err->message, format, args);
}

int error_set(struct spawnd_error *err, int kind, int sys_errno, const char *format, ...)
{
	if (err) {
		va_list args;
		va_start(args, format);
		fill(err, kind, sys_errno, format, args);
		va_end(args);
	}
	return -1;
}

int error_argument(struct spawnd_error *err, const char *field, const char *format, ...)
{
	if (err) {
		va_list args;
		va_start(args, format);
		fill(err, SPAWND_E_ARGUMENT, EINVAL, format, args);
		va_end(args);
		snprintf(err->field, sizeof err->field, "%s", field);
	}
	return -1;
}

int error_memory(struct spawnd_error *err)
{
	return error_set(err, SPAWND_E_MEMORY, ENOMEM, "no memory");
}

int error_copy(struct spawnd_error *err, const struct spawnd_error *from)
{
	if (err)
		*err = *from;
	return -1;
}
