// How a tree is told from all other processes: tags.
#include "server/forkserver/contain.h"

#include <errno.h>

#include "server/common/log.h"
#include "server/forkserver/root.h"
#include "server/forkserver/walk.h"

#define LOW_BITS 32

// A server that no other server contains may give every number a range of 2^32 tags: the tag itself
// is the highest, and what a contained server gives lies below it in the same range. A contained
// server gives single tags downwards. One that is contained twice gives them upwards from a random
// place, so that the two hardly ever meet.
void contain_open(struct contain *contain, uint64_t own_hard_limit, uint32_t random)
{
	uint64_t range_begin = own_hard_limit & ~(uint64_t)UINT32_MAX;
	*contain = (struct contain){.first = 1, .last = 0};
	if (own_hard_limit == UINT64_MAX) {
		contain->stride_bits = LOW_BITS;
		contain->first = (1ull << LOW_BITS) | UINT32_MAX;
		contain->last = UINT64_MAX - (1ull << LOW_BITS);
	} else if ((uint32_t)own_hard_limit == UINT32_MAX && range_begin > 0) {
		contain->first = range_begin + 1;
		contain->last = own_hard_limit - 1;
	} else if (own_hard_limit > range_begin + 2) {
		uint64_t room = (own_hard_limit - range_begin) / 2;
		contain->first = range_begin + 1 + random % room;
		contain->last = own_hard_limit - 1;
	}
}

static bool is_downward(const struct contain *contain)
{
	return contain->stride_bits == 0 && (uint32_t)(contain->last + 1) == UINT32_MAX;
}

uint64_t contain_tag(const struct contain *contain, uint32_t number)
{
	uint64_t tag;
	if (contain->first > contain->last || number == 0)
		return 0;
	if (contain->stride_bits > 0)
		tag = ((uint64_t)number << contain->stride_bits) | UINT32_MAX;
	else if (is_downward(contain))
		tag = contain->last + 1 - number;
	else
		tag = contain->first + number;
	return tag >= contain->first && tag <= contain->last ? tag : 0;
}

uint32_t contain_number(const struct contain *contain, uint64_t tag)
{
	if (contain->first > contain->last || tag > contain->last)
		return 0;
	if (contain->stride_bits > 0)
		return (uint32_t)(tag >> contain->stride_bits);
	if (tag < contain->first)
		return 0;
	if (is_downward(contain))
		return (uint32_t)(contain->last + 1 - tag);
	return (uint32_t)(tag - contain->first);
}

void contain_prepare(struct root *root, struct slot *slot)
{
	slot->tag = contain_tag(&root->contain, (uint32_t)slot->process_id);
	slot->proof_spoiled = slot->tag == 0;
}

int contain_owner(struct root *root, pid_t pid, struct slot **ret_owner)
{
	uint64_t tag;
	int r = walk_read_tag(pid, &tag);
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EINTR)
		return r;
	// What hides its limits for good is of unknown origin.
	uint32_t number = r < 0 ? 0 : contain_number(&root->contain, tag);
	*ret_owner = number == 0 ? NULL : slots_find(&root->slots, root->epoch << 32 | number);
	return 0;
}

void contain_spoil(struct root *root, pid_t pid)
{
	struct slot *slot;
	uint32_t n = ++root->contain.unknown;
	if ((n & (n - 1)) == 0) // of thousands not each
		log_warning("adopted process %d belongs to no known tree: until it is gone, and for every "
		            "tree alive now, an empty tree is not proved",
		    (int)pid);
	TAILQ_FOREACH(slot, &root->slots.all, all_queue)
	slot->proof_spoiled = true;
}

uint32_t contain_proof(const struct slot *slot)
{
	return slot->proof_spoiled ? LINK_PROOF_NONE : LINK_PROOF_SUBREAPER;
}
