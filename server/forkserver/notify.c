// Tells the world that the server is ready or stopping.
#include "server/forkserver/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/common/cleanup.h"
#include "server/common/log.h"
#include "server/link/messages.h"

int notify_open(struct notify *notify, int *ret_root_fd)
{
	int ends[2];
	const char *socket = getenv("NOTIFY_SOCKET");
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	notify->fd = ends[0];
	notify->socket[0] = '\0';
	if (socket && strlen(socket) < sizeof(notify->socket))
		snprintf(notify->socket, sizeof(notify->socket), "%s", socket);
	unsetenv("NOTIFY_SOCKET");
	*ret_root_fd = ends[1];
	return 0;
}

// As sd_notify(3) describes it; "@" at the start stands for an abstract name.
static void tell_manager(const char *path, const char *text, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(path);
	CLEANUP_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || length == 0)
		return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	socklen_t address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	if (sendto(fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address,
	        address_size) < 0)
		log_warning("cannot notify the service manager: %m");
}

int notify_pass_on(struct notify *notify)
{
	char text[512];
	ssize_t n = read(notify->fd, text, sizeof(text));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
	if (n == 0)
		return -EPIPE;
	tell_manager(notify->socket, text, (size_t)n);
	return 0;
}

static void hand_on(int channel, const char *text)
{
	if (write(channel, text, strlen(text)) < 0)
		log_warning("cannot notify the guard: %m");
}

void notify_ready(int channel, const char *url)
{
	char line[LINK_URL_MAX + 32];
	int n = snprintf(line, sizeof(line), "spawnd ready %s\n", url);
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
	// Whoever started the server may have left a full pipe there.
	if (poll(&out, 1, 0) != 1 || write(STDOUT_FILENO, line, (size_t)n) != n)
		log_warning("the line about readiness found no room on standard output");
	hand_on(channel, "READY=1\n");
}

void notify_stopping(int channel)
{
	hand_on(channel, "STOPPING=1\n");
}
