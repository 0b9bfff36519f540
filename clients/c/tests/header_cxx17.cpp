// The public header in C++17.
#include <spawnd/client.h>

#include <cstring>

int main()
{
	spawnd_spawn_options spawn = SPAWND_SPAWN_OPTIONS_INIT;
	spawnd_connect_options connect = SPAWND_CONNECT_OPTIONS_INIT;
	spawnd_stop_options stop = SPAWND_STOP_OPTIONS_INIT;
	spawnd_rung rungs[SPAWND_RUNGS_MAX];
	size_t count = 0;
	if (spawn.umask != -1 || connect.size != sizeof connect || stop.hurry_fd != -1)
		return 1;
	if (spawnd_ladder_parse("INT leader 1s", rungs, &count, nullptr) != 0 || count != 1)
		return 2;
	return std::strcmp(spawnd_version(), "") == 0;
}
