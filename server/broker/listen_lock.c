// The lock that keeps two servers from one socket.
#include "server/broker/listen_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/broker/runtime_dir.h"
#include "server/common/cleanup.h"
#include "server/common/fd.h"

#define SUFFIX    ".lock"
#define TRIES     100
#define PATH_MAX_ (RUNTIME_DIR_PATH_MAX + sizeof(SUFFIX))

static long read_holder(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return strtol(text, NULL, 10);
}

static int write_holder(int fd, pid_t holder)
{
	char text[32];
	int size = snprintf(text, sizeof(text), "%ld\n", (long)holder);
	if (ftruncate(fd, 0) < 0)
		return -errno;
	return pwrite(fd, text, (size_t)size, 0) == size ? 0 : -EIO;
}

// A holder that ends removes the file: a lock on a removed file is worth nothing.
static bool is_still_there(int fd, const char *path)
{
	struct stat held, named;
	return fstat(fd, &held) == 0 && lstat(path, &named) == 0 && held.st_dev == named.st_dev &&
	       held.st_ino == named.st_ino;
}

// 1: locked; 0: the file went away meanwhile, try again; else negative errno.
static int try_lock(const char *path, int *ret_fd, char *ret_error, size_t error_size)
{
	struct stat st;
	CLEANUP_FD int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int error = -errno;
		snprintf(ret_error, error_size, "cannot open the lock file %s: %s", path,
		    error == -ELOOP ? "it is a symbolic link" : strerror(-error));
		return error;
	}
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
		snprintf(ret_error, error_size, "the lock file %s is not a file of this user", path);
		return -EPERM;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int error = -errno;
		if (error == -EWOULDBLOCK) {
			snprintf(ret_error, error_size,
			    "another server (process %ld) holds %s: stop it, or give another path with "
			    "--listen",
			    read_holder(fd), path);
			return -EADDRINUSE;
		}
		snprintf(ret_error, error_size, "cannot lock %s: %s", path, strerror(-error));
		return error;
	}
	if (!is_still_there(fd, path))
		return 0;
	*ret_fd = fd_steal(&fd);
	return 1;
}

int listen_lock_take(
    const char *socket_path, pid_t holder, int *ret_fd, char *ret_error, size_t error_size)
{
	char path[PATH_MAX_];
	CLEANUP_FD int fd = -1;
	int r = 0;
	snprintf(path, sizeof(path), "%s" SUFFIX, socket_path);
	for (int i = 0; i < TRIES && r == 0; i++)
		r = try_lock(path, &fd, ret_error, error_size);
	if (r == 0) {
		snprintf(ret_error, error_size, "the lock file %s is removed again and again", path);
		return -EAGAIN;
	}
	if (r < 0)
		return r;
	r = write_holder(fd, holder);
	if (r < 0) {
		snprintf(ret_error, error_size, "cannot write %s: %s", path, strerror(-r));
		unlink(path);
		return r;
	}
	*ret_fd = fd_steal(&fd);
	return 0;
}

void listen_lock_release(const char *socket_path, int *fd)
{
	char path[PATH_MAX_];
	if (*fd < 0)
		return;
	snprintf(path, sizeof(path), "%s" SUFFIX, socket_path);
	if (is_still_there(*fd, path))
		unlink(path);
	fd_close(fd);
}
