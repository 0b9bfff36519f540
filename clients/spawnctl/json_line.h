// JSON as spawnctl writes it: one object a line, and its few kinds of values.
//
// Keys are the protocol's field names. 64-bit ids are strings of 16 hexadecimal digits; other
// numbers are numbers, but for 2^64-1 ("unlimited"), which is null. Enum values are their names
// without prefix. Fields of type bytes are strings in which a backslash is doubled and a byte that
// is not UTF-8 is \xHH (plain_text.h). Messages that are not there are left out.
#pragma once

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

json_t *json_line_id(uint64_t id);
json_t *json_line_number(uint64_t number);
json_t *json_line_bytes(const char *bytes);

// Writes an object as one line, frees it, and flushes. Returns 0 or -EIO; object NULL: -ENOMEM.
int json_line_write(FILE *out, json_t *object);
