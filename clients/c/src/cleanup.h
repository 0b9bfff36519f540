// Scope-exit cleanup: variables that release what they hold when their scope ends.
#pragma once

#include <stdlib.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

// Memory of malloc.
#define CLEANUP_FREE CLEANUP(cleanup_free)

static inline void cleanup_free(void *pointer)
{
	void **memory = pointer;
	free(*memory);
	*memory = NULL;
}
