// The help texts, made from the tables of commands, options and exit codes.
#pragma once

#include <stdio.h>

#include "clients/spawnctl/commands.h"

void help_write(FILE *out);                                        // of spawnctl
void help_write_command(FILE *out, const struct command *command); // of one command
