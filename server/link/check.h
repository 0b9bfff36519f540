// Checks every byte of a received link message that could mislead its reader.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum link_direction { LINK_TO_ROOT, LINK_TO_BROKER };

// message: size bytes as they came, in memory aligned for uint64_t. 0: its kind exists in that
// direction, its size fits the kind and what it says of its own tail, every enum, flag, count and
// text is in range, no id is 0 where it must not be. Else -EBADMSG. Whether an id exists, and
// whether the thing is allowed, is for the reader to judge.
//
// Kinds that end in an array of bytes (START, ACT, KEEPSAKE, SESSION_KEEPSAKE, STDIN) may be sent
// cut after the bytes used.
int link_check(const void *message, size_t size, enum link_direction direction);

// Does this kind carry a descriptor? One that does must; one that does not must not.
bool link_carries_fd(uint32_t kind);

// The shortest size of a message of that kind with the tail that it says it has; set it as
// header.size before sending. 0: no such kind.
uint32_t link_message_size(const void *message);
