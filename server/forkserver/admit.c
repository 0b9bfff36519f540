// What a launch may ask for, and what it will take.
#include "server/forkserver/admit.h"

#include <unistd.h>

#include "server/forkserver/root.h"

#define GROUPS_OWN 256

static bool is_listed(uint32_t id, uint32_t own, const uint32_t *list, uint32_t n)
{
	if (id == own)
		return true;
	for (uint32_t i = 0; i < n; i++)
		if (list[i] == id)
			return true;
	return false;
}

// A launch under the server's own uid may keep the server's own groups: without an identity it
// would have them anyway.
bool admit_identity(const struct root *root, const struct launch *launch)
{
	const struct link_config *config = &root->config;
	if (!launch->has_identity)
		return true;
	bool keeps_groups = launch->uid == geteuid() && admit_has_own_groups(launch);
	for (uint32_t i = 0; i < launch->n_groups && !keeps_groups; i++)
		if (!is_listed(launch->groups[i], getegid(), config->gids, config->n_gids))
			return false;
	return is_listed(launch->uid, geteuid(), config->uids, config->n_uids) &&
	       is_listed(launch->gid, getegid(), config->gids, config->n_gids);
}

// Is every group of a one of b?
static bool is_within(const uint32_t *a, uint32_t n_a, const uint32_t *b, uint32_t n_b)
{
	for (uint32_t i = 0; i < n_a; i++)
		if (n_b == 0 || !is_listed(a[i], b[0], b, n_b))
			return false;
	return true;
}

bool admit_has_own_groups(const struct launch *launch)
{
	gid_t own[GROUPS_OWN];
	int n = getgroups(GROUPS_OWN, own);
	return n >= 0 && is_within(own, (uint32_t)n, launch->groups, launch->n_groups) &&
	       is_within(launch->groups, launch->n_groups, own, (uint32_t)n);
}

uint32_t admit_count_fds(const struct launch *launch)
{
	uint32_t n = 1 + (launch->cancel_notice ? 1 : 0);
	for (int i = 0; i < 3; i++)
		n += launch->stdio[i].kind == LAUNCH_STDIO_PIPE;
	return n;
}
