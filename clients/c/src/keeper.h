// The client's own thread: connects, shows the server after each reconnect that the session lives,
// renews it on tcp, resolves spawns whose outcome is not known, and at the end takes all down.
#pragma once

#include "clients/c/src/client_state.h"

// Starts the thread; it holds a reference of its own. 0 or negative errno.
int keeper_start(struct spawnd_client *client);

// Waits until the first connection was made or has failed: 0 or the result of call_socket_dial;
// -ETIMEDOUT.
int keeper_wait_dialled(struct spawnd_client *client, uint64_t deadline_us);

// Hands over a Spawn whose outcome is not known: it is cancelled by its key until an answer says
// how it went, and only then does the floor pass it. Takes over the reference. (SPN-2, IDS-11)
void keeper_resolve(struct spawnd_client *client, struct session *session, uint64_t request_id);

// Frees what was handed over. For the last holder of the client.
void keeper_forget(struct spawnd_client *client);

// The client is closing and no call is under way: takes the socket down, waiting for it at most
// until deadline_us.
void keeper_stop(struct spawnd_client *client, uint64_t deadline_us);
