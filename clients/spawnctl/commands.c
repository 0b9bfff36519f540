// The commands of spawnctl, in one table.
#include "clients/spawnctl/commands.h"

#include <stdint.h>
#include <string.h>

#include "clients/spawnctl/option_values.h"

const struct command commands[] = {
    {COMMAND_RUN, "run", "[--] COMMAND [ARGUMENT]...", 1, SIZE_MAX, true,
        "run a command as if it were run here",
        "The command gets the environment, the working directory and the umask of spawnctl, and "
        "its\n"
        "standard input; its output comes out here, and its exit status becomes that of spawnctl.\n"
        "Ctrl-C climbs to the first rung of its ladder and shows how long until the next; another\n"
        "Ctrl-C climbs at once. TERM and HUP begin the climb too.\n",
        cmd_run},
    {COMMAND_SPAWN, "spawn", "[--] COMMAND [ARGUMENT]...", 1, SIZE_MAX, true,
        "start a process and print its id",
        "The process lives on when spawnctl has ended. Its standard input is /dev/null, and so is "
        "its\n"
        "output unless --stdout or --stderr says otherwise.\n",
        cmd_spawn},
    {COMMAND_AWAIT, "await", "ID", 1, 1, false, "wait until a process has ended; print its record",
        "", cmd_await},
    {COMMAND_CANCEL, "cancel", "ID", 1, 1, false, "climb one rung of a process's ladder",
        "Returns at once. Unless a higher rung is asked for, the server climbs on by itself.\n",
        cmd_cancel},
    {COMMAND_STOP, "stop", "ID", 1, 1, false,
        "climb the ladder until a process has ended; print its record",
        "Shows each rung on standard error. Ctrl-C climbs to the next rung at once. Where spawnctl "
        "is\n"
        "killed meanwhile, the server climbs on.\n",
        cmd_stop},
    {COMMAND_SIGNAL, "signal", "ID SIGNAL", 2, 2, false, "send one signal; climbs nothing",
        "SIGNAL is a name, with or without SIG, or a number. Prints how many processes it "
        "reached.\n",
        cmd_signal},
    {COMMAND_RELEASE, "release", "ID", 1, 1, false, "drop the record of a process that has ended",
        "", cmd_release},
    {COMMAND_PS, "ps", "", 0, 0, false, "list processes",
        "Those that have ended are listed with --all or --state ended.\n", cmd_ps},
    {COMMAND_INFO, "info", "", 0, 0, false, "describe the server", "", cmd_info},
};
const size_t n_commands = sizeof commands / sizeof commands[0];

const struct command *commands_by_id(enum command_id id)
{
	for (size_t i = 0; i < n_commands; i++)
		if (commands[i].id == id)
			return &commands[i];
	return NULL;
}

const struct command *commands_by_name(const char *name)
{
	for (size_t i = 0; i < n_commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static const char *name_at(const void *table, size_t i)
{
	const struct command *lines = table;

	return i < n_commands ? lines[i].name : NULL;
}

const char *commands_nearest_name(const char *misspelt)
{
	return option_values_nearest(misspelt, name_at, commands);
}
