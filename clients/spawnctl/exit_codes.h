// The exit codes of spawnctl, in one table: code, help and man page read the same lines.
#pragma once

// Of every command but run.
#define EXIT_CODES(X)                                                                              \
	X(OK, 0, "done; await and stop: the record was had, whatever it says")                         \
	X(REFUSED, 1, "the server refused, or another failure")                                        \
	X(USAGE, 2, "wrong usage")                                                                     \
	X(NOT_FOUND, 3, "no such process, or its record is gone or lost")                              \
	X(UNREACHABLE, 4, "no server answers")                                                         \
	X(NOT_IN_TIME, 5, "await: it has not ended in time; stop: the last rung's wait is over")       \
	X(NOT_STARTED, 6, "spawn: the process could not be started")

// Of run, beside the status of the process itself.
#define EXIT_CODES_OF_RUN(X)                                                                       \
	X(RUN_FAILED, 125, "spawnctl itself failed: wrong usage, no server, a lost record, ...")       \
	X(RUN_CANNOT_EXECUTE, 126, "the program was found and could not be executed")                  \
	X(RUN_NOT_FOUND, 127, "the program was not found")                                             \
	X(RUN_SIGNAL, 128, "and n: signal n ended the process")

#define EXIT_CODE_MEMBER(name, value, words) EXIT_CODE_##name = (value),
enum exit_code { EXIT_CODES(EXIT_CODE_MEMBER) EXIT_CODES_OF_RUN(EXIT_CODE_MEMBER) };
#undef EXIT_CODE_MEMBER
