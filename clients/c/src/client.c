// Connecting and closing, and how every other function comes in and goes out.
#include "clients/c/src/client_state.h"

#include "clients/c/src/clock.h"
#include "clients/c/src/error.h"
#include "clients/c/src/keeper.h"
#include "clients/c/src/known.h"
#include "clients/c/src/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CLOSE_SESSION_US UINT64_C(1000000)
#define CLOSE_SOCKET_US  UINT64_C(900000)
#define NAME_BYTES_MAX   128
#define TOKEN_BYTES_MAX  64
#define LEASE_MIN_MS     UINT64_C(1000)
#define LEASE_MAX_MS     UINT64_C(3600000)

/* ---- in and out ------------------------------------------------------------------------ */

int client_enter(
    struct spawnd_client *client, struct use *use, bool polled, struct spawnd_error *err)
{
	if (!client)
		return error_argument(err, "client", "no client");
	int result = wake_init(&use->wake, polled);
	if (result < 0)
		return error_set(err, SPAWND_E_MEMORY, -result, "no descriptor left to wait with");
	use->client = client;
	use->previous = NULL;
	pthread_mutex_lock(&client->lock);
	bool closing = client->closing;
	if (!closing) {
		use->next = client->uses;
		if (use->next)
			use->next->previous = use;
		client->uses = use;
	}
	pthread_mutex_unlock(&client->lock);
	if (!closing)
		return 0;
	wake_free(&use->wake);
	return error_set(err, SPAWND_E_CLOSED, 0, "the client is closed");
}

void client_leave(struct use *use)
{
	struct spawnd_client *client = use->client;
	pthread_mutex_lock(&client->lock);
	if (use->previous)
		use->previous->next = use->next;
	else
		client->uses = use->next;
	if (use->next)
		use->next->previous = use->previous;
	if (client->closing && !client->uses)
		pthread_cond_broadcast(&client->changed);
	pthread_mutex_unlock(&client->lock);
	wake_free(&use->wake);
}

bool client_is_closing(struct spawnd_client *client)
{
	pthread_mutex_lock(&client->lock);
	bool closing = client->closing;
	pthread_mutex_unlock(&client->lock);
	return closing;
}

uint64_t client_timeout_ms(const struct spawnd_client *client, uint64_t timeout_ms)
{
	return timeout_ms ? timeout_ms : client->timeout_ms;
}

int client_pause(struct use *use, uint64_t until_us, struct spawnd_error *err)
{
	while (clock_now_us() < until_us) {
		if (client_is_closing(use->client))
			return error_set(err, SPAWND_E_CLOSED, 0, "the client is closed");
		wake_wait(&use->wake, until_us, -1);
	}
	return 0;
}

void client_release(struct spawnd_client *client)
{
	pthread_mutex_lock(&client->lock);
	bool last = --client->n_references == 0;
	pthread_mutex_unlock(&client->lock);
	if (!last)
		return;
	keeper_forget(client);
	session_drop(client, client->session);
	known_free(client->known);
	wake_free(&client->keeper_wake);
	pthread_cond_destroy(&client->changed);
	pthread_mutex_destroy(&client->lock);
	free(client->url);
	free(client->name);
	free(client->access_token);
	free(client);
}

/* ---- connecting ------------------------------------------------------------------------ */

static int choose_url(const char *asked, char **ret_url, struct spawnd_error *err)
{
	char url[SPAWND_URL_MAX];
	if (!asked || !asked[0])
		asked = getenv("SPAWND_URL");
	if (!asked || !asked[0]) {
		if (spawnd_default_url(url, sizeof url, err) < 0)
			return -1;
		asked = url;
	}
	if (strlen(asked) >= SPAWND_URL_MAX ||
	    (strncmp(asked, "ipc:///", 7) != 0 && strncmp(asked, "tcp://", 6) != 0))
		return error_argument(
		    err, "url", "the address must be ipc:///PATH or tcp://HOST:PORT, not %.100s", asked);
	*ret_url = strdup(asked);
	return *ret_url ? 0 : error_memory(err);
}

static int check_options(const struct spawnd_connect_options *options, struct spawnd_error *err)
{
	if (options->name && strlen(options->name) > NAME_BYTES_MAX)
		return error_argument(err, "name", "a name has at most %d bytes", NAME_BYTES_MAX);
	if (options->access_token && strlen(options->access_token) > TOKEN_BYTES_MAX)
		return error_argument(err, "access_token", "a token has at most %d bytes", TOKEN_BYTES_MAX);
	if (options->lease_ms && (options->lease_ms < LEASE_MIN_MS || options->lease_ms > LEASE_MAX_MS))
		return error_argument(err, "lease_ms", "a lease is 1,000 to 3,600,000 ms");
	return 0;
}

static int copy_text(const char *text, char **ret_copy)
{
	if (!text || !text[0])
		return 0;
	*ret_copy = strdup(text);
	return *ret_copy ? 0 : -1;
}

static int make(const struct spawnd_connect_options *options, struct spawnd_client **ret_client,
    struct spawnd_error *err)
{
	struct spawnd_client *client = calloc(1, sizeof *client);
	pthread_condattr_t monotonic;
	if (!client)
		return error_memory(err);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&client->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&client->lock, NULL);
	wake_init(&client->keeper_wake, false);
	client->n_references = 1;
	client->lease_ms = options->lease_ms;
	client->timeout_ms = options->timeout_ms ? options->timeout_ms : CLIENT_TIMEOUT_MS;
	int result = choose_url(options->url, &client->url, err);
	if (result == 0 && (copy_text(options->name, &client->name) < 0 ||
	                       copy_text(options->access_token, &client->access_token) < 0 ||
	                       !(client->known = known_new())))
		result = error_memory(err);
	if (result < 0) {
		client_release(client);
		return result;
	}
	client->remote = strncmp(client->url, "tcp:", 4) == 0;
	*ret_client = client;
	return 0;
}

static int open_socket(struct spawnd_client *client, struct spawnd_error *err)
{
	int result = call_socket_open(client->url, &client->keeper_wake, &client->socket);
	if (result == -ENOMEM)
		return error_memory(err);
	if (result < 0)
		return error_argument(err, "url", "%s is no address that can be dialled", client->url);
	result = keeper_start(client);
	if (result == 0)
		return 0;
	call_socket_close(client->socket);
	return error_set(err, SPAWND_E_MEMORY, -result, "no thread could be started");
}

static int await_connection(
    struct spawnd_client *client, uint64_t deadline_us, struct spawnd_error *err)
{
	switch (keeper_wait_dialled(client, deadline_us)) {
	case 0:
		return 0;
	case -EACCES:
		return error_set(
		    err, SPAWND_E_DENIED, EACCES, "not permitted to connect to %s", client->url);
	case -EINVAL:
	case -ENOTSUP:
		return error_argument(err, "url", "%s is no address that can be dialled", client->url);
	case -ENOMEM:
		return error_memory(err);
	case -ECONNREFUSED:
		return error_set(
		    err, SPAWND_E_UNREACHABLE, ECONNREFUSED, "no server listens at %s", client->url);
	default:
		return error_set(
		    err, SPAWND_E_UNREACHABLE, ETIMEDOUT, "no server answers at %s", client->url);
	}
}

static int open_first_session(
    struct spawnd_client *client, uint64_t deadline_us, struct spawnd_error *err)
{
	struct use use;
	struct session *session;
	if (client_enter(client, &use, false, err) < 0)
		return -1;
	int result = session_get(&use, deadline_us, &session, err);
	if (result == 0)
		session_drop(client, session);
	client_leave(&use);
	return result;
}

int spawnd_connect(const struct spawnd_connect_options *options, spawnd_client **ret_client,
    struct spawnd_error *err)
{
	struct spawnd_connect_options own = SPAWND_CONNECT_OPTIONS_INIT;
	if (!ret_client)
		return error_argument(err, "ret_client", "no room for the client");
	if (options) {
		if (options->size < sizeof options->size || options->size > sizeof own)
			return error_argument(err, "size", "the options are of another library version");
		memcpy(&own, options, options->size);
	}
	struct spawnd_client *client = NULL;
	if (check_options(&own, err) < 0 || make(&own, &client, err) < 0)
		return -1;
	if (open_socket(client, err) < 0) {
		client_release(client);
		return -1;
	}
	uint64_t deadline_us = clock_add_us(clock_now_us(), clock_us_of_ms(client->timeout_ms));
	if (await_connection(client, deadline_us, err) < 0 ||
	    open_first_session(client, deadline_us, err) < 0) {
		spawnd_close(client);
		return -1;
	}
	*ret_client = client;
	return 0;
}

/* ---- closing --------------------------------------------------------------------------- */

// From here on no call begins, and those under way fail. Returns when the last is out.
static void turn_out(struct spawnd_client *client)
{
	pthread_mutex_lock(&client->lock);
	client->closing = true;
	for (struct use *use = client->uses; use; use = use->next)
		wake_ring(&use->wake);
	pthread_cond_broadcast(&client->changed);
	while (client->uses)
		pthread_cond_wait(&client->changed, &client->lock);
	pthread_mutex_unlock(&client->lock);
}

static void end_session(struct spawnd_client *client)
{
	struct use use = {.client = client};
	struct session *session = client->session;
	unsigned n_open;
	call_socket_connections(client->socket, &n_open);
	// Without a connection nobody hears it: the lease ends the session.
	if (!session || session->over || !n_open || wake_init(&use.wake, false) < 0)
		return;
	session_close(&use, session, clock_now_us() + CLOSE_SESSION_US);
	wake_free(&use.wake);
}

void spawnd_close(spawnd_client *client)
{
	if (!client)
		return;
	turn_out(client);
	end_session(client);
	keeper_stop(client, clock_now_us() + CLOSE_SOCKET_US);
	client_release(client);
}

/* ---- what it is ------------------------------------------------------------------------ */

uint64_t spawnd_client_session(const spawnd_client *client)
{
	struct spawnd_client *own = (struct spawnd_client *)client;
	pthread_mutex_lock(&own->lock);
	uint64_t id = own->session ? own->session->id : 0;
	pthread_mutex_unlock(&own->lock);
	return id;
}

uint64_t spawnd_client_epoch(const spawnd_client *client)
{
	struct spawnd_client *own = (struct spawnd_client *)client;
	pthread_mutex_lock(&own->lock);
	uint64_t epoch = own->session ? own->session->epoch : 0;
	pthread_mutex_unlock(&own->lock);
	return epoch;
}

const char *spawnd_client_url(const spawnd_client *client)
{
	return client->url;
}
