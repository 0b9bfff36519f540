// Small operations on descriptors.
#include "server/common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "server/common/cleanup.h"

void fd_close(int *fd)
{
	cleanup_fd(fd);
}

int fd_steal(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

int fd_set_cloexec(int fd)
{
	int flags = fcntl(fd, F_GETFD);
	if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int fd_fill_standard(void)
{
	for (;;) {
		int fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
		if (fd > 2) {
			close(fd);
			return 0;
		}
	}
}
