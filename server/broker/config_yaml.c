// Reads a configuration file: one YAML mapping of known keys.
#include "server/broker/config_yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include <yaml.h>

#define SENTENCE_MAX 512

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	bool has_event;
	const char *path;
	bool seen[OPTION_COUNT];
	config_yaml_take *take;
	void *user;
	char *error;
	size_t error_size;
};

static int fail(struct reader *reader, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct reader *reader, size_t line, const char *format, ...)
{
	char sentence[SENTENCE_MAX];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	snprintf(reader->error, reader->error_size, "%s:%zu: %s", reader->path, line + 1, sentence);
	return -EINVAL;
}

static int next(struct reader *reader)
{
	if (reader->has_event)
		yaml_event_delete(&reader->event);
	reader->has_event = false;
	if (!yaml_parser_parse(&reader->parser, &reader->event)) {
		const yaml_parser_t *p = &reader->parser;
		size_t line = p->problem_mark.line ? p->problem_mark.line : p->context_mark.line;
		return fail(reader, line, "not YAML: %s", p->problem ? p->problem : "no memory");
	}
	reader->has_event = true;
	return 0;
}

static size_t line_of(const struct reader *reader)
{
	return reader->event.start_mark.line;
}

static const char *text_of(const struct reader *reader)
{
	return (const char *)reader->event.data.scalar.value;
}

static int fail_unknown(struct reader *reader)
{
	char keys[SENTENCE_MAX] = "";
	size_t used = 0;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (!option_table[i].in_file || used >= sizeof(keys) - 1)
			continue;
		int n = snprintf(
		    keys + used, sizeof(keys) - used, "%s%s", used ? ", " : "", option_table[i].name);
		used += n > 0 ? (size_t)n : 0;
	}
	for (char *c = keys; *c; c++)
		if (*c == '-')
			*c = '_';
	return fail(
	    reader, line_of(reader), "there is no key \"%s\"; the keys are: %s", text_of(reader), keys);
}

static int read_key(struct reader *reader, enum option_id *ret_id)
{
	if (reader->event.type != YAML_SCALAR_EVENT)
		return fail(reader, line_of(reader), "a key must be plain text");
	if (strlen(text_of(reader)) != reader->event.data.scalar.length)
		return fail(reader, line_of(reader), "a key has a NUL in it");
	int id = option_find(text_of(reader), reader->event.data.scalar.length, true);
	if (id < 0)
		return fail_unknown(reader);
	if (reader->seen[id])
		return fail(reader, line_of(reader), "\"%s\" is given twice", text_of(reader));
	reader->seen[id] = true;
	*ret_id = (enum option_id)id;
	return 0;
}

static int take_scalar(struct reader *reader, enum option_id id)
{
	char sentence[SENTENCE_MAX] = "";
	if (strlen(text_of(reader)) != reader->event.data.scalar.length)
		return fail(reader, line_of(reader), "a value has a NUL in it");
	bool is_text = reader->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	int r = reader->take(reader->user, id, text_of(reader), is_text, sentence, sizeof(sentence));
	return r < 0 ? fail(reader, line_of(reader), "%s", sentence) : 0;
}

static const char *key_of(enum option_id id, char *ret_key, size_t size)
{
	snprintf(ret_key, size, "%s", option_table[id].name);
	for (char *c = ret_key; *c; c++)
		if (*c == '-')
			*c = '_';
	return ret_key;
}

static int read_list(struct reader *reader, enum option_id id)
{
	char key[64];
	for (;;) {
		int r = next(reader);
		if (r < 0 || reader->event.type == YAML_SEQUENCE_END_EVENT)
			return r;
		if (reader->event.type != YAML_SCALAR_EVENT)
			return fail(reader, line_of(reader), "\"%s\" must be a list of numbers",
			    key_of(id, key, sizeof(key)));
		r = take_scalar(reader, id);
		if (r < 0)
			return r;
	}
}

static int read_value(struct reader *reader, enum option_id id)
{
	char key[64];
	bool list = option_table[id].kind == OPTION_IDS;
	if (list && reader->event.type == YAML_SEQUENCE_START_EVENT)
		return read_list(reader, id);
	if (!list && reader->event.type == YAML_SCALAR_EVENT)
		return take_scalar(reader, id);
	return fail(reader, line_of(reader), "\"%s\" must be %s", key_of(id, key, sizeof(key)),
	    list                                     ? "a list of numbers"
	    : option_table[id].kind == OPTION_NUMBER ? "a number"
	                                             : "text");
}

static int read_mapping(struct reader *reader)
{
	for (;;) {
		enum option_id id = OPTION_COUNT;
		int r = next(reader);
		if (r < 0 || reader->event.type == YAML_MAPPING_END_EVENT)
			return r;
		r = read_key(reader, &id);
		if (r == 0)
			r = next(reader);
		if (r == 0)
			r = read_value(reader, id);
		if (r < 0)
			return r;
	}
}

static int read_stream(struct reader *reader)
{
	unsigned int documents = 0;
	for (;;) {
		int r = next(reader);
		if (r < 0)
			return r;
		switch (reader->event.type) {
		case YAML_STREAM_END_EVENT:
			return 0;
		case YAML_DOCUMENT_START_EVENT:
			if (++documents > 1)
				return fail(reader, line_of(reader), "a second document begins here");
			break;
		case YAML_MAPPING_START_EVENT:
			r = read_mapping(reader);
			if (r < 0)
				return r;
			break;
		case YAML_SCALAR_EVENT:
			if (reader->event.data.scalar.length == 0)
				break; // a file of comments alone
			return fail(reader, line_of(reader), "the file must consist of lines \"key: value\"");
		case YAML_SEQUENCE_START_EVENT:
		case YAML_ALIAS_EVENT:
			return fail(reader, line_of(reader), "the file must consist of lines \"key: value\"");
		default:
			break;
		}
	}
}

int config_yaml_read(
    const char *path, config_yaml_take *take, void *user, char *ret_error, size_t error_size)
{
	struct reader reader = {
	    .path = path, .take = take, .user = user, .error = ret_error, .error_size = error_size};
	FILE *file = fopen(path, "re");
	if (!file) {
		int error = -errno;
		snprintf(ret_error, error_size, "cannot read %s: %s", path, strerror(-error));
		return error;
	}
	if (!yaml_parser_initialize(&reader.parser)) {
		fclose(file);
		snprintf(ret_error, error_size, "cannot read %s: no memory", path);
		return -ENOMEM;
	}
	yaml_parser_set_input_file(&reader.parser, file);
	int r = read_stream(&reader);
	if (reader.has_event)
		yaml_event_delete(&reader.event);
	yaml_parser_delete(&reader.parser);
	fclose(file);
	return r;
}
