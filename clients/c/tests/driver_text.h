// The driver's lines: "TAG VERB key=value…" in, "TAG ok key=value…" out; values percent-encoded.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRIVER_KEYS_MAX 32

struct driver_line {
	char *text; // owns what the rest points into
	const char *tag, *verb;
	size_t n_keys;
	const char *keys[DRIVER_KEYS_MAX];
	const char *values[DRIVER_KEYS_MAX]; // decoded
};

// Takes over text (of malloc). False where it is no line of a command; it is freed either way by
// driver_line_free.
bool driver_line_parse(struct driver_line *line, char *text);
void driver_line_free(struct driver_line *line);

const char *driver_text(const struct driver_line *line, const char *key); // NULL: not given
uint64_t driver_number(const struct driver_line *line, const char *key, uint64_t otherwise);
uint64_t driver_hex(const struct driver_line *line, const char *key);
bool driver_flag(const struct driver_line *line, const char *key);

// A value's elements, separated by commas (a comma in one is %2C, decoded by this, not before).
// NULL-terminated; freed by free of the first element's block and of the array: driver_list_free.
char **driver_list(const struct driver_line *line, const char *key);
void driver_list_free(char **list);

// A reply is built up and written as one line, whole.
struct driver_reply {
	char *text;
	size_t size, capacity;
};
void driver_reply_begin(struct driver_reply *reply, const char *tag, const char *kind);
void driver_reply_word(struct driver_reply *reply, const char *key, const char *value);
void driver_reply_bytes(
    struct driver_reply *reply, const char *key, const void *bytes, size_t size);
void driver_reply_number(struct driver_reply *reply, const char *key, uint64_t value);
void driver_reply_hex(struct driver_reply *reply, const char *key, uint64_t value);
void driver_reply_write(struct driver_reply *reply); // and frees it
