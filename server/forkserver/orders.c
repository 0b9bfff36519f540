// Receives the broker's messages and has them carried out.
#include "server/forkserver/orders.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "server/common/cleanup.h"
#include "server/common/log.h"
#include "server/forkserver/notify.h"
#include "server/forkserver/root.h"
#include "server/forkserver/stdin.h"
#include "server/link/check.h"
#include "server/link/socket.h"

#define MESSAGES_A_TURN 128

static int take_config(struct root *root, const struct link_config *order)
{
	if (root->configured)
		return memcmp(order, &root->config, sizeof(*order)) == 0 ? 0 : -EPROTO;
	if (order->version != LINK_VERSION)
		return -EPROTONOSUPPORT;
	int r = root_configure(root, order);
	if (r < 0)
		return r;
	struct link_hello m = {.header = {.kind = LINK_HELLO, .size = sizeof(m)},
	    .version = LINK_VERSION,
	    .max_processes = root->max_processes,
	    .max_records = root->slots.max,
	    .realtime_kill = root->priority.allowed,
	    .epoch = root->epoch,
	    .next_process = root->last_number + 1,
	    .next_session = root->slots.highest_session + 1,
	    .root_pid = (uint32_t)root->pid,
	    .guard_pid = (uint32_t)root->setup->guard_pid,
	    .started_ms = root->started_ms};
	return link_send(root->outbox.fd, &m, root->rings.read_only_fd);
}

static void refuse_start(struct root *root, const struct link_start *order, int error)
{
	struct link_refused m = {.header = {.kind = LINK_REFUSED, .size = sizeof(m)},
	    .process_id = order->process_id,
	    .key = order->key,
	    .error = error};
	outbox_answer(root, &m);
}

static void take_start(struct root *root, const struct link_start *order, int fd)
{
	int r = start_order(root, order, fd);
	if (r < 0)
		refuse_start(root, order, -r);
}

// A record may go only once nothing of its process is left. One whose start failed may still be
// dying: it goes when it is dead.
static void take_drop(struct root *root, struct slot *slot)
{
	if (slot->state == SLOT_FAILED && slot->pidfd >= 0)
		slot->drop_wanted = true;
	else if (slot->state == SLOT_FAILED || slot->state == SLOT_EMPTY)
		root_forget(root, slot);
}

static void take_tombstone(struct root *root, const struct link_tombstone *order)
{
	if (order->drop)
		slots_drop_tombstone(&root->slots, order->key);
	else if (slots_keep_tombstone(&root->slots, order->key) < 0)
		log_error("no room for a tombstone");
}

static void take_session(struct root *root, const struct link_session_keepsake *order)
{
	if (slots_keep_session(&root->slots, order->session_id, order->keepsake, order->keepsake_size) <
	    0)
		log_error("no room for a session's keepsake");
}

// Orders about one process that exists.
static void take_for_slot(struct root *root, struct slot *slot, const void *message)
{
	const struct link_header *header = message;
	const struct link_keepsake *keepsake = message;
	const struct link_stream_consumed *consumed = message;
	const struct link_stream_policy *policy = message;
	switch (header->kind) {
	case LINK_DROP:
		take_drop(root, slot);
		break;
	case LINK_KEEPSAKE:
		slot_keep(slot, keepsake->keepsake, keepsake->keepsake_size);
		break;
	case LINK_STREAM_WATCH:
		pipes_watch(root, slot, message);
		break;
	case LINK_STREAM_CONSUMED:
		pipes_consumed(root, slot, consumed->stream, consumed->offset);
		break;
	case LINK_STREAM_POLICY:
		pipes_set_policy(root, slot, policy->policy);
		break;
	default:
		stdin_order(root, slot, message);
	}
}

static int carry_out(struct root *root, const void *message, int fd)
{
	const struct link_header *header = message;
	const struct link_drop *about = message; // process_id lies there in each of these
	struct slot *slot;
	if (!root->configured && header->kind != LINK_CONFIG)
		return -EPROTO;
	switch (header->kind) {
	case LINK_CONFIG:
		return take_config(root, message);
	case LINK_READY:
		keeper_on_ready(root, ((const struct link_ready *)message)->url);
		return 0;
	case LINK_START:
		take_start(root, message, fd);
		return 0;
	case LINK_ACT:
		tree_order_act(root, message);
		return 0;
	case LINK_LOOK:
		tree_order_look(root, message);
		return 0;
	case LINK_SESSION_KEEPSAKE:
		take_session(root, message);
		return 0;
	case LINK_TOMBSTONE:
		take_tombstone(root, message);
		return 0;
	case LINK_PONG:
		keeper_on_pong(root, ((const struct link_pong *)message)->serial);
		return 0;
	case LINK_STOPPED:
		stop_on_broker_stopped(root);
		return 0;
	default:
		slot = slots_find(&root->slots, about->process_id);
		if (slot)
			take_for_slot(root, slot, message);
		return 0;
	}
}

static int receive_one(struct root *root)
{
	static _Alignas(uint64_t) unsigned char buffer[LINK_MESSAGE_MAX];
	const struct link_header *header = (const void *)buffer;
	CLEANUP_FD int fd = -1;
	size_t size = 0;
	int r = link_receive(root->outbox.fd, buffer, sizeof(buffer), &size, &fd);
	if (r == -EAGAIN)
		return r;
	bool no_room = r == -EMFILE;
	if (r == 0 || no_room)
		r = link_check(buffer, size, LINK_TO_ROOT);
	if (r == 0 && no_room && header->kind == LINK_START) {
		refuse_start(root, (const void *)buffer, EAGAIN);
		return 0;
	}
	if (r == 0 && link_carries_fd(header->kind) != (fd >= 0))
		r = -EBADMSG;
	if (r == 0) {
		root->keeper.heard = true;
		r = carry_out(root, buffer, fd);
	}
	if (r < 0 && r != -EPIPE)
		log_error("the broker sent what it may not: %s (kind %u)", strerror(-r),
		    size >= sizeof(*header) ? header->kind : 0);
	return r;
}

void orders_receive(struct root *root)
{
	for (int i = 0; i < MESSAGES_A_TURN && outbox_takes_orders(&root->outbox); i++) {
		if (root->outbox.fd < 0 || root->outbox.gone)
			return;
		int r = receive_one(root);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			root->outbox.gone = true;
			return;
		}
	}
}
