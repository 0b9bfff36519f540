// spawnd: reads the few options that the root needs, then becomes guard and root.
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/common/fd.h"
#include "server/common/log.h"
#include "server/common/options.h"
#include "server/common/os.h"
#include "server/forkserver/guard.h"
#include "server/forkserver/notify.h"
#include "server/forkserver/root.h"

#define EXIT_USAGE 2

static void print_help(void)
{
	fputs("usage: spawnd [OPTION]...\n"
	      "Starts processes for its clients, cancels them, and tells how they ended.\n\n",
	    stdout);
	option_print_help(stdout);
	fputs(
	    "  --broker PATH                 the program spawnd-broker to run (default: the installed "
	    "one,\n"
	    "                                else the one in the build folder, else $SPAWND_BROKER)\n\n"
	    "Once it serves it writes the line \"spawnd ready URL\" to standard output.\n"
	    "TERM or INT stops every process by its ladder, then the server; a second one at once.\n",
	    stdout);
}

struct options {
	const char *broker; // NULL: to be found
	enum log_format log_format;
	char **broker_argv; // everything but --broker, which is no business of the broker's
};

// If argv[*index] is the option (with "=" or its value in the next word), returns the value and
// moves *index to the last word of it. NULL: another option. Ends the program if the value lacks.
static const char *take_value(char **argv, int *index, const char *option)
{
	size_t length = strlen(option);
	const char *word = argv[*index];
	if (strncmp(word, option, length) != 0 || (word[length] != '\0' && word[length] != '='))
		return NULL;
	if (word[length] == '=')
		return word + length + 1;
	if (!argv[*index + 1]) {
		fprintf(stderr, "spawnd: %s needs a value\n", option);
		exit(EXIT_USAGE);
	}
	return argv[++*index];
}

static void take_log_format(struct options *options, const char *value)
{
	if (log_parse_format(value, &options->log_format) == 0)
		return;
	fprintf(stderr, "spawnd: --log-format is text or json, not %s\n", value);
	exit(EXIT_USAGE);
}

// Ends the program where it was only asked for words.
static void answer_questions(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0)
			print_help();
		else if (strcmp(argv[i], "--version") == 0)
			puts("spawnd " SPAWND_VERSION);
		else
			continue;
		exit(0);
	}
}

// Options that are not known here are the broker's to judge.
static void parse(int argc, char **argv, struct options *ret_options)
{
	struct options options = {.log_format = LOG_FORMAT_TEXT};
	int kept = 1;
	options.broker_argv = calloc((size_t)argc + 1, sizeof(char *));
	if (!options.broker_argv)
		exit(1);
	options.broker_argv[0] = (char *)(uintptr_t) "spawnd-broker";
	for (int i = 1; i < argc; i++) {
		const char *value;
		int first = i;
		if ((value = take_value(argv, &i, "--broker"))) {
			options.broker = value;
			continue;
		}
		if ((value = take_value(argv, &i, "--log-format")))
			take_log_format(&options, value);
		else if (!take_value(argv, &i, "--listen"))
			take_value(argv, &i, "--config");
		while (first <= i)
			options.broker_argv[kept++] = argv[first++];
	}
	*ret_options = options;
}

static const char *find_broker(const struct options *options)
{
	static const char *const beside[] = {
	    "../" SPAWND_LIBEXEC_FROM_PREFIX "/spawnd-broker", "../broker/spawnd-broker"};
	static char path[PATH_MAX + 64];
	char own[PATH_MAX];
	if (options->broker)
		return options->broker;
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	own[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(own, '/');
	for (size_t i = 0; slash && i < sizeof(beside) / sizeof(beside[0]); i++) {
		snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - own), own, beside[i]);
		if (access(path, X_OK) == 0)
			return path;
	}
	return getenv("SPAWND_BROKER");
}

// What the starter left: blocked or ignored signals, stray descriptors. An ignored SIGCHLD would
// even let children be reaped by nobody.
static int clean_up_inheritance(void)
{
	sigset_t all;
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return -errno;
	int r = fd_fill_standard();
	if (r == 0)
		r = os_close_from(3, 0);
	return r;
}

static int run(const struct options *options, const char *broker)
{
	struct notify notify;
	struct root_setup setup = {.broker_path = broker, .broker_argv = options->broker_argv};
	if (getrlimit(RLIMIT_NOFILE, &setup.nofile) < 0)
		return -errno;
	int r = guard_prepare();
	if (r == 0)
		r = notify_open(&notify, &setup.guard_channel);
	if (r < 0)
		return r;
	setup.guard_pid = getpid();
	setup.guard_pidfd = os_pidfd_open(setup.guard_pid);
	if (setup.guard_pidfd < 0)
		return setup.guard_pidfd;
	pid_t root_pid = fork();
	if (root_pid < 0)
		return -errno;
	if (root_pid == 0) {
		close(notify.fd);
		exit(root_run(&setup));
	}
	close(setup.guard_channel);
	close(setup.guard_pidfd);
	if (chdir("/") < 0)
		log_warning("the guard stays in its directory: %m");
	exit(guard_run(root_pid, &notify));
}

int main(int argc, char **argv)
{
	static struct options options; // lives as long as the program
	answer_questions(argc, argv);
	parse(argc, argv, &options);
	int r = clean_up_inheritance();
	log_open("spawnd", options.log_format, LOG_LEVEL_INFO);
	if (r == 0) {
		const char *broker = find_broker(&options);
		if (!broker || access(broker, X_OK) < 0) {
			log_error("there is no program spawnd-broker%s%s: give --broker PATH",
			    broker ? " at " : "", broker ? broker : "");
			return EXIT_USAGE;
		}
		r = run(&options, broker);
	}
	log_error("cannot start: %s", strerror(-r));
	return 1;
}
