// Scope-exit cleanup: variables that release what they hold when their scope ends.
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

// A descriptor; -1 holds nothing. errno survives.
#define CLEANUP_FD CLEANUP(cleanup_fd)
// Memory of malloc.
#define CLEANUP_FREE CLEANUP(cleanup_free)

static inline void cleanup_fd(int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static inline void cleanup_free(void *pointer)
{
	void **memory = pointer;
	free(*memory);
	*memory = NULL;
}
