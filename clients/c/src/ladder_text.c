// Ladders as people read and write them: "INT leader 5s, TERM tree 2s, KILL tree 500ms".
#include "clients/c/src/ladder_text.h"

#include "clients/c/src/error.h"

#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SIGNAL_MAX  64
#define WAIT_MAX_MS UINT64_C(86400000)
#define WORDS_MAX   3
#define WORD_BYTES  24

static const char *const signal_names[] = {
    [SIGHUP] = "HUP",
    [SIGINT] = "INT",
    [SIGQUIT] = "QUIT",
    [SIGILL] = "ILL",
    [SIGTRAP] = "TRAP",
    [SIGABRT] = "ABRT",
    [SIGBUS] = "BUS",
    [SIGFPE] = "FPE",
    [SIGKILL] = "KILL",
    [SIGUSR1] = "USR1",
    [SIGSEGV] = "SEGV",
    [SIGUSR2] = "USR2",
    [SIGPIPE] = "PIPE",
    [SIGALRM] = "ALRM",
    [SIGTERM] = "TERM",
    [SIGCHLD] = "CHLD",
    [SIGCONT] = "CONT",
    [SIGSTOP] = "STOP",
    [SIGTSTP] = "TSTP",
    [SIGTTIN] = "TTIN",
    [SIGTTOU] = "TTOU",
    [SIGURG] = "URG",
    [SIGXCPU] = "XCPU",
    [SIGXFSZ] = "XFSZ",
    [SIGVTALRM] = "VTALRM",
    [SIGPROF] = "PROF",
    [SIGWINCH] = "WINCH",
    [SIGIO] = "IO",
    [SIGPWR] = "PWR",
    [SIGSYS] = "SYS",
};
#define N_SIGNAL_NAMES ((int)(sizeof signal_names / sizeof signal_names[0]))

static const struct unit {
	const char *name;
	uint64_t ms;
} units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
#define N_UNITS (sizeof units / sizeof units[0])

const char *ladder_text_signal_name(int number)
{
	return number > 0 && number < N_SIGNAL_NAMES ? signal_names[number] : NULL;
}

// Digits alone, up to max; 1 where text is that.
static int read_number(const char *text, uint64_t max, uint64_t *ret_number, const char **ret_rest)
{
	uint64_t number = 0;
	const char *digit = text;
	for (; *digit >= '0' && *digit <= '9'; digit++) {
		if (number > (max - (uint64_t)(*digit - '0')) / 10)
			return 0;
		number = number * 10 + (uint64_t)(*digit - '0');
	}
	if (digit == text)
		return 0;
	*ret_number = number;
	*ret_rest = digit;
	return 1;
}

int ladder_text_signal_number(const char *text)
{
	uint64_t number;
	const char *rest;
	if (read_number(text, SIGNAL_MAX, &number, &rest))
		return *rest ? 0 : (int)number;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int i = 1; i < N_SIGNAL_NAMES; i++)
		if (signal_names[i] && strcasecmp(text, signal_names[i]) == 0)
			return i;
	return 0;
}

static int read_wait(const char *text, uint64_t *ret_ms)
{
	uint64_t number;
	const char *rest;
	if (strcmp(text, "forever") == 0) {
		*ret_ms = SPAWND_FOREVER;
		return 1;
	}
	if (!read_number(text, WAIT_MAX_MS, &number, &rest))
		return 0;
	if (!number && !*rest) {
		*ret_ms = 0;
		return 1;
	}
	for (size_t i = 0; i < N_UNITS; i++) {
		if (strcmp(rest, units[i].name) != 0)
			continue;
		if (number > WAIT_MAX_MS / units[i].ms)
			return 0;
		*ret_ms = number * units[i].ms;
		return 1;
	}
	return 0;
}

static int read_scope(const char *text)
{
	static const char *const names[] = {
	    [SPAWND_LEADER] = "leader", [SPAWND_GROUP] = "group", [SPAWND_TREE] = "tree"};
	for (int scope = SPAWND_LEADER; scope <= SPAWND_TREE; scope++)
		if (strcasecmp(text, names[scope]) == 0)
			return scope;
	return 0;
}

static int read_action(const char *text, struct spawnd_rung *rung)
{
	rung->signal = 0;
	if (strcmp(text, "close-stdin") == 0) {
		rung->action = SPAWND_CLOSE_STDIN;
		return 1;
	}
	if (strcmp(text, "notice") == 0) {
		rung->action = SPAWND_CANCEL_NOTICE;
		return 1;
	}
	rung->action = SPAWND_SIGNAL;
	rung->signal = ladder_text_signal_number(text);
	return rung->signal != 0;
}

// Splits text up to a comma or its end into words; the number of them, -1 for one too many or too
// long.
static int split(const char *text, size_t size, char words[WORDS_MAX][WORD_BYTES])
{
	int n_words = 0;
	size_t at = 0;
	for (;;) {
		while (at < size && isspace((unsigned char)text[at]))
			at++;
		if (at == size)
			return n_words;
		size_t length = 0;
		while (at + length < size && !isspace((unsigned char)text[at + length]))
			length++;
		if (n_words == WORDS_MAX || length >= WORD_BYTES)
			return -1;
		memcpy(words[n_words], text + at, length);
		words[n_words++][length] = '\0';
		at += length;
	}
}

static int read_rung(const char *text, size_t size, size_t number, struct spawnd_rung *rung,
    struct spawnd_error *err)
{
	char words[WORDS_MAX][WORD_BYTES], field[32];
	int n_words = split(text, size, words);
	snprintf(field, sizeof field, "ladder[%zu]", number);
	if (n_words < 2)
		return error_argument(
		    err, field, "rung %zu: want SIGNAL [leader|group|tree] WAIT", number + 1);
	if (!read_action(words[0], rung))
		return error_argument(
		    err, field, "rung %zu: no signal is called '%s'", number + 1, words[0]);
	rung->scope = n_words == 3 ? read_scope(words[1]) : SPAWND_LEADER;
	if (!rung->scope)
		return error_argument(
		    err, field, "rung %zu: '%s' is not leader, group or tree", number + 1, words[1]);
	if (rung->action != SPAWND_SIGNAL && rung->scope != SPAWND_LEADER)
		return error_argument(
		    err, field, "rung %zu: %s is for the leader alone", number + 1, words[0]);
	if (!read_wait(words[n_words - 1], &rung->wait_ms))
		return error_argument(err, field,
		    "rung %zu: '%s' is no wait; write 500ms, 5s, 2m, 1h (24h at most) or forever",
		    number + 1, words[n_words - 1]);
	return 0;
}

int spawnd_ladder_parse(
    const char *text, struct spawnd_rung *rungs, size_t *ret_count, struct spawnd_error *err)
{
	struct spawnd_rung parsed[SPAWND_RUNGS_MAX];
	size_t count = 0;
	if (!text || !rungs || !ret_count)
		return error_argument(err, "ladder", "no ladder given");
	for (const char *at = text;; at++) {
		size_t size = strcspn(at, ",");
		if (count == SPAWND_RUNGS_MAX)
			return error_argument(err, "ladder", "more than %d rungs", SPAWND_RUNGS_MAX);
		if (read_rung(at, size, count, &parsed[count], err) < 0)
			return -1;
		count++;
		at += size;
		if (!*at)
			break;
	}
	memcpy(rungs, parsed, count * sizeof *rungs);
	*ret_count = count;
	return 0;
}

static void format_wait(uint64_t wait_ms, char *buffer, size_t size)
{
	if (wait_ms == SPAWND_FOREVER) {
		snprintf(buffer, size, "forever");
		return;
	}
	for (size_t i = 0; i < N_UNITS; i++)
		if (wait_ms && wait_ms % units[i].ms == 0) {
			snprintf(buffer, size, "%" PRIu64 "%s", wait_ms / units[i].ms, units[i].name);
			return;
		}
	snprintf(buffer, size, "0s");
}

void spawnd_rung_format(const struct spawnd_rung *rung, char *buffer, size_t size)
{
	static const char *const scopes[] = {"?", "leader", "group", "tree"};
	char number[16], wait[32];
	const char *what = "?";
	if (!buffer || !size)
		return;
	if (rung->action == SPAWND_CLOSE_STDIN)
		what = "close-stdin";
	else if (rung->action == SPAWND_CANCEL_NOTICE)
		what = "notice";
	else if (rung->action == SPAWND_SIGNAL) {
		what = ladder_text_signal_name(rung->signal);
		if (!what) {
			snprintf(number, sizeof number, "%d", rung->signal);
			what = number;
		}
	}
	int scope = rung->scope >= SPAWND_LEADER && rung->scope <= SPAWND_TREE ? rung->scope : 0;
	format_wait(rung->wait_ms, wait, sizeof wait);
	snprintf(buffer, size, "%s %s %s", what, scopes[scope], wait);
}
