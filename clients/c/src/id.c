// Process ids as people read and write them.
#include "clients/c/src/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ID_DIGITS 16

void spawnd_id_format(uint64_t id, char buffer[17])
{
	snprintf(buffer, ID_DIGITS + 1, "%016" PRIx64, id);
}

int spawnd_id_parse(const char *text, uint64_t *ret_id, struct spawnd_error *err)
{
	if (!text || strlen(text) != ID_DIGITS)
		return error_argument(err, "id", "a process id is 16 hexadecimal digits");
	uint64_t id = 0;
	for (const char *digit = text; *digit; digit++) {
		unsigned value;
		if (*digit >= '0' && *digit <= '9')
			value = (unsigned)(*digit - '0');
		else if (*digit >= 'a' && *digit <= 'f')
			value = (unsigned)(*digit - 'a') + 10;
		else
			return error_argument(err, "id", "a process id is 16 lower-case hexadecimal digits");
		id = id << 4 | value;
	}
	if (!id)
		return error_argument(err, "id", "0 is no process id");
	*ret_id = id;
	return 0;
}
