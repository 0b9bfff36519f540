// The help texts, made from the tables of commands, options and exit codes.
#include "clients/spawnctl/help.h"

#include "clients/spawnctl/exit_codes.h"

struct exit_line {
	int code;
	const char *words;
};

#define EXIT_LINE(name, value, words) {value, words},
static const struct exit_line exit_lines[] = {EXIT_CODES(EXIT_LINE)};
static const struct exit_line exit_lines_of_run[] = {EXIT_CODES_OF_RUN(EXIT_LINE)};
#undef EXIT_LINE

static void write_exit_lines(FILE *out, const struct exit_line *lines, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(out, "  %3d  %s\n", lines[i].code, lines[i].words);
}

static void write_option(FILE *out, const struct option_line *line)
{
	char letter[8] = "    ", left[48];

	if (line->letter)
		snprintf(letter, sizeof letter, "-%c, ", line->letter);
	snprintf(left, sizeof left, "%s--%s%s%s%s", letter, line->name,
	    !line->value           ? ""
	    : line->value_optional ? "[="
	                           : " ",
	    line->value ? line->value : "", line->value_optional ? "]" : "");
	fprintf(out, "  %-30s %s\n", left, line->help);
	if (!line->words)
		return;
	fprintf(out, "  %-30s %s: ", "", line->value);
	for (size_t i = 0; line->words[i]; i++)
		fprintf(out, "%s%s", i > 0 ? ", " : "", line->words[i]);
	fputc('\n', out);
}

void help_write(FILE *out)
{
	fputs("usage: spawnctl [--url URL] COMMAND [OPTION]... [OPERAND]...\n"
	      "Spawns processes by a spawnd server, cancels them, awaits their exit.\n\nCommands:\n",
	    out);
	for (size_t i = 0; i < n_commands; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("\nOptions of every command:\n", out);
	for (size_t i = 0; i < n_option_lines; i++)
		if (option_lines[i].commands == COMMAND_EVERY)
			write_option(out, &option_lines[i]);
	fputs("\nExit codes, but for run:\n", out);
	write_exit_lines(out, exit_lines, sizeof exit_lines / sizeof exit_lines[0]);
	fputs("Exit codes of run, beside the command's own:\n", out);
	write_exit_lines(
	    out, exit_lines_of_run, sizeof exit_lines_of_run / sizeof exit_lines_of_run[0]);
	fputs("\n`spawnctl COMMAND --help` tells more of one command; spawnctl(1) of all.\n", out);
}

void help_write_command(FILE *out, const struct command *command)
{
	fprintf(out, "usage: spawnctl %s [OPTION]...%s%s\n", command->name,
	    *command->operands ? " " : "", command->operands);
	fprintf(out, "%c%s.\n%s\nOptions:\n", command->summary[0] - 'a' + 'A', command->summary + 1,
	    command->details);
	for (size_t i = 0; i < n_option_lines; i++)
		if ((option_lines[i].commands & command->id) != 0)
			write_option(out, &option_lines[i]);
	fputs("\nExit codes:\n", out);
	if (command->id == COMMAND_RUN)
		write_exit_lines(
		    out, exit_lines_of_run, sizeof exit_lines_of_run / sizeof exit_lines_of_run[0]);
	else
		write_exit_lines(out, exit_lines, sizeof exit_lines / sizeof exit_lines[0]);
}
