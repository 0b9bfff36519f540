// The server's configuration: defaults, then the file, then the command line; later ones win.
#include "server/broker/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/broker/config_yaml.h"
#include "server/broker/runtime_dir.h"
#include "server/common/log.h"
#include "server/common/options.h"

#define STOP_TERM_WAIT_MS 2000u

static void set_defaults(struct config *config)
{
	*config = (struct config){
	    .max_records = 131072,
	    .start_timeout_ms = 10000,
	    .max_connections_per_peer = 1024,
	    .max_sessions = 4096,
	    .max_parked = 65536,
	    .max_parked_session = 16384,
	    .max_unreleased = 16384,
	    .retention_ms = 600000,
	    .retention_records = 65536,
	    .max_message_bytes = 1 << 20,
	};
}

// NULL: not a plain number.
static uint32_t *number_of(struct config *config, enum option_id id)
{
	switch (id) {
	case OPTION_MAX_PROCESSES:
		return &config->max_processes;
	case OPTION_MAX_RECORDS:
		return &config->max_records;
	case OPTION_MAX_SESSIONS:
		return &config->max_sessions;
	case OPTION_MAX_CONNECTIONS:
		return &config->max_connections_per_peer;
	case OPTION_MAX_PARKED:
		return &config->max_parked;
	case OPTION_MAX_PARKED_SESSION:
		return &config->max_parked_session;
	case OPTION_MAX_UNRELEASED:
		return &config->max_unreleased;
	case OPTION_RETENTION_MS:
		return &config->retention_ms;
	case OPTION_RETENTION_RECORDS:
		return &config->retention_records;
	case OPTION_START_TIMEOUT_MS:
		return &config->start_timeout_ms;
	default:
		return NULL;
	}
}

static int read_number(
    enum option_id id, const char *text, uint64_t *ret_value, char *ret_error, size_t error_size)
{
	const struct option_row *row = &option_table[id];
	if (option_parse_number(id, text, ret_value) == 0)
		return 0;
	snprintf(ret_error, error_size, "%s must be a number from %llu to %llu, not \"%s\"", row->name,
	    (unsigned long long)row->min, (unsigned long long)row->max, text);
	return -EINVAL;
}

static int add_id(
    struct config *config, enum option_id id, const char *text, char *ret_error, size_t error_size)
{
	uint64_t value;
	uint32_t *n = id == OPTION_ALLOW_UIDS ? &config->n_uids : &config->n_gids;
	uint32_t *ids = id == OPTION_ALLOW_UIDS ? config->uids : config->gids;
	int r = read_number(id, text, &value, ret_error, error_size);
	if (r < 0)
		return r;
	if (*n == LINK_IDENTITIES_MAX) {
		snprintf(ret_error, error_size, "%s has more than %u numbers", option_table[id].name,
		    LINK_IDENTITIES_MAX);
		return -EINVAL;
	}
	ids[(*n)++] = (uint32_t)value;
	return 0;
}

static int set_listen(struct config *config, const char *url, char *ret_error, size_t error_size)
{
	const char *path;
	int r = runtime_dir_url_path(url, &path, ret_error, error_size);
	if (r < 0)
		return r;
	snprintf(config->listen, sizeof(config->listen), "%s", url); // short enough: it was checked
	config->listen_is_default = false;
	return 0;
}

static int set_log_format(
    struct config *config, const char *name, char *ret_error, size_t error_size)
{
	enum log_format format;
	if (log_parse_format(name, &format) < 0) {
		snprintf(ret_error, error_size, "log-format must be text or json, not \"%s\"", name);
		return -EINVAL;
	}
	config->log_json = format == LOG_FORMAT_JSON;
	return 0;
}

// Sets one value from its text; identities are added.
static int set(
    struct config *config, enum option_id id, const char *text, char *ret_error, size_t error_size)
{
	uint64_t value;
	if (id == OPTION_LISTEN)
		return set_listen(config, text, ret_error, error_size);
	if (id == OPTION_LOG_FORMAT)
		return set_log_format(config, text, ret_error, error_size);
	if (id == OPTION_ALLOW_UIDS || id == OPTION_ALLOW_GIDS)
		return add_id(config, id, text, ret_error, error_size);
	int r = read_number(id, text, &value, ret_error, error_size);
	if (r < 0)
		return r;
	if (id == OPTION_MAX_MESSAGE_BYTES)
		config->max_message_bytes = value;
	else
		*number_of(config, id) = (uint32_t)value;
	return 0;
}

static int take_from_file(void *user, enum option_id id, const char *text, bool is_text,
    char *ret_error, size_t error_size)
{
	if (is_text && option_table[id].kind != OPTION_TEXT) {
		snprintf(ret_error, error_size, "%s needs a number without quotes", option_table[id].name);
		return -EINVAL;
	}
	return set(user, id, text, ret_error, error_size);
}

// The list on the command line takes the place of the one in the file.
static int set_ids(
    struct config *config, enum option_id id, const char *list, char *ret_error, size_t error_size)
{
	if (id == OPTION_ALLOW_UIDS)
		config->n_uids = 0;
	else
		config->n_gids = 0;
	for (const char *at = list; *at || at == list;) {
		char number[32];
		size_t size = strcspn(at, ",");
		snprintf(number, sizeof(number), "%.*s", (int)(size < 31 ? size : 31), at);
		int r = add_id(config, id, number, ret_error, error_size);
		if (r < 0)
			return r;
		at += size;
		if (*at == ',' && *++at == '\0')
			return add_id(config, id, "", ret_error, error_size);
	}
	return 0;
}

// Reads the command line. Without config only the name of the file is looked for.
static int read_arguments(int argc, char *const *argv, struct config *config, const char **ret_file,
    char *ret_error, size_t error_size)
{
	struct option_reader reader = {argc, argv, 1};
	enum option_id id;
	const char *value;
	char sentence[512];
	int r;
	while ((r = option_next(&reader, &id, &value, ret_error, error_size)) > 0) {
		if (id == OPTION_CONFIG)
			*ret_file = value;
		if (id == OPTION_CONFIG || option_table[id].kind == OPTION_SWITCH || !config)
			continue;
		if (option_table[id].kind == OPTION_IDS)
			r = set_ids(config, id, value, sentence, sizeof(sentence));
		else
			r = set(config, id, value, sentence, sizeof(sentence));
		if (r < 0) {
			snprintf(ret_error, error_size, "on the command line: %s", sentence);
			return r;
		}
	}
	return r;
}

// The file that is read where none is named; false: there is none.
static bool find_file(char *ret_path, size_t size)
{
	const char *xdg = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	int n;
	if (geteuid() == 0)
		n = snprintf(ret_path, size, "/etc/spawnd/spawnd.yaml");
	else if (xdg && xdg[0] == '/')
		n = snprintf(ret_path, size, "%s/spawnd/spawnd.yaml", xdg);
	else if (home && home[0] == '/')
		n = snprintf(ret_path, size, "%s/.config/spawnd/spawnd.yaml", home);
	else
		return false;
	return n > 0 && (size_t)n < size && access(ret_path, F_OK) == 0;
}

static int read_file(const char *given, struct config *config, char *ret_error, size_t error_size)
{
	char found[PATH_MAX];
	if (!given && !find_file(found, sizeof(found)))
		return 0;
	return config_yaml_read(given ? given : found, take_from_file, config, ret_error, error_size);
}

int config_load(
    int argc, char *const *argv, struct config *ret_config, char *ret_error, size_t error_size)
{
	struct config config;
	const char *file = NULL;
	set_defaults(&config);
	int r = read_arguments(argc, argv, NULL, &file, ret_error, error_size);
	if (r == 0)
		r = read_file(file, &config, ret_error, error_size);
	if (r == 0)
		r = read_arguments(argc, argv, &config, &file, ret_error, error_size);
	if (r == 0 && config.listen[0] == '\0') {
		struct runtime_dir_places places;
		runtime_dir_read_places(&places);
		config.listen_is_default = true;
		r = runtime_dir_default_url(
		    &places, config.listen, sizeof(config.listen), ret_error, error_size);
	}
	if (r == 0)
		*ret_config = config;
	return r;
}

void config_to_link(const struct config *config, struct link_config *ret_message)
{
	memset(ret_message, 0, sizeof(*ret_message)); // all its bytes are compared
	ret_message->header.kind = LINK_CONFIG;
	ret_message->header.size = sizeof(*ret_message);
	ret_message->version = LINK_VERSION;
	ret_message->max_processes = config->max_processes;
	ret_message->max_records = config->max_records;
	ret_message->start_timeout_ms = config->start_timeout_ms;
	ret_message->stop_term_wait_ms = STOP_TERM_WAIT_MS;
	ret_message->n_uids = config->n_uids;
	ret_message->n_gids = config->n_gids;
	memcpy(ret_message->uids, config->uids, sizeof(ret_message->uids));
	memcpy(ret_message->gids, config->gids, sizeof(ret_message->gids));
}
