// The line on standard error that tells which rung acts and how long until the next.
#include "clients/spawnctl/countdown.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "clients/spawnctl/record_text.h"

static const uint64_t second_ms = 1000;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int countdown_init(struct countdown *countdown, int mode, int otherwise)
{
	*countdown = (struct countdown){.mode = mode, .fd = -1};
	if (mode == COUNTDOWN_TERMINAL) {
		if (isatty(STDERR_FILENO))
			countdown->fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (countdown->fd < 0)
			countdown->mode = otherwise;
	}
	countdown->changed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (countdown->changed_fd < 0) {
		int saved = errno;

		if (countdown->fd >= 0)
			close(countdown->fd);
		return -saved;
	}
	return -pthread_mutex_init(&countdown->lock, NULL);
}

void countdown_clear(struct countdown *countdown)
{
	if (countdown->fd >= 0)
		close(countdown->fd);
	close(countdown->changed_fd);
	pthread_mutex_destroy(&countdown->lock);
}

// Ornament: what the terminal does not take at once is not worth a wait.
static void put(const struct countdown *countdown, const char *text)
{
	ssize_t written = write(countdown->fd, text, strlen(text));

	(void)written;
}

static uint64_t seconds_left(const struct countdown *countdown, uint64_t now)
{
	if (!countdown->answered || countdown->deadline_ms <= now)
		return 0;
	return (countdown->deadline_ms - now + second_ms - 1) / second_ms;
}

static void format_line(const struct countdown *countdown, uint64_t now, char *line, size_t size)
{
	bool last = countdown->rung >= countdown->n_rungs;
	char next[32];

	if (!countdown->answered) {
		snprintf(line, size, "%s", countdown->rung_text);
		return;
	}
	if (last)
		snprintf(next, sizeof next, "the last one");
	else
		snprintf(next, sizeof next, "rung %" PRIu32, countdown->rung + 1);
	if (countdown->deadline_ms == SPAWND_FOREVER)
		snprintf(line, size, "%s; waiting without limit%s%s%s", countdown->rung_text,
		    last ? "" : " (Ctrl-C: ", last ? "" : next, last ? "" : " at once)");
	else
		snprintf(line, size, "%s; %s%s %" PRIu64 " s%s", countdown->rung_text, next,
		    last ? ", for" : " in", seconds_left(countdown, now), last ? "" : " (Ctrl-C: at once)");
}

// Cuts a line so that it never wraps: a wrapped one could not be drawn over.
static void fit(const struct countdown *countdown, char *line)
{
	struct winsize window;

	if (ioctl(countdown->fd, TIOCGWINSZ, &window) == 0 && window.ws_col > 1 &&
	    strlen(line) >= window.ws_col)
		line[window.ws_col - 1] = '\0';
}

static void draw(struct countdown *countdown, uint64_t now)
{
	char line[192], text[224];

	format_line(countdown, now, line, sizeof line);
	fit(countdown, line);
	snprintf(text, sizeof text, "%s\r%s\033[K", countdown->mid_line ? "\n" : "", line);
	put(countdown, text);
	countdown->mid_line = false;
	countdown->drawn = true;
	countdown->drawn_s = seconds_left(countdown, now);
}

// The rung's line without its countdown, and the cursor below it.
static void leave_line(struct countdown *countdown)
{
	char text[128];

	if (!countdown->active)
		return;
	if (countdown->mode == COUNTDOWN_TERMINAL) {
		snprintf(text, sizeof text, "%s\r%s\033[K\n", countdown->mid_line ? "\n" : "",
		    countdown->rung_text);
		put(countdown, text);
	}
	countdown->active = countdown->drawn = countdown->mid_line = false;
}

static void wake(const struct countdown *countdown)
{
	uint64_t one = 1;
	ssize_t written = write(countdown->changed_fd, &one, sizeof one);

	(void)written; // full: it is readable already
}

static void begin_rung(struct countdown *countdown, const struct spawnd_stop_progress *progress)
{
	char what[48];

	record_text_format_rung(
	    progress->what.action, progress->what.signal, progress->what.scope, what, sizeof what);
	leave_line(countdown);
	snprintf(countdown->rung_text, sizeof countdown->rung_text,
	    "spawnctl: rung %" PRIu32 " of %" PRIu32 ": %s", progress->rung, progress->n_rungs, what);
	countdown->rung = progress->rung;
	countdown->n_rungs = progress->n_rungs;
	countdown->answered = false;
	countdown->active = countdown->mode != COUNTDOWN_SILENT;
	if (countdown->mode == COUNTDOWN_LINES)
		fprintf(stderr, "%s\n", countdown->rung_text);
}

void countdown_rung(struct countdown *countdown, const struct spawnd_stop_progress *progress)
{
	uint64_t now = now_ms();

	pthread_mutex_lock(&countdown->lock);
	if (!countdown->active || countdown->rung != progress->rung)
		begin_rung(countdown, progress);
	if (progress->event == SPAWND_STOP_RUNG_ANSWERED) {
		countdown->answered = true;
		countdown->deadline_ms =
		    progress->wait_ms >= SPAWND_FOREVER - now ? SPAWND_FOREVER : now + progress->wait_ms;
	}
	if (countdown->mode == COUNTDOWN_TERMINAL)
		draw(countdown, now);
	pthread_mutex_unlock(&countdown->lock);
	wake(countdown);
}

void countdown_note(struct countdown *countdown, const char *text)
{
	pthread_mutex_lock(&countdown->lock);
	leave_line(countdown);
	if (countdown->mode != COUNTDOWN_SILENT)
		fprintf(stderr, "spawnctl: %s\n", text);
	pthread_mutex_unlock(&countdown->lock);
}

void countdown_end(struct countdown *countdown)
{
	pthread_mutex_lock(&countdown->lock);
	leave_line(countdown);
	pthread_mutex_unlock(&countdown->lock);
}

// Milliseconds until the number of seconds left changes.
static int until_next_second(const struct countdown *countdown, uint64_t now)
{
	if (countdown->deadline_ms == SPAWND_FOREVER || countdown->deadline_ms <= now)
		return -1;
	return (int)((countdown->deadline_ms - now - 1) % second_ms + 1);
}

int countdown_tick(struct countdown *countdown)
{
	uint64_t now = now_ms(), count;
	ssize_t size = read(countdown->changed_fd, &count, sizeof count);
	int due_ms = -1;

	(void)size; // only to make it unreadable
	pthread_mutex_lock(&countdown->lock);
	if (countdown->active && countdown->mode == COUNTDOWN_TERMINAL) {
		if (!countdown->drawn || countdown->drawn_s != seconds_left(countdown, now))
			draw(countdown, now);
		due_ms = until_next_second(countdown, now);
	}
	pthread_mutex_unlock(&countdown->lock);
	return due_ms;
}

void countdown_before_output(struct countdown *countdown)
{
	pthread_mutex_lock(&countdown->lock);
	if (countdown->drawn)
		put(countdown, "\r\033[K");
	countdown->drawn = false;
	pthread_mutex_unlock(&countdown->lock);
}

void countdown_after_output(struct countdown *countdown, char last_byte)
{
	pthread_mutex_lock(&countdown->lock);
	countdown->mid_line = last_byte != '\n';
	pthread_mutex_unlock(&countdown->lock);
}
