// Fuzz target: the check of launch files. What passes must hold nothing but strings that end
// inside.
#include <stdlib.h>
#include <string.h>

#include "server/link/launch_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_lie_inside(const struct launch_map *map, const char *text)
{
	const char *begin = map->base, *end = begin + map->size;
	if (text < begin + sizeof(struct launch) || text >= end ||
	    !memchr(text, 0, (size_t)(end - text)))
		abort();
}

static void check_all(const struct launch_map *map)
{
	const struct launch *launch = map->launch;
	for (uint32_t i = 0; i < launch->n_argv; i++)
		must_lie_inside(map, map->argv[i]);
	for (uint32_t i = 0; i < launch->n_env; i++)
		must_lie_inside(map, map->env[i]);
	for (uint32_t i = 0; i < launch->n_candidates; i++)
		must_lie_inside(map, map->candidates[i]);
	if (map->argv[launch->n_argv] || map->env[launch->n_env])
		abort();
	must_lie_inside(map, map->cwd);
	for (int i = 0; i < 3; i++)
		if (map->paths[i])
			must_lie_inside(map, map->paths[i]);
	if (launch->n_groups > LAUNCH_GROUPS_MAX || launch->n_rlimits > LAUNCH_RLIMITS_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct launch_map map;
	void *base = malloc(size ? size : 1);
	if (!base)
		return 0;
	memcpy(base, data, size);
	// An input cannot guess its own length: set it, if there is room, so that more is reached.
	if (size >= sizeof(struct launch))
		((struct launch *)base)->size = size;
	if (launch_resolve(base, size, &map) == 0)
		check_all(&map);
	free(base);
	return 0;
}
