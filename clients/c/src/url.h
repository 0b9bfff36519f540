// The default address of this user's server.
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define SPAWND_URL_MAX 512

// Writes the address. For uid 0 it is /run/spawnd/spawnd.sock. For others spawnd/spawnd.sock in
// runtime_dir (XDG_RUNTIME_DIR; NULL, empty or relative: unset), else in /run/user/UID where that
// is a directory, else /tmp/spawnd-UID/spawnd.sock. The server's rule is the same. -ENAMETOOLONG
// where it does not fit. (TRN-2)
int url_default(char *buffer, size_t size, uid_t uid, const char *runtime_dir);
