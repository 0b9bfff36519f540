// Where the server's socket lies, and whether that place is safe.
#include "server/broker/runtime_dir.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/common/cleanup.h"

#define SCHEME         "ipc://"
#define SOCKET_LISTENS 0x10000u // flag in /proc/net/unix

struct sentence {
	char *text;
	size_t size;
};

static int say(struct sentence to, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int say(struct sentence to, int error, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(to.text, to.size, format, arguments);
	va_end(arguments);
	return error;
}

void runtime_dir_read_places(struct runtime_dir_places *ret_places)
{
	*ret_places = (struct runtime_dir_places){
	    .uid = geteuid(),
	    .xdg_runtime_dir = getenv("XDG_RUNTIME_DIR"),
	    .system = "/run",
	    .users = "/run/user",
	    .temporary = "/tmp",
	};
}

static bool is_directory(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int runtime_dir_default_url(const struct runtime_dir_places *places, char *ret_url, size_t size,
    char *ret_error, size_t error_size)
{
	char path[PATH_MAX];
	char own[PATH_MAX];
	unsigned int uid = places->uid;
	const char *xdg = places->xdg_runtime_dir;
	snprintf(own, sizeof(own), "%s/%u", places->users, uid);
	if (uid == 0)
		snprintf(path, sizeof(path), "%s/spawnd/spawnd.sock", places->system);
	else if (xdg && xdg[0] == '/')
		snprintf(path, sizeof(path), "%s/spawnd/spawnd.sock", xdg);
	else if (is_directory(own))
		snprintf(path, sizeof(path), "%s/%u/spawnd/spawnd.sock", places->users, uid);
	else
		snprintf(path, sizeof(path), "%s/spawnd-%u/spawnd.sock", places->temporary, uid);
	if (strlen(path) > RUNTIME_DIR_PATH_MAX || sizeof(SCHEME) + strlen(path) > size)
		return say((struct sentence){ret_error, error_size}, -ENAMETOOLONG,
		    "the default socket %s is longer than %u bytes: give a shorter path with --listen",
		    path, RUNTIME_DIR_PATH_MAX);
	snprintf(ret_url, size, SCHEME "%s", path);
	return 0;
}

static bool has_part(const char *path, const char *part)
{
	size_t size = strlen(part);
	for (const char *at = path; (at = strchr(at, '/')) != NULL; at++)
		if (strncmp(at + 1, part, size) == 0 && (at[1 + size] == '/' || at[1 + size] == '\0'))
			return true;
	return false;
}

static bool is_plain(const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c <= ' ' || *c == 0x7f)
			return false;
	return true;
}

int runtime_dir_url_path(const char *url, const char **ret_path, char *ret_error, size_t error_size)
{
	struct sentence error = {ret_error, error_size};
	const char *path = url + strlen(SCHEME);
	if (strncmp(url, SCHEME, strlen(SCHEME)) != 0)
		return say(error, -EPROTONOSUPPORT,
		    "cannot listen on \"%s\": this version listens on ipc:///absolute/path alone, "
		    "listening for remote clients comes later",
		    url);
	if (path[0] != '/' || path[1] == '\0' || path[strlen(path) - 1] == '/')
		return say(error, -EINVAL, "cannot listen on \"%s\": ipc:// needs an absolute path", url);
	if (has_part(path, ".") || has_part(path, "..") || !is_plain(path))
		return say(error, -EINVAL,
		    "cannot listen on \"%s\": the path must have no \".\", no \"..\", no space and no "
		    "control character",
		    url);
	if (strlen(path) > RUNTIME_DIR_PATH_MAX)
		return say(error, -ENAMETOOLONG,
		    "cannot listen on \"%s\": the path has %zu bytes, at most %u are possible", url,
		    strlen(path), RUNTIME_DIR_PATH_MAX);
	*ret_path = path;
	return 0;
}

static void cut_to_directory(const char *socket_path, char *ret_directory, size_t size)
{
	snprintf(ret_directory, size, "%s", socket_path);
	char *slash = strrchr(ret_directory, '/');
	slash[slash == ret_directory ? 1 : 0] = '\0';
}

int runtime_dir_make(const char *socket_path, uid_t uid, char *ret_error, size_t error_size)
{
	struct sentence error = {ret_error, error_size};
	char directory[RUNTIME_DIR_PATH_MAX + 1];
	struct stat st;
	cut_to_directory(socket_path, directory, sizeof(directory));
	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		return say(error, -errno, "cannot make the directory %s: %s", directory, strerror(errno));
	if (lstat(directory, &st) < 0)
		return say(error, -errno, "cannot look at %s: %s", directory, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return say(
		    error, -ENOTDIR, "%s is not a directory: remove it, or give --listen", directory);
	if (st.st_uid != uid)
		return say(error, -EPERM,
		    "the directory %s belongs to uid %u, not to uid %u: give another path with --listen",
		    directory, st.st_uid, uid);
	if (st.st_mode & 077)
		return say(error, -EPERM,
		    "the directory %s can be used by others (mode %04o): chmod it to 0700", directory,
		    st.st_mode & 07777);
	return 0;
}

int runtime_dir_check(const char *socket_path, uid_t uid, char *ret_error, size_t error_size)
{
	struct sentence error = {ret_error, error_size};
	char directory[RUNTIME_DIR_PATH_MAX + 1];
	struct stat st;
	cut_to_directory(socket_path, directory, sizeof(directory));
	if (stat(directory, &st) < 0)
		return say(error, -errno, "the socket's directory %s cannot be used: %s", directory,
		    strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return say(error, -ENOTDIR, "the socket's directory %s is not a directory", directory);
	if (st.st_uid != uid && st.st_uid != 0)
		return say(error, -EPERM,
		    "the socket's directory %s belongs to uid %u, who could replace the socket", directory,
		    st.st_uid);
	if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
		return say(error, -EPERM,
		    "everybody may write to the socket's directory %s (mode %04o) and could replace the "
		    "socket",
		    directory, st.st_mode & 07777);
	return 0;
}

// A name under which a server of ours may have bound: the path itself, or path.NUMBER.
static bool is_bound_as(const char *name, const char *path)
{
	size_t size = strlen(path);
	if (strncmp(name, path, size) != 0)
		return false;
	if (name[size] == '\0')
		return true;
	return name[size] == '.' && name[size + 1] != '\0' &&
	       name[size + 1 + strspn(name + size + 1, "0123456789")] == '\0';
}

// Connecting to find out would be a peer that connects and closes: some listeners die of it.
static bool somebody_listens(const char *path)
{
	bool found = false;
	CLEANUP_FREE char *line = NULL;
	size_t capacity = 0;
	FILE *table = fopen("/proc/net/unix", "re");
	while (table && !found && getline(&line, &capacity, table) > 0) {
		unsigned int flags;
		int name_at = 0;
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %*s %*s %x %*s %*s %*s %n", &flags, &name_at) >= 1 && name_at > 0)
			found = (flags & SOCKET_LISTENS) && is_bound_as(line + name_at, path);
	}
	if (table)
		fclose(table);
	return found;
}

int runtime_dir_check_socket(const char *socket_path, char *ret_error, size_t error_size)
{
	struct sentence error = {ret_error, error_size};
	struct stat st;
	if (lstat(socket_path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return say(error, -errno, "cannot look at %s: %s", socket_path, strerror(errno));
	}
	if (!S_ISSOCK(st.st_mode))
		return say(error, -EEXIST,
		    "%s exists and is not a socket: remove it, or give another path with --listen",
		    socket_path);
	if (somebody_listens(socket_path))
		return say(error, -EADDRINUSE,
		    "another program listens on %s: stop it, or give another path with --listen",
		    socket_path);
	return 0;
}
