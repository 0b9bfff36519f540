// Standard input pipes: bytes pass through, none is kept.
#include "server/forkserver/stdin.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "server/forkserver/loop.h"
#include "server/forkserver/root.h"

// The loop tells of an error in any case, once: that is how the loss of all readers shows.
static void listen_for(struct root *root, struct slot *slot, uint32_t events)
{
	loop_change(root, slot->stdin_fd, events | EPOLLONESHOT, loop_slot_tag(root, LOOP_STDIN, slot));
}

int stdin_begin(struct root *root, struct slot *slot, int fd)
{
	slot->stdin_fd = fd;
	slot->stdin_piped = true;
	return loop_watch(root, fd, EPOLLONESHOT, loop_slot_tag(root, LOOP_STDIN, slot));
}

static void break_off(struct root *root, struct slot *slot)
{
	slot->stdin_broken = true;
	root_close_fd(root, slot, &slot->stdin_fd);
	outbox_mark(root, slot, UNSENT_STDIN_STATE);
}

void stdin_order(struct root *root, struct slot *slot, const struct link_stdin *order)
{
	outbox_mark(root, slot, UNSENT_STDIN_STATE);
	if (slot->stdin_fd < 0 || order->offset != slot->stdin_offset)
		return;
	uint32_t taken = 0;
	while (taken < order->data_size) {
		ssize_t n = write(slot->stdin_fd, order->data + taken, order->data_size - taken);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			slot->stdin_offset += taken;
			break_off(root, slot);
			return;
		}
		taken += (uint32_t)n;
	}
	slot->stdin_offset += taken;
	slot->stdin_stuck = taken < order->data_size;
	if (slot->stdin_stuck)
		listen_for(root, slot, EPOLLOUT);
	else if (order->close)
		root_close_fd(root, slot, &slot->stdin_fd);
}

bool stdin_close(struct root *root, struct slot *slot)
{
	if (slot->stdin_fd < 0)
		return false;
	root_close_fd(root, slot, &slot->stdin_fd);
	outbox_mark(root, slot, UNSENT_STDIN_STATE);
	return true;
}

void stdin_on_event(struct root *root, struct slot *slot, uint32_t events)
{
	if (slot->stdin_fd < 0)
		return;
	if (events & (EPOLLERR | EPOLLHUP)) {
		break_off(root, slot);
		return;
	}
	slot->stdin_stuck = false;
	outbox_mark(root, slot, UNSENT_STDIN_STATE);
	listen_for(root, slot, 0);
}
