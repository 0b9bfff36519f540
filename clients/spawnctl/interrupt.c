// The thread that takes the signals sent to spawnctl.
#include "clients/spawnctl/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

static bool is_ignored(int signal)
{
	struct sigaction action;

	return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

// nohup and background jobs of plain shells ignore signals: so do we then.
static void choose_signals(int also_term, sigset_t *ret_set)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

	sigemptyset(ret_set);
	for (size_t i = 0; i < (also_term ? 3 : 1); i++)
		if (!is_ignored(signals[i]))
			sigaddset(ret_set, signals[i]);
}

static void *watch(void *argument)
{
	struct interrupt *interrupt = argument;
	struct pollfd polled[] = {
	    {.fd = interrupt->over_fd, .events = POLLIN},
	    {.fd = interrupt->signal_fd, .events = POLLIN},
	    {.fd = interrupt->countdown->changed_fd, .events = POLLIN},
	};

	for (;;) {
		struct signalfd_siginfo info;
		int due_ms = countdown_tick(interrupt->countdown);

		if (poll(polled, 3, due_ms) < 0)
			continue; // EINTR and ENOMEM: try again
		if (polled[0].revents)
			return NULL;
		if (polled[1].revents &&
		    read(interrupt->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
			interrupt->caught(interrupt->user, (int)info.ssi_signo);
	}
}

int interrupt_start(struct interrupt *interrupt, int also_term, struct countdown *countdown,
    void (*caught)(void *user, int signal), void *user)
{
	sigset_t set;
	int rc;

	*interrupt = (struct interrupt){.countdown = countdown, .caught = caught, .user = user};
	choose_signals(also_term, &set);
	rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (rc != 0)
		return -rc;
	interrupt->over_fd = eventfd(0, EFD_CLOEXEC);
	if (interrupt->over_fd < 0)
		return -errno;
	interrupt->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (interrupt->signal_fd < 0) {
		rc = -errno;
		close(interrupt->over_fd);
		return rc;
	}
	rc = pthread_create(&interrupt->thread, NULL, watch, interrupt);
	if (rc != 0) {
		close(interrupt->signal_fd);
		close(interrupt->over_fd);
	}
	return -rc;
}

void interrupt_stop(struct interrupt *interrupt)
{
	uint64_t one = 1;
	ssize_t written = write(interrupt->over_fd, &one, sizeof one);

	(void)written; // an empty eventfd takes 1
	pthread_join(interrupt->thread, NULL);
	close(interrupt->signal_fd);
	close(interrupt->over_fd);
}
