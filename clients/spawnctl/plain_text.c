// Bytes of unknown origin made fit to print.
#include "clients/spawnctl/plain_text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// How many bytes of valid UTF-8 begin here: 1 to 4, or 0 where the first byte begins none.
// Overlong forms, surrogates and what lies above U+10FFFF are not valid.
static size_t utf8_length(const unsigned char *at)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = at[0] < 0x80             ? 1
	                : (at[0] & 0xe0) == 0xc0 ? 2
	                : (at[0] & 0xf0) == 0xe0 ? 3
	                : (at[0] & 0xf8) == 0xf0 ? 4
	                                         : 0;
	uint32_t point;

	if (length < 2)
		return length;
	point = at[0] & (0x7fU >> length);
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80) // the final NUL stops here too
			return 0;
		point = point << 6 | (at[i] & 0x3fU);
	}
	if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	return length;
}

static int is_control(const unsigned char *at, size_t length)
{
	if (length == 1)
		return at[0] < 0x20 || at[0] == 0x7f;
	return length == 2 && at[0] == 0xc2 && at[1] < 0xa0; // U+0080 to U+009F
}

static char *write_hex(char *to, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to += sprintf(to, "\\x%02x", bytes[i]);
	return to;
}

char *plain_text_escape(const char *text, int show_controls)
{
	const unsigned char *at = (const unsigned char *)text;
	char *result = malloc(strlen(text) * 4 + 1);
	char *to = result;

	if (!result)
		return NULL;
	while (*at) {
		size_t length = utf8_length(at);

		if (length == 0) {
			to = write_hex(to, at, 1);
			at++;
			continue;
		}
		if (show_controls && is_control(at, length)) {
			to = write_hex(to, at, length);
		} else if (*at == '\\') {
			*to++ = '\\';
			*to++ = '\\';
		} else {
			memcpy(to, at, length);
			to += length;
		}
		at += length;
	}
	*to = '\0';
	return result;
}

static int needs_quotes(const char *argument)
{
	static const char safe[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-";

	return *argument == '\0' || argument[strspn(argument, safe)] != '\0';
}

char *plain_text_join(const char *const *argv, size_t n_argv)
{
	char *result = NULL;
	size_t size;
	FILE *out = open_memstream(&result, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < n_argv; i++) {
		char *argument = plain_text_escape(argv[i], 1);
		const char *quote = needs_quotes(argv[i]) ? "'" : "";

		fprintf(out, "%s%s%s%s", i > 0 ? " " : "", quote, argument ? argument : "?", quote);
		free(argument);
	}
	if (fclose(out) != 0) {
		free(result);
		return NULL;
	}
	return result;
}
