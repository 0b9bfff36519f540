// The driver's lines.
#include "clients/c/tests/driver_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void decode(char *text)
{
	char *to = text;
	for (const char *from = text; *from; from++) {
		unsigned byte;
		if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1) {
			*to++ = (char)byte;
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
}

bool driver_line_parse(struct driver_line *line, char *text)
{
	char *save = NULL;
	memset(line, 0, sizeof *line);
	line->text = text;
	line->tag = strtok_r(text, " \n", &save);
	line->verb = strtok_r(NULL, " \n", &save);
	if (!line->tag || !line->verb)
		return false;
	char *word;
	while ((word = strtok_r(NULL, " \n", &save)) != NULL && line->n_keys < DRIVER_KEYS_MAX) {
		char *equals = strchr(word, '=');
		if (!equals)
			return false;
		*equals = '\0';
		line->keys[line->n_keys] = word;
		line->values[line->n_keys++] = equals + 1;
	}
	// Lists are decoded by element.
	for (size_t i = 0; i < line->n_keys; i++)
		if (strcmp(line->keys[i], "argv") != 0 && strcmp(line->keys[i], "env") != 0)
			decode((char *)line->values[i]);
	return true;
}

void driver_line_free(struct driver_line *line)
{
	free(line->text);
}

const char *driver_text(const struct driver_line *line, const char *key)
{
	for (size_t i = 0; i < line->n_keys; i++)
		if (strcmp(line->keys[i], key) == 0)
			return line->values[i];
	return NULL;
}

uint64_t driver_number(const struct driver_line *line, const char *key, uint64_t otherwise)
{
	const char *text = driver_text(line, key);
	if (!text)
		return otherwise;
	return strcmp(text, "forever") == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
}

uint64_t driver_hex(const struct driver_line *line, const char *key)
{
	const char *text = driver_text(line, key);
	return text ? strtoull(text, NULL, 16) : 0;
}

bool driver_flag(const struct driver_line *line, const char *key)
{
	return driver_number(line, key, 0) != 0;
}

char **driver_list(const struct driver_line *line, const char *key)
{
	const char *text = driver_text(line, key);
	if (!text)
		return NULL;
	size_t n = 1;
	for (const char *at = text; *at; at++)
		n += *at == ',';
	char **list = calloc(n + 1, sizeof *list);
	char *copy = strdup(text);
	for (size_t i = 0; i < n; i++) {
		list[i] = copy;
		char *end = copy + strcspn(copy, ",");
		copy = end + 1;
		*end = '\0';
		decode(list[i]);
	}
	return list;
}

void driver_list_free(char **list)
{
	if (list)
		free(list[0]);
	free(list);
}

static void append(struct driver_reply *reply, const char *text, size_t size)
{
	if (reply->size + size + 1 > reply->capacity) {
		reply->capacity = (reply->size + size + 1) * 2;
		reply->text = realloc(reply->text, reply->capacity);
	}
	memcpy(reply->text + reply->size, text, size);
	reply->size += size;
}

static void append_text(struct driver_reply *reply, const char *text)
{
	append(reply, text, strlen(text));
}

void driver_reply_begin(struct driver_reply *reply, const char *tag, const char *kind)
{
	memset(reply, 0, sizeof *reply);
	append_text(reply, tag);
	append_text(reply, " ");
	append_text(reply, kind);
}

void driver_reply_bytes(struct driver_reply *reply, const char *key, const void *bytes, size_t size)
{
	append_text(reply, " ");
	append_text(reply, key);
	append_text(reply, "=");
	for (size_t i = 0; i < size; i++) {
		unsigned char byte = ((const unsigned char *)bytes)[i];
		char encoded[4];
		if (isalnum(byte) || strchr("-_./:", byte ? byte : ' '))
			append(reply, (const char *)&byte, 1);
		else
			append(reply, encoded, (size_t)snprintf(encoded, sizeof encoded, "%%%02x", byte));
	}
}

void driver_reply_word(struct driver_reply *reply, const char *key, const char *value)
{
	driver_reply_bytes(reply, key, value, strlen(value));
}

void driver_reply_number(struct driver_reply *reply, const char *key, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRIu64, value);
	driver_reply_word(reply, key, text);
}

void driver_reply_hex(struct driver_reply *reply, const char *key, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof text, "%016" PRIx64, value);
	driver_reply_word(reply, key, text);
}

void driver_reply_write(struct driver_reply *reply)
{
	static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;
	append_text(reply, "\n");
	pthread_mutex_lock(&output);
	for (size_t written = 0; written < reply->size;) {
		ssize_t n = write(1, reply->text + written, reply->size - written);
		if (n <= 0)
			break;
		written += (size_t)n;
	}
	pthread_mutex_unlock(&output);
	free(reply->text);
}
