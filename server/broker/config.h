// The server's configuration: defaults, then the file (YAML), then the command line; later ones
// win.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/link/messages.h"

struct config {
	char listen[LINK_URL_MAX]; // ipc URL
	bool listen_is_default;    // its directory is made and must be this user's alone
	bool log_json;
	uint32_t max_processes; // 0: as many as descriptors allow
	uint32_t max_records;
	uint32_t start_timeout_ms;
	uint32_t max_connections_per_peer;
	uint32_t max_sessions;
	uint32_t max_parked; // in the whole server
	uint32_t max_parked_session;
	uint32_t max_unreleased;    // of one session
	uint32_t retention_ms;      // of records after their session
	uint32_t retention_records; // of one principal
	size_t max_message_bytes;
	uint32_t n_uids, n_gids;
	uint32_t uids[LINK_IDENTITIES_MAX], gids[LINK_IDENTITIES_MAX];
};

// Reads everything; on failure *ret_error is a sentence that names file, line and what to do.
int config_load(
    int argc, char *const *argv, struct config *ret_config, char *ret_error, size_t error_size);

// What the root needs of it.
void config_to_link(const struct config *config, struct link_config *ret_message);
