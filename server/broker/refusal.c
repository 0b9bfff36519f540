// Puts refusals into words.
#include "server/broker/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void refuse(struct refusal *refusal, enum refusal_kind kind, const char *format, ...)
{
	memset(refusal, 0, sizeof *refusal);
	refusal->kind = kind;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(refusal->message, sizeof refusal->message, format, arguments);
	va_end(arguments);
}

// Replaces the first "%zu" of path by index.
static void name_field(char *name, size_t size, const char *path, size_t index)
{
	const char *mark = strstr(path, "%zu");
	if (mark)
		snprintf(name, size, "%.*s%zu%s", (int)(mark - path), path, index, mark + 3);
	else
		snprintf(name, size, "%s", path);
}

void refuse_field(struct refusal *refusal, const char *path, size_t index, const char *why)
{
	char name[sizeof refusal->name];
	name_field(name, sizeof name, path, index);
	refuse(refusal, REFUSAL_FIELD, "%s: %s", name, why);
	memcpy(refusal->name, name, sizeof name);
}

void refuse_limit(struct refusal *refusal, enum refusal_kind kind, const char *limit, uint64_t max,
    const char *why)
{
	refuse(refusal, kind, "%s (%s is %llu)", why, limit, (unsigned long long)max);
	snprintf(refusal->name, sizeof refusal->name, "%s", limit);
	refusal->value = max;
}
