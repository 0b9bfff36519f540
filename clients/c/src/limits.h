// What the server announced that the client holds itself to. (LIM-1)
#pragma once

#include <stdint.h>

struct limits {
	uint64_t max_message_bytes;
	uint64_t max_launch_bytes;
	uint64_t max_hold_ms;
	uint64_t max_spawn_hold_ms;
	uint64_t max_read_bytes;
	uint64_t max_write_bytes;
};
