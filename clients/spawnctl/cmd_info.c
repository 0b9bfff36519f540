// spawnctl info: describes the server.
#include <inttypes.h>
#include <stdio.h>

#include "clients/spawnctl/commands.h"
#include "clients/spawnctl/connect.h"
#include "clients/spawnctl/duration.h"
#include "clients/spawnctl/exit_codes.h"
#include "clients/spawnctl/failure.h"
#include "clients/spawnctl/json_line.h"
#include "clients/spawnctl/record_json.h"

static void print_number(const char *name, uint64_t number)
{
	printf("%-22s %" PRIu64 "\n", name, number);
}

static void print_limits(const struct spawnd_info *info)
{
	print_number("message, bytes", info->max_message_bytes);
	print_number("launch, bytes", info->max_launch_bytes);
	print_number("processes, at most", info->max_processes);
	print_number("sessions, at most", info->max_sessions);
	print_number("takeover, ms", info->takeover_ms);
}

static void print_counters(const struct spawnd_info *info)
{
	print_number("processes", info->processes);
	print_number("records", info->records);
	print_number("sessions", info->sessions);
	print_number("connections", info->connections);
	print_number("parked calls", info->parked);
	print_number("started so far", info->started);
	print_number("listener repairs", info->listener_repairs);
	print_number("log lines lost", info->log_lines_lost);
}

static void print_info(const char *url, const struct spawnd_info *info)
{
	char uptime[32];

	duration_format_short(info->uptime_ms, uptime, sizeof uptime);
	printf("%-22s %s\n", "address", url);
	printf("%-22s %s, protocol %" PRIu32 ".%" PRIu32 "%s\n", "version", info->version, info->major,
	    info->minor, info->shutting_down ? ", shutting down" : "");
	printf("%-22s %016" PRIx64 "\n", "epoch", info->epoch);
	printf("%-22s %s\n", "running for", uptime);
	printf("%-22s guard %" PRIu32 ", root %" PRIu32 ", broker %" PRIu32 "\n", "pids",
	    info->guard_pid, info->root_pid, info->broker_pid);
	printf("%-22s%s%s%s%s%s\n", "capabilities", info->can_cgroup ? " cgroup" : "",
	    info->can_subreaper ? " subreaper" : "", info->can_realtime_kill ? " realtime-kill" : "",
	    info->can_nested ? " nested" : "", info->can_identities ? " identities" : "");
	print_counters(info);
	print_limits(info);
}

int cmd_info(const struct options *options)
{
	struct spawnd_info info;
	struct spawnd_error err;
	spawnd_client *client;
	int code = connect_client(options, &client);

	if (code != 0)
		return code;
	if (spawnd_get_info(client, &info, &err) < 0)
		code = failure_tell(options, NULL, &err);
	else if (!options->json)
		print_info(spawnd_client_url(client), &info);
	else if (json_line_write(stdout, record_json_info(&info)) < 0)
		code = failure_tell_own(options, "standard output could not be written");
	spawnd_close(client);
	return code;
}
