// Takes in what the loop hands over: connections, requests, the root's messages, time.
#include "server/broker/broker.h"

#include <errno.h>
#include <stdlib.h>

#include <sodium.h>
#include <utlist.h>

#include "server/broker/call.h"
#include "server/broker/climb.h"
#include "server/broker/dispatch.h"
#include "server/broker/exits.h"
#include "server/broker/proctable.h"
#include "server/broker/sessions.h"
#include "server/broker/shutdown.h"
#include "server/broker/stdin_feed.h"
#include "server/broker/streams.h"
#include "server/common/log.h"
#include "server/link/check.h"

int broker_create(const struct config *config, const struct link_hello *hello, int arena_fd,
    struct loop *loop, struct endpoint *endpoint, struct forkserver_link *link,
    struct broker **ret_broker)
{
	if (sodium_init() < 0)
		return -ENOMEM;
	struct broker *broker = calloc(1, sizeof *broker);
	if (!broker)
		return -ENOMEM;
	broker->config = config;
	broker->hello = *hello;
	broker->arena_fd = arena_fd;
	broker->loop = loop;
	broker->endpoint = endpoint;
	broker->link = link;
	broker->next_process = hello->next_process;
	broker->next_session = hello->next_session;
	deadline_init(&broker->linger, NULL, broker);
	*ret_broker = broker;
	return 0;
}

static struct connection *find_connection(struct broker *broker, uint64_t id)
{
	struct connection *connection;
	HASH_FIND(hh, broker->connections, &id, sizeof id, connection);
	return connection;
}

static void add_connection(struct broker *broker, const struct endpoint_event *event)
{
	struct connection *connection = calloc(1, sizeof *connection);
	if (!connection) {
		log_error("no memory for a connection");
		return; // its requests are dropped
	}
	connection->id = event->connection;
	connection->uid = event->peer_uid;
	connection->pid = event->peer_pid;
	HASH_ADD(hh, broker->connections, id, sizeof connection->id, connection);
}

static void remove_connection(struct broker *broker, struct connection *connection)
{
	struct call *call, *next;
	DL_FOREACH_SAFE(connection->calls, call, next)
	call_connection_lost(call);
	sessions_connection_lost(broker, connection);
	HASH_DEL(broker->connections, connection);
	free(connection);
}

void broker_endpoint_event(struct broker *broker, const struct endpoint_event *event)
{
	struct connection *connection = find_connection(broker, event->connection);
	switch (event->kind) {
	case ENDPOINT_CONNECTED:
		add_connection(broker, event);
		break;
	case ENDPOINT_CLOSED:
		if (connection)
			remove_connection(broker, connection);
		break;
	case ENDPOINT_REQUEST:
		if (connection)
			dispatch(broker, connection, event->request);
		else
			endpoint_drop(broker->endpoint, event->request);
		break;
	case ENDPOINT_ANSWERED:
		if (event->sent)
			climb_answered(broker, event->token, event->at_ms);
		break;
	}
}

static void take_process_message(struct process *process, const struct link_header *message)
{
	const void *body = message;
	switch (message->kind) {
	case LINK_REFUSED:
		exits_start_refused(process, body);
		break;
	case LINK_STARTED:
		exits_started(process, body);
		break;
	case LINK_START_FAILED:
		exits_start_failed(process, body);
		break;
	case LINK_ACTED:
		climb_acted(process, body);
		break;
	case LINK_MEMBERS:
		climb_members(process, body);
		break;
	case LINK_LEADER_EXITED:
		exits_leader_exited(process, body);
		break;
	case LINK_TREE_LEFT:
		exits_tree_left(process);
		break;
	case LINK_TREE_EMPTY:
		exits_tree_empty(process, body);
		break;
	case LINK_STREAM_STATE:
		streams_state(process, body);
		break;
	case LINK_STDIN_STATE:
		stdin_feed_state(process, body);
		break;
	default:
		log_warning("the root sent a message of unknown kind %u", message->kind);
		break;
	}
}

void broker_link_message(struct broker *broker, const struct link_header *message)
{
	if (message->kind == LINK_SHUTDOWN) {
		shutdown_begin(broker, ((const struct link_shutdown *)message)->count);
		return;
	}
	// Every other message to the broker names its process first.
	const struct link_drop *named = (const void *)message;
	struct process *process = process_find(broker, named->process_id);
	if (process)
		take_process_message(process, message);
}

void broker_send(struct broker *broker, void *message)
{
	forkserver_link_send(broker->link, message, link_message_size(message), -1);
}

uint64_t broker_next_deadline(const struct broker *broker)
{
	return deadlines_next(&broker->deadlines);
}

void broker_run_deadlines(struct broker *broker, uint64_t now_ms)
{
	deadlines_run(&broker->deadlines, now_ms);
}

bool broker_finished(const struct broker *broker)
{
	return broker->finished;
}

void broker_destroy(struct broker *broker)
{
	if (!broker)
		return;
	struct connection *connection, *next;
	HASH_ITER(hh, broker->connections, connection, next)
	remove_connection(broker, connection);
	processes_destroy(broker);
	sessions_destroy(broker);
	deadlines_close(&broker->deadlines);
	free(broker);
}
