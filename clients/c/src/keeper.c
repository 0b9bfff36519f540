// The client's own thread.
#include "clients/c/src/keeper.h"

#include "clients/c/src/cancel.h"
#include "clients/c/src/clock.h"
#include "clients/c/src/invoke.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define DIAL_PAUSE_US    UINT64_C(50000)
#define KEEP_ALIVE_MS    UINT64_C(5000)
#define RESOLVE_MS       UINT64_C(10000)
#define RESOLVE_PAUSE_US UINT64_C(1000000)

static void dial(struct spawnd_client *client)
{
	int result;
	while ((result = call_socket_dial(client->socket)) == -EAGAIN && !client_is_closing(client))
		wake_wait(&client->keeper_wake, clock_now_us() + DIAL_PAUSE_US, -1);
	pthread_mutex_lock(&client->lock);
	client->dialled = true;
	client->dial_result = result;
	pthread_cond_broadcast(&client->changed);
	pthread_mutex_unlock(&client->lock);
}

// On a new connection the server must see the session soon, or its lease runs out. (SES-5)
static void keep_alive(struct spawnd_client *client)
{
	struct use use;
	if (client_enter(client, &use, false, NULL) < 0)
		return;
	Spawn__V1__KeepAliveRequest request = SPAWN__V1__KEEP_ALIVE_REQUEST__INIT;
	struct invocation invocation = {.method = "KeepAlive",
	    .payload = &request.base,
	    .deadline_us = clock_now_us() + clock_us_of_ms(KEEP_ALIVE_MS)};
	Spawn__V1__Response *response;
	if (invoke(&use, &invocation, &response, NULL, NULL) == 0)
		decode_free(&response->base);
	client_leave(&use);
}

static struct unresolved *take_unresolved(struct spawnd_client *client)
{
	pthread_mutex_lock(&client->lock);
	struct unresolved *first = client->unresolved;
	if (first)
		client->unresolved = first->next;
	pthread_mutex_unlock(&client->lock);
	return first;
}

static void put_unresolved(struct spawnd_client *client, struct unresolved *unresolved)
{
	pthread_mutex_lock(&client->lock);
	unresolved->next = client->unresolved;
	client->unresolved = unresolved;
	pthread_mutex_unlock(&client->lock);
}

static void drop_unresolved(struct spawnd_client *client, struct unresolved *unresolved)
{
	session_drop(client, unresolved->session);
	free(unresolved);
}

void keeper_forget(struct spawnd_client *client)
{
	struct unresolved *unresolved;
	while ((unresolved = take_unresolved(client)) != NULL)
		drop_unresolved(client, unresolved);
}

// True where it is done with, one way or the other.
static bool resolve(struct spawnd_client *client, const struct unresolved *unresolved)
{
	struct use use;
	if (client_enter(client, &use, false, NULL) < 0)
		return false;
	uint64_t deadline_us = clock_now_us() + clock_us_of_ms(RESOLVE_MS);
	bool resolved =
	    cancel_spawn(&use, unresolved->session, unresolved->request_id, deadline_us, NULL);
	client_leave(&use);
	return resolved;
}

// Returns when to come again.
static uint64_t resolve_all(struct spawnd_client *client)
{
	struct unresolved *left = NULL, *unresolved;
	while ((unresolved = take_unresolved(client)) != NULL) {
		if (resolve(client, unresolved)) {
			drop_unresolved(client, unresolved);
		} else {
			unresolved->next = left;
			left = unresolved;
		}
	}
	if (!left)
		return CLOCK_NEVER;
	while (left) {
		struct unresolved *next = left->next;
		put_unresolved(client, left);
		left = next;
	}
	return clock_now_us() + RESOLVE_PAUSE_US;
}

// On tcp only requests renew the lease: one is due a third of it after the last. CLOCK_NEVER
// elsewhere. (SES-6)
static uint64_t renewal_due_us(struct spawnd_client *client)
{
	uint64_t due_us = CLOCK_NEVER;
	pthread_mutex_lock(&client->lock);
	if (client->remote && client->session && !client->session->over)
		due_us = client->last_sent_us + clock_us_of_ms(client->session->lease_ms) / 3;
	pthread_mutex_unlock(&client->lock);
	return due_us;
}

static bool has_session(struct spawnd_client *client)
{
	pthread_mutex_lock(&client->lock);
	bool has = client->session && !client->session->over;
	pthread_mutex_unlock(&client->lock);
	return has;
}

static void keep(struct spawnd_client *client)
{
	unsigned n_seen = 1, n_open;
	while (!client_is_closing(client)) {
		unsigned n_connections = call_socket_connections(client->socket, &n_open);
		bool reconnected = n_connections > n_seen;
		n_seen = n_connections > n_seen ? n_connections : n_seen;
		if (has_session(client) && (reconnected || renewal_due_us(client) <= clock_now_us()))
			keep_alive(client);
		uint64_t again_us = resolve_all(client);
		if (!client_is_closing(client))
			wake_wait(&client->keeper_wake, clock_min_us(again_us, renewal_due_us(client)), -1);
	}
}

static bool may_take_down(struct spawnd_client *client)
{
	pthread_mutex_lock(&client->lock);
	bool may = client->keeper_may_end;
	pthread_mutex_unlock(&client->lock);
	return may;
}

static void *keeper_main(void *arg)
{
	struct spawnd_client *client = arg;
	dial(client);
	if (client->dial_result == 0)
		keep(client);
	while (!may_take_down(client))
		wake_wait(&client->keeper_wake, CLOCK_NEVER, -1);
	call_socket_abort(client->socket);
	call_socket_close(client->socket);
	pthread_mutex_lock(&client->lock);
	client->keeper_done = true;
	pthread_cond_broadcast(&client->changed);
	pthread_mutex_unlock(&client->lock);
	client_release(client);
	return NULL;
}

int keeper_start(struct spawnd_client *client)
{
	pthread_attr_t detached;
	pthread_t thread;
	sigset_t all, before;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	// The program's signals are for the program's threads.
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	client->n_references++;
	int result = -pthread_create(&thread, &detached, keeper_main, client);
	if (result < 0)
		client->n_references--;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&detached);
	return result;
}

static void wait_for(struct spawnd_client *client, const bool *fact, uint64_t deadline_us)
{
	struct timespec until = clock_timespec(deadline_us);
	while (!*fact && pthread_cond_timedwait(&client->changed, &client->lock, &until) != ETIMEDOUT)
		;
}

int keeper_wait_dialled(struct spawnd_client *client, uint64_t deadline_us)
{
	pthread_mutex_lock(&client->lock);
	wait_for(client, &client->dialled, deadline_us);
	int result = client->dialled ? client->dial_result : -ETIMEDOUT;
	pthread_mutex_unlock(&client->lock);
	return result;
}

void keeper_resolve(struct spawnd_client *client, struct session *session, uint64_t request_id)
{
	struct unresolved *unresolved = calloc(1, sizeof *unresolved);
	if (!unresolved) {
		// The floor stays below it for the session's life, and so the server's answer stays too.
		session_drop(client, session);
		return;
	}
	unresolved->session = session;
	unresolved->request_id = request_id;
	put_unresolved(client, unresolved);
	wake_ring(&client->keeper_wake);
}

void keeper_stop(struct spawnd_client *client, uint64_t deadline_us)
{
	pthread_mutex_lock(&client->lock);
	bool dialling = !client->dialled;
	pthread_mutex_unlock(&client->lock);
	if (dialling)
		call_socket_abort(client->socket);
	pthread_mutex_lock(&client->lock);
	client->keeper_may_end = true;
	pthread_mutex_unlock(&client->lock);
	wake_ring(&client->keeper_wake);
	pthread_mutex_lock(&client->lock);
	wait_for(client, &client->keeper_done, deadline_us);
	pthread_mutex_unlock(&client->lock);
}
