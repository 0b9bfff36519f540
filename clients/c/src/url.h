// The default address of this user's server.
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define SPAWND_URL_MAX 512

// Writes the address: runtime_dir (XDG_RUNTIME_DIR; NULL, empty or relative: unset) + /spawnd; for
// uid 0 /run/spawnd; else /run/user/UID/spawnd where /run/user/UID is a directory; else
// /tmp/spawnd-UID; each with spawnd.sock in it. -ENAMETOOLONG where it does not fit. (TRN-2)
int url_default(char *buffer, size_t size, uid_t uid, const char *runtime_dir);
