// The commands of spawnctl, in one table.
#pragma once

#include "clients/spawnctl/options.h"

struct command {
	enum command_id id;
	const char *name;
	const char *operands; // as shown after the options, for example "ID SIGNAL"
	size_t operands_min, operands_max;
	bool operands_are_a_command;               // the first operand ends the options
	const char *summary;                       // one line
	const char *details;                       // more lines for its help
	int (*run)(const struct options *options); // returns the exit code
};

extern const struct command commands[];
extern const size_t n_commands;

const struct command *commands_by_id(enum command_id id); // NULL: none
const struct command *commands_by_name(const char *name); // NULL: none
const char *commands_nearest_name(const char *misspelt);  // NULL: none is near

int cmd_run(const struct options *options);
int cmd_spawn(const struct options *options);
int cmd_await(const struct options *options);
int cmd_cancel(const struct options *options);
int cmd_stop(const struct options *options);
int cmd_signal(const struct options *options);
int cmd_release(const struct options *options);
int cmd_ps(const struct options *options);
int cmd_info(const struct options *options);
