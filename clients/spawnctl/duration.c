// Lengths of time as people write them.
#include "clients/spawnctl/duration.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <spawnd/client.h>

static const uint64_t longest_ms = UINT64_C(24) * 60 * 60 * 1000;

static const struct {
	const char *name;
	uint64_t ms;
} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

static const uint64_t *find_unit_ms(const char *name)
{
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (strcmp(name, units[i].name) == 0)
			return &units[i].ms;
	return NULL;
}

// Reads "12.345" as thousandths; no more than three digits count after the point.
static int read_thousandths(const char **text, uint64_t *ret)
{
	const char *at = *text;
	uint64_t value = 0;
	bool any = false;

	for (; *at >= '0' && *at <= '9'; at++, any = true) {
		if (value > UINT32_MAX)
			return -ERANGE;
		value = value * 10 + (uint64_t)(*at - '0');
	}
	value *= 1000;
	if (*at == '.') {
		uint64_t weight = 100;

		for (at++; *at >= '0' && *at <= '9'; at++, any = true, weight /= 10)
			value += (uint64_t)(*at - '0') * weight;
	}
	if (!any)
		return -EINVAL;
	*text = at;
	*ret = value;
	return 0;
}

int duration_parse(const char *text, uint64_t *ret_ms)
{
	uint64_t thousandths;
	const uint64_t *unit_ms;
	int rc;

	if (strcmp(text, "forever") == 0) {
		*ret_ms = SPAWND_FOREVER;
		return 0;
	}
	rc = read_thousandths(&text, &thousandths);
	if (rc < 0)
		return rc;
	if (*text == '\0' && thousandths == 0) {
		*ret_ms = 0;
		return 0;
	}
	unit_ms = find_unit_ms(text);
	if (!unit_ms)
		return -EINVAL;
	if (thousandths > longest_ms / *unit_ms * 1000)
		return -ERANGE;
	*ret_ms = thousandths * *unit_ms / 1000;
	return 0;
}

void duration_format_seconds(uint64_t ms, char *buffer, size_t size)
{
	if (ms == SPAWND_FOREVER)
		snprintf(buffer, size, "forever");
	else
		snprintf(buffer, size, "%" PRIu64 ".%03u s", ms / 1000, (unsigned)(ms % 1000));
}

void duration_format_short(uint64_t ms, char *buffer, size_t size)
{
	uint64_t s = ms / 1000;

	if (ms == SPAWND_FOREVER)
		snprintf(buffer, size, "forever");
	else if (s == 0)
		snprintf(buffer, size, "%" PRIu64 " ms", ms);
	else if (s < 60 && ms % 1000 != 0)
		snprintf(buffer, size, "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
	else if (s < 60)
		snprintf(buffer, size, "%" PRIu64 " s", s);
	else if (s < 3600)
		snprintf(buffer, size, "%" PRIu64 " m %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buffer, size, "%" PRIu64 " h %" PRIu64 " m", s / 3600, s % 3600 / 60);
	else
		snprintf(buffer, size, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s % 86400 / 3600);
}
