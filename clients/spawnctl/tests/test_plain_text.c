// Names and arguments made fit to print.
#include <stdlib.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "clients/spawnctl/plain_text.h"

static void escapes(const char *text, int show_controls, const char *wanted)
{
	char *escaped = plain_text_escape(text, show_controls);

	cr_assert_str_eq(escaped, wanted);
	free(escaped);
}

Test(plain_text, valid_text_stays)
{
	escapes("", 0, "");
	escapes("a \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\n", 0,
	    "a \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\n");
}

Test(plain_text, bytes_that_are_not_utf8_become_hex)
{
	escapes("\xff", 0, "\\xff");
	escapes("a\xc3", 0, "a\\xc3");
	escapes("\xc3(", 0, "\\xc3(");
	escapes("\xe2\x82", 0, "\\xe2\\x82");
	escapes("\xc0\x80", 0, "\\xc0\\x80");                   // overlong
	escapes("\xed\xa0\x80", 0, "\\xed\\xa0\\x80");          // a surrogate
	escapes("\xf4\x90\x80\x80", 0, "\\xf4\\x90\\x80\\x80"); // above U+10FFFF
}

Test(plain_text, no_two_inputs_look_alike)
{
	escapes("\\xff", 0, "\\\\xff");
}

Test(plain_text, a_terminal_obeys_nothing)
{
	escapes("\033[2J\x07\x7f\xc2\x9b", 1, "\\x1b[2J\\x07\\x7f\\xc2\\x9b");
}

Test(plain_text, joins_a_command_line)
{
	const char *const argv[] = {"sh", "-c", "echo a", "", "x\n"};
	char *joined = plain_text_join(argv, 5);

	cr_assert_str_eq(joined, "sh -c 'echo a' '' 'x\\x0a'");
	free(joined);
}
