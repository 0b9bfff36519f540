// Log lines on standard error that never block the process.
#include "server/common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_MAX 2048
#define LINE_MAX_   8192
#define FIRST_FD    4 // 3 becomes the link of a broker that is being started, and may fail to

// How a line gets out without blocking; found once, by what descriptor 2 is.
enum way {
	WAY_PLAIN,  // a file or a device without back-pressure
	WAY_REOPEN, // a pipe or terminal, opened again without blocking
	WAY_SOCKET, // sent without waiting
	WAY_POLL,   // written only when poll sees room: as good as can be had
};

static struct {
	const char *program;
	enum log_format format;
	enum log_level level;
	enum way way;
	int fd;
	atomic_uint_fast64_t lost, lost_told;
} state = {.program = "spawnd", .level = LOG_LEVEL_INFO, .way = WAY_POLL, .fd = STDERR_FILENO};

struct line {
	char text[LINE_MAX_];
	size_t size;
};

// A pipe or terminal is opened again because its flags are shared with strangers: switching
// O_NONBLOCK on for everybody would break them.
static void choose_way(void)
{
	struct stat st;
	if (state.fd != STDERR_FILENO)
		close(state.fd);
	state.fd = STDERR_FILENO;
	state.way = WAY_POLL;
	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	if (S_ISSOCK(st.st_mode)) {
		state.way = WAY_SOCKET;
	} else if (S_ISREG(st.st_mode)) {
		state.way = WAY_PLAIN;
	} else {
		int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd < 0)
			return;
		state.fd = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
		close(fd);
		if (state.fd < 0) {
			state.fd = STDERR_FILENO;
			return;
		}
		state.way = WAY_REOPEN;
	}
}

void log_open(const char *program, enum log_format format, enum log_level level)
{
	state.program = program;
	state.format = format;
	state.level = level;
	choose_way();
}

int log_parse_format(const char *name, enum log_format *ret_format)
{
	if (strcmp(name, "text") == 0)
		*ret_format = LOG_FORMAT_TEXT;
	else if (strcmp(name, "json") == 0)
		*ret_format = LOG_FORMAT_JSON;
	else
		return -EINVAL;
	return 0;
}

uint64_t log_lost(void)
{
	return atomic_load(&state.lost);
}

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *line, const char *format, ...)
{
	va_list arguments;
	size_t room = sizeof(line->text) - line->size;
	va_start(arguments, format);
	int n = vsnprintf(line->text + line->size, room, format, arguments);
	va_end(arguments);
	if (n > 0)
		line->size += (size_t)n < room ? (size_t)n : room - 1;
}

static void add_escaped(struct line *line, const char *text, enum log_format format)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (line->size + 8 > sizeof(line->text) - 4)
			return;
		if (format == LOG_FORMAT_JSON && (*c == '"' || *c == '\\'))
			add(line, "\\%c", *c);
		else if (format == LOG_FORMAT_JSON && (*c < 0x20 || *c >= 0x7f))
			add(line, "\\u%04x", *c);
		else if (*c < 0x20 || *c == 0x7f)
			add(line, "\\x%02x", *c);
		else
			line->text[line->size++] = (char)*c;
	}
}

static void compose(struct line *line, enum log_level level, const char *message)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	struct timespec now;
	struct tm utc;
	char time[32];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &utc);
	line->size = 0;
	if (state.format == LOG_FORMAT_JSON)
		add(line,
		    "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"program\":\"%s\",\"pid\":%ld,"
		    "\"message\":\"",
		    time, now.tv_nsec / 1000000, names[level], state.program, (long)getpid());
	else
		add(line, "%s.%03ldZ %s[%ld] %s: ", time, now.tv_nsec / 1000000, state.program,
		    (long)getpid(), names[level]);
	add_escaped(line, message, state.format);
	add(line, "%s", state.format == LOG_FORMAT_JSON ? "\"}\n" : "\n");
}

static bool has_room(void)
{
	struct pollfd poll_fd = {.fd = state.fd, .events = POLLOUT};
	return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLOUT);
}

static bool put(const struct line *line)
{
	ssize_t n;
	if (state.way == WAY_POLL && !has_room())
		return false;
	do {
		if (state.way == WAY_SOCKET)
			n = send(state.fd, line->text, line->size, MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			n = write(state.fd, line->text, line->size);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)line->size;
}

// After a loss, says how many lines went, as soon as there is room again.
static void tell_lost(void)
{
	uint64_t lost = atomic_load(&state.lost);
	uint64_t told = atomic_load(&state.lost_told);
	if (lost == told || !atomic_compare_exchange_strong(&state.lost_told, &told, lost))
		return;
	struct line line;
	char message[80];
	snprintf(message, sizeof(message), "%llu log lines were lost: nobody read them",
	    (unsigned long long)(lost - told));
	compose(&line, LOG_LEVEL_WARNING, message);
	if (!put(&line))
		atomic_store(&state.lost_told, told);
}

void log_write(enum log_level level, const char *format, ...)
{
	if (level > state.level)
		return;
	int saved = errno;
	char message[MESSAGE_MAX];
	struct line line;
	va_list arguments;
	va_start(arguments, format);
	errno = saved; // for %m
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	tell_lost();
	compose(&line, level, message);
	if (!put(&line))
		atomic_fetch_add(&state.lost, 1);
	errno = saved;
}
