// spawnctl: spawn processes, cancel them, await their exit, from a shell.
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/spawnctl/commands.h"
#include "clients/spawnctl/exit_codes.h"
#include "clients/spawnctl/failure.h"
#include "clients/spawnctl/help.h"

// A descriptor 0, 1 or 2 that was closed must not become the server's socket.
static int fill_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	return fd < 0 ? -errno : close(fd);
}

static int say_version(void)
{
	printf("spawnctl %s (libspawnd %s)\n", SPAWND_VERSION, spawnd_version());
	return EXIT_CODE_OK;
}

static int say_wrong_command(const char *name)
{
	struct usage_problem problem = {.sentence = "", .hint = ""};
	const char *nearest = commands_nearest_name(name);

	snprintf(problem.sentence, sizeof problem.sentence, "there is no command \"%.100s\"", name);
	if (nearest)
		snprintf(problem.hint, sizeof problem.hint, "did you mean %s?", nearest);
	return failure_tell_usage(COMMAND_NONE, &problem);
}

static int check_operands(const struct command *command, const struct options *options)
{
	struct usage_problem problem = {.sentence = "", .hint = ""};

	if (options->n_operands < command->operands_min)
		snprintf(problem.sentence, sizeof problem.sentence, "%s is missing",
		    options->n_operands == 0 ? command->operands : "an operand");
	else if (options->n_operands > command->operands_max)
		snprintf(problem.sentence, sizeof problem.sentence, "\"%.100s\" is one operand too many",
		    options->operands[command->operands_max]);
	else
		return 0;
	return failure_tell_usage(command->id, &problem);
}

static int run_command(struct options *options, const struct command *command, const char **argv)
{
	struct usage_problem problem;
	int rc = options_parse(options, command->id, command->operands_are_a_command, argv, &problem);

	if (rc == -ENOMEM)
		return failure_tell_own(options, "no memory");
	if (rc < 0)
		return failure_tell_usage(command->id, &problem);
	if (options->help) {
		help_write_command(stdout, command);
		return EXIT_CODE_OK;
	}
	if (options->version)
		return say_version();
	rc = check_operands(command, options);
	return rc != 0 ? rc : command->run(options);
}

static int run_words(struct options *options, const char **words)
{
	struct usage_problem problem;
	const char **rest;
	const struct command *command;

	if (options_parse_leading(options, words, &rest, &problem) < 0)
		return failure_tell_usage(COMMAND_NONE, &problem);
	if (options->version)
		return say_version();
	if (options->help) {
		help_write(stdout);
		return EXIT_CODE_OK;
	}
	if (!*rest) {
		help_write(stderr);
		return EXIT_CODE_USAGE;
	}
	command = commands_by_name(*rest);
	return command ? run_command(options, command, rest + 1) : say_wrong_command(*rest);
}

int main(int argc, char **argv)
{
	struct options options;
	int code;

	setlocale(LC_CTYPE, "");
	if (fill_standard_descriptors() < 0)
		return EXIT_CODE_REFUSED;
	signal(SIGPIPE, SIG_IGN); // a broken pipe is an error of the write that met it
	options_init(&options);
	code = run_words(&options, argc > 0 ? (const char **)argv + 1 : (const char *[]){NULL});
	options_clear(&options);
	if (fflush(stdout) != 0 && code == EXIT_CODE_OK)
		code = errno == EPIPE ? EXIT_CODE_RUN_SIGNAL + SIGPIPE
		                      : failure_tell_own(&options, "standard output: %s", strerror(errno));
	return code;
}
