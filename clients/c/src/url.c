// The default address of this user's server; the server chooses its own by the same rule.
#include "clients/c/src/url.h"

#include "clients/c/src/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_directory(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

int url_default(char *buffer, size_t size, uid_t uid, const char *runtime_dir)
{
	char users_own[64];
	int length;
	snprintf(users_own, sizeof users_own, "/run/user/%lu", (unsigned long)uid);
	if (uid == 0)
		length = snprintf(buffer, size, "ipc:///run/spawnd/spawnd.sock");
	else if (runtime_dir && runtime_dir[0] == '/')
		length = snprintf(buffer, size, "ipc://%s/spawnd/spawnd.sock", runtime_dir);
	else if (is_directory(users_own))
		length = snprintf(buffer, size, "ipc://%s/spawnd/spawnd.sock", users_own);
	else
		length = snprintf(buffer, size, "ipc:///tmp/spawnd-%lu/spawnd.sock", (unsigned long)uid);
	return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

int spawnd_default_url(char *buffer, size_t size, struct spawnd_error *err)
{
	if (!buffer || !size)
		return error_argument(err, "buffer", "no room for the address");
	char url[SPAWND_URL_MAX];
	if (url_default(url, sizeof url, geteuid(), getenv("XDG_RUNTIME_DIR")) < 0)
		return error_argument(err, "XDG_RUNTIME_DIR", "the runtime directory's path is too long");
	int length = snprintf(buffer, size, "%s", url);
	if ((size_t)length >= size)
		return error_argument(err, "size", "the address needs %d bytes", length + 1);
	return 0;
}
