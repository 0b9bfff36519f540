// Failures told to people, and their exit codes.
#include "clients/spawnctl/failure.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clients/spawnctl/commands.h"
#include "clients/spawnctl/exit_codes.h"

static int code_of(int kind)
{
	switch (kind) {
	case SPAWND_E_ARGUMENT:
		return EXIT_CODE_USAGE;
	case SPAWND_E_NOT_FOUND:
	case SPAWND_E_LOST:
		return EXIT_CODE_NOT_FOUND;
	case SPAWND_E_UNREACHABLE:
		return EXIT_CODE_UNREACHABLE;
	case SPAWND_E_TIMEOUT:
	case SPAWND_E_UNREAPED:
		return EXIT_CODE_NOT_IN_TIME;
	case SPAWND_E_START_FAILED:
		return EXIT_CODE_NOT_STARTED;
	default:
		return EXIT_CODE_REFUSED;
	}
}

static void tell_hint(const struct options *options, const struct spawnd_error *err)
{
	switch (err->kind) {
	case SPAWND_E_UNREACHABLE:
		fprintf(stderr, "  %s\n",
		    options->url ? "is a server running there? `spawnd --listen URL` starts one"
		                 : "`spawnd` starts a server; --url or SPAWND_URL names another address");
		break;
	case SPAWND_E_EXISTS:
		fprintf(stderr, "  process %016" PRIx64 " has this name\n", err->process_id);
		break;
	case SPAWND_E_NOT_FOUND:
		fprintf(stderr, "  `spawnctl ps --all` lists those that there are\n");
		break;
	case SPAWND_E_LOST:
		fprintf(stderr, "  how it ended cannot be known any more\n");
		break;
	default:
		break;
	}
}

int failure_tell(const struct options *options, const char *doing, const struct spawnd_error *err)
{
	fprintf(stderr, "spawnctl: %s%s%s\n", doing ? doing : "", doing ? ": " : "", err->message);
	tell_hint(options, err);
	return options->command == COMMAND_RUN ? EXIT_CODE_RUN_FAILED : code_of(err->kind);
}

int failure_tell_own(const struct options *options, const char *format, ...)
{
	va_list arguments;

	fputs("spawnctl: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return options->command == COMMAND_RUN ? EXIT_CODE_RUN_FAILED : EXIT_CODE_REFUSED;
}

int failure_tell_usage(enum command_id id, const struct usage_problem *problem)
{
	const struct command *command = commands_by_id(id);

	fprintf(stderr, "spawnctl%s%s: %s\n", command ? " " : "", command ? command->name : "",
	    problem->sentence);
	if (*problem->hint)
		fprintf(stderr, "  %s\n", problem->hint);
	fprintf(stderr, "  `spawnctl%s%s --help` shows how it is used\n", command ? " " : "",
	    command ? command->name : "");
	return id == COMMAND_RUN ? EXIT_CODE_RUN_FAILED : EXIT_CODE_USAGE;
}

int failure_start_code(const struct options *options, int stage, int errno_code)
{
	if (options->command != COMMAND_RUN)
		return EXIT_CODE_NOT_STARTED;
	if (strcmp(spawnd_stage_name(stage), "exec") != 0)
		return EXIT_CODE_RUN_FAILED;
	return errno_code == ENOENT ? EXIT_CODE_RUN_NOT_FOUND : EXIT_CODE_RUN_CANNOT_EXECUTE;
}
