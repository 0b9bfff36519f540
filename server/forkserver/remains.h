// Kills and reaps everything that is left below this process. It waits while it does: only for a
// process that serves nobody any more.
#pragma once

#include <stdint.h>
#include <sys/types.h>

// Kills all children of this process but those spared (not what the spared ones have begun), what
// comes to it from them, and so on until nobody is left; reaps all. Gives up when nothing has
// changed for limit_ms (a process that the kernel does not let die). Returns how many are left, not
// counting the spared; negative where that cannot be found out.
int remains_kill(const pid_t *spared, int n_spared, uint32_t limit_ms);
