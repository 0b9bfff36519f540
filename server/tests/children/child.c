// A child that does what its arguments say, one after another. Each is a word, or word:number.
//
//   ignore:N   ignore signal N             report:N  on signal N write "signal N\n" to stdout
//   block      block every signal          quit:N    on signal N exit with code N
//   ready      write "ready\n"             say:TEXT  write TEXT and a newline
//   sleep:MS   sleep, signals apart        pause     sleep for ever
//   exit:N     end with code N             kill:N    send itself signal N
//   busy       use the processor for ever  close     close descriptors 0, 1 and 2
//   fork … --  a child does what stands before "--", the parent goes on after it
//   daemon … --  the same, by a grandchild in a session of its own
//   wait       wait until every child has ended
//   bomb:N     N chains of processes that fork, leave their session and end, without a pause
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(const char *text)
{
	char line[256];
	int size = snprintf(line, sizeof line, "%s\n", text);
	if (write(1, line, (size_t)size) != size)
		_exit(99);
}

static void report(int signal)
{
	char line[] = "signal 00\n";
	line[7] = (char)('0' + signal / 10);
	line[8] = (char)('0' + signal % 10);
	if (write(1, line, sizeof line - 1) < 0)
		_exit(99);
}

static void quit(int signal)
{
	_exit(signal);
}

static void handle(int signal, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	if (sigaction(signal, &action, NULL) != 0)
		_exit(98);
}

static void sleep_ms(long ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}

// Returns where the parent goes on: after the "--" that belongs to this fork.
static char **fork_off(char **verb, bool daemon)
{
	char **after = verb;
	for (int depth = 0; *after != NULL; after++) {
		if (strcmp(*after, "fork") == 0 || strcmp(*after, "daemon") == 0)
			depth++;
		else if (strcmp(*after, "--") == 0 && depth-- == 0)
			break;
	}
	pid_t pid = fork();
	if (pid == 0 && daemon) {
		if (setsid() < 0 || fork() != 0)
			_exit(0);
	}
	if (pid == 0) {
		*after = NULL;
		return verb;
	}
	if (pid < 0 || (daemon && waitpid(pid, NULL, 0) != pid))
		_exit(97);
	return after + 1;
}

// Ends by itself after 10 s, so that a test that fails takes no machine along.
static void bomb(long chains)
{
	time_t end = time(NULL) + 10;
	for (long i = 0; i < chains; i++) {
		if (fork() != 0)
			continue;
		while (time(NULL) < end) {
			setsid();
			if (fork() > 0) // where there is no room it tries again
				_exit(0);
		}
		_exit(0);
	}
}

static void obey(const char *verb, long n)
{
	sigset_t all;
	if (strcmp(verb, "ignore") == 0) {
		handle((int)n, SIG_IGN);
	} else if (strcmp(verb, "report") == 0) {
		handle((int)n, report);
	} else if (strcmp(verb, "quit") == 0) {
		handle((int)n, quit);
	} else if (strcmp(verb, "block") == 0) {
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, NULL);
	} else if (strcmp(verb, "sleep") == 0) {
		sleep_ms(n);
	} else if (strcmp(verb, "pause") == 0) {
		for (;;)
			pause();
	} else if (strcmp(verb, "exit") == 0) {
		_exit((int)n);
	} else if (strcmp(verb, "kill") == 0) {
		kill(getpid(), (int)n);
	} else if (strcmp(verb, "busy") == 0) {
		for (volatile unsigned long i = 0;; i++)
			continue;
	} else if (strcmp(verb, "close") == 0) {
		close(0), close(1), close(2);
	} else if (strcmp(verb, "bomb") == 0) {
		bomb(n);
	} else if (strcmp(verb, "wait") == 0) {
		while (wait(NULL) > 0 || errno == EINTR)
			continue;
	} else {
		_exit(96);
	}
}

int main(int argc, char **argv)
{
	(void)argc;
	for (char **verb = argv + 1; *verb != NULL;) {
		char *colon = strchr(*verb, ':');
		if (strcmp(*verb, "fork") == 0 || strcmp(*verb, "daemon") == 0) {
			verb = fork_off(verb + 1, **verb == 'd');
			continue;
		}
		if (colon != NULL)
			*colon = '\0';
		if (strcmp(*verb, "say") == 0 || strcmp(*verb, "ready") == 0)
			say(colon == NULL ? *verb : colon + 1);
		else
			obey(*verb, colon == NULL ? 0 : strtol(colon + 1, NULL, 10));
		verb++;
	}
	return 0;
}
