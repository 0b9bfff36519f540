// The public header alone, in strict C11; and what needs no server.
#include <spawnd/client.h>

#include <string.h>

int main(void)
{
	struct spawnd_spawn_options spawn = SPAWND_SPAWN_OPTIONS_INIT;
	struct spawnd_connect_options connect = SPAWND_CONNECT_OPTIONS_INIT;
	struct spawnd_stop_options stop = SPAWND_STOP_OPTIONS_INIT;
	struct spawnd_error err;
	spawnd_client *client = NULL;
	if (spawn.size != sizeof spawn || spawn.umask != -1 || spawn.argv || spawn.identity)
		return 1;
	if (connect.size != sizeof connect || stop.size != sizeof stop || stop.hurry_fd != -1)
		return 2;
	connect.url = "ipc:///nonexistent/spawnd.sock";
	if (spawnd_connect(&connect, &client, &err) == 0 || err.kind != SPAWND_E_UNREACHABLE)
		return 3;
	if (client || strcmp(spawnd_error_kind_name(err.kind), "unreachable") != 0)
		return 4;
	spawnd_close(client);
	return 0;
}
