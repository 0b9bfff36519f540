// Cancel, one rung.
#pragma once

#include "clients/c/src/decode.h"
#include "clients/c/src/invoke.h"

// What an answer to Cancel says. record is NULL unless the process has ended.
struct cancel_answer {
	struct spawnd_climb climb;
	struct spawnd_exit *record;
};

// 0, or -1 with SPAWND_E_PROTOCOL or MEMORY.
int cancel_decode(const Spawn__V1__Response *response, struct cancel_answer *ret_answer,
    struct spawnd_error *err);

// Cancels a Spawn whose outcome is not known, by its key and with the last rung. True where the
// outcome does not matter any more: an answer told it, or server or session say that it can no
// longer come; its id is settled then. ret_climb may be NULL. (SPN-2, SPN-3)
bool cancel_spawn(struct use *use, struct session *session, uint64_t request_id,
    uint64_t deadline_us, struct spawnd_climb *ret_climb);
