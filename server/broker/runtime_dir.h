// Where the server's socket lies, and whether that place is safe: the default directory, the rules
// for a given one, and what a URL may be. Errors are sentences. Any thread; blocks on the file
// system alone.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// A socket's path is at most so long, without the NUL: repairs bind beside it under a longer name.
#define RUNTIME_DIR_PATH_MAX 100u

// What the default depends on.
struct runtime_dir_places {
	uid_t uid;
	const char *xdg_runtime_dir; // NULL, empty or relative: not set
	const char *system;          // "/run"
	const char *users;           // "/run/user"
	const char *temporary;       // "/tmp"
};

// Those of this process.
void runtime_dir_read_places(struct runtime_dir_places *ret_places);

// The URL to listen on when none is given. Makes nothing. 0 or -ENAMETOOLONG.
int runtime_dir_default_url(const struct runtime_dir_places *places, char *ret_url, size_t size,
    char *ret_error, size_t error_size);

// Takes the path out of an ipc URL: absolute, without "." and "..", short enough. *ret_path points
// into url. 0; -EPROTONOSUPPORT: another scheme; -EINVAL, -ENAMETOOLONG.
int runtime_dir_url_path(
    const char *url, const char **ret_path, char *ret_error, size_t error_size);

// Makes the default directory of a socket where it is missing. It must be a real directory of this
// user that nobody else may enter. 0 or negative errno.
int runtime_dir_make(const char *socket_path, uid_t uid, char *ret_error, size_t error_size);

// Checks the directory of a socket whose path was given: it must exist, belong to uid or root, and
// not be writable for everybody unless sticky. 0 or negative errno.
int runtime_dir_check(const char *socket_path, uid_t uid, char *ret_error, size_t error_size);

// Looks what lies at the path of a socket: nothing, or a socket that nobody listens on, is 0.
// Follows no link and connects to nobody. -EEXIST: not a socket; -EADDRINUSE: somebody listens.
int runtime_dir_check_socket(const char *socket_path, char *ret_error, size_t error_size);
