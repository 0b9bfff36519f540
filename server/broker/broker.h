// The broker's whole state, and the entries through which its loop drives it. Everything here runs
// on one thread; nng's threads stay behind the endpoint.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <uthash.h>

#include "server/broker/config.h"
#include "server/broker/deadlines.h"
#include "server/broker/endpoint.h"
#include "server/broker/forkserver_link.h"
#include "server/broker/loop.h"

struct call;
struct process;
struct session;

// One open connection of a client.
struct connection {
	uint64_t id;
	uid_t uid;
	pid_t pid;
	struct call *calls; // those that have not been answered
	uint64_t *sessions; // ids of the sessions that it carried
	uint32_t n_sessions;
	UT_hash_handle hh;
};

// One user of the server.
struct principal {
	uid_t uid;
	uint32_t n_retained; // records whose session has ended
	UT_hash_handle hh;
};

struct broker {
	const struct config *config;
	struct link_hello hello;
	int arena_fd; // the rings, read-only
	struct loop *loop;
	struct endpoint *endpoint;
	struct forkserver_link *link;
	struct deadlines deadlines;

	struct connection *connections;  // by id
	struct session *sessions;        // by id, open ones alone
	struct process *processes_by_id; // in order of their ids
	struct process *processes_by_key;
	struct process *processes_by_name; // live ones that have a name
	struct process *alive;             // starting, or with a tree that is not empty
	struct process *retained;          // ended, as their sessions are; the oldest first
	struct principal *principals;
	uint32_t next_process, next_session;
	uint64_t act_serial;

	uint32_t n_alive;       // processes starting or with a tree that is not empty
	uint32_t n_parked;      // calls that wait for something other than the root
	uint64_t n_started;     // since the start
	size_t unproved_bytes;  // of output, copied for calls that wait for its proof
	uint32_t n_answers;     // handed to the endpoint, not yet written
	uint32_t shutdown;      // how many times the server was asked to end
	struct deadline linger; // answers of the shutdown are given time to leave
	bool finished;
};

// Takes nothing over: the loop, the endpoint, the link and the arena stay the caller's, and must
// live longer. 0 or -ENOMEM.
int broker_create(const struct config *config, const struct link_hello *hello, int arena_fd,
    struct loop *loop, struct endpoint *endpoint, struct forkserver_link *link,
    struct broker **ret_broker);
void broker_destroy(struct broker *broker); // NULL does nothing

void broker_endpoint_event(struct broker *broker, const struct endpoint_event *event);
void broker_link_message(struct broker *broker, const struct link_header *message);

// When broker_run_deadlines has something to do; DEADLINE_NEVER: not by time.
uint64_t broker_next_deadline(const struct broker *broker);
void broker_run_deadlines(struct broker *broker, uint64_t now_ms);

// Every ladder of the shutdown is over and LINK_STOPPED was sent: close the endpoint and exit 0.
bool broker_finished(const struct broker *broker);

// Sends to the root as much of the message as it says that it uses; a root that is gone is found by
// the loop.
void broker_send(struct broker *broker, void *message);
