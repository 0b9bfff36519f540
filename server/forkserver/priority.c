// Real-time priority for the root while it fights a bomb.
#include "server/forkserver/priority.h"

#include "server/common/os.h"
#include "server/forkserver/root.h"

void priority_open(struct priority *priority)
{
	priority->allowed = os_realtime(1) == 0;
	if (priority->allowed)
		os_realtime(0);
}

void priority_want(struct root *root, enum priority_reason reason, bool wanted)
{
	struct priority *priority = &root->priority;
	if (wanted)
		priority->reasons |= reason;
	else
		priority->reasons &= ~(uint32_t)reason;
	bool on = priority->allowed && priority->reasons != 0;
	if (on != priority->on && os_realtime(on) == 0)
		priority->on = on;
}
