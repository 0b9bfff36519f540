// JSON as spawnctl writes it: one object a line.
#include "clients/spawnctl/json_line.h"

#include <errno.h>
#include <stdlib.h>

#include <spawnd/client.h>

#include "clients/spawnctl/plain_text.h"

json_t *json_line_id(uint64_t id)
{
	char text[17];

	spawnd_id_format(id, text);
	return json_string(text);
}

json_t *json_line_number(uint64_t number)
{
	if (number == SPAWND_FOREVER)
		return json_null();
	return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

json_t *json_line_bytes(const char *bytes)
{
	char *text = plain_text_escape(bytes, 0);
	json_t *value = text ? json_string(text) : NULL;

	free(text);
	return value;
}

int json_line_write(FILE *out, json_t *object)
{
	char *line;

	if (!object)
		return -ENOMEM;
	line = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	if (!line)
		return -ENOMEM;
	fprintf(out, "%s\n", line);
	free(line);
	if (fflush(out) != 0)
		return -errno;
	return ferror(out) ? -EIO : 0;
}
