// The library's values as JSON objects named as in the protocol.
#pragma once

#include <jansson.h>

#include <spawnd/client.h>

// Each makes a new object, owned by the caller; NULL: no memory.
json_t *record_json_exit(const struct spawnd_exit *record);          // ExitRecord
json_t *record_json_process(const struct spawnd_process_info *info); // ProcessInfo
json_t *record_json_climb(                                           // CancelResponse
    const struct spawnd_climb *climb, const struct spawnd_exit *record);
json_t *record_json_info(const struct spawnd_info *info); // GetServerInfoResponse
