// One climb of one process, shared by all stops of it in a client.
#include "clients/c/src/climb.h"

#include "clients/c/src/decode.h"

#include <errno.h>
#include <stdlib.h>

static bool is_same(const struct spawnd_process *a, const struct spawnd_process *b)
{
	if (a->id && b->id)
		return a->id == b->id;
	return a->session_id && a->session_id == b->session_id && a->request_id == b->request_id;
}

// Locked.
static struct climb *find(struct spawnd_client *client, const struct spawnd_process *process)
{
	for (struct climb *climb = client->climbs; climb; climb = climb->next)
		if (!climb->over && is_same(&climb->process, process))
			return climb;
	return NULL;
}

int climb_join(
    struct use *use, const struct spawnd_process *process, struct climb_member *ret_member)
{
	struct spawnd_client *client = use->client;
	struct climb *fresh = calloc(1, sizeof *fresh);
	if (!fresh)
		return -ENOMEM;
	fresh->process = *process;
	fresh->first_wait_ms = fresh->last_wait_ms = SPAWND_FOREVER;
	pthread_mutex_lock(&client->lock);
	struct climb *climb = find(client, process);
	*ret_member = (struct climb_member){.wake = &use->wake, .driver = !climb};
	if (!climb) {
		climb = fresh;
		fresh = NULL;
		climb->next = client->climbs;
		client->climbs = climb;
	}
	ret_member->climb = climb;
	ret_member->next = climb->members;
	climb->members = ret_member;
	pthread_mutex_unlock(&client->lock);
	free(fresh);
	return 0;
}

// Locked.
static void unlink_member(struct climb_member *member)
{
	struct climb_member **at = &member->climb->members;
	while (*at != member)
		at = &(*at)->next;
	*at = member->next;
}

// Locked.
static void unlink_climb(struct spawnd_client *client, struct climb *climb)
{
	struct climb **at = &client->climbs;
	while (*at != climb)
		at = &(*at)->next;
	*at = climb->next;
}

void climb_leave(struct spawnd_client *client, struct climb_member *member)
{
	struct climb *climb = member->climb;
	pthread_mutex_lock(&client->lock);
	unlink_member(member);
	bool last = !climb->members;
	if (last)
		unlink_climb(client, climb);
	pthread_mutex_unlock(&client->lock);
	if (!last)
		return;
	spawnd_exit_free(climb->record);
	free(climb);
}

// Locked.
static void ring_all(struct climb *climb)
{
	for (struct climb_member *member = climb->members; member; member = member->next)
		wake_ring(member->wake);
}

// Locked.
static void ring_driver(struct climb *climb)
{
	for (struct climb_member *member = climb->members; member; member = member->next)
		if (member->driver)
			wake_ring(member->wake);
}

void climb_post(
    struct spawnd_client *client, struct climb *climb, const struct spawnd_stop_progress *progress)
{
	pthread_mutex_lock(&client->lock);
	if (climb->n_events < CLIMB_EVENTS_MAX)
		climb->events[climb->n_events++] = *progress;
	ring_all(climb);
	pthread_mutex_unlock(&client->lock);
}

void climb_finish(struct spawnd_client *client, struct climb *climb, struct spawnd_exit *record,
    const struct spawnd_error *error)
{
	pthread_mutex_lock(&client->lock);
	climb->record = record;
	climb->error = *error;
	climb->over = true;
	ring_all(climb);
	pthread_mutex_unlock(&client->lock);
}

void climb_hurry(struct spawnd_client *client, struct climb *climb)
{
	pthread_mutex_lock(&client->lock);
	climb->n_hurries++;
	ring_driver(climb);
	pthread_mutex_unlock(&client->lock);
}

void climb_shorten(struct spawnd_client *client, struct climb *climb, uint64_t first_wait_ms,
    uint64_t last_wait_ms)
{
	pthread_mutex_lock(&client->lock);
	if (first_wait_ms < climb->first_wait_ms)
		climb->first_wait_ms = first_wait_ms;
	if (last_wait_ms < climb->last_wait_ms)
		climb->last_wait_ms = last_wait_ms;
	ring_driver(climb);
	pthread_mutex_unlock(&client->lock);
}

struct climb_wants climb_take_wants(struct spawnd_client *client, struct climb *climb)
{
	pthread_mutex_lock(&client->lock);
	struct climb_wants wants = {.n_hurries = climb->n_hurries,
	    .first_wait_ms = climb->first_wait_ms,
	    .last_wait_ms = climb->last_wait_ms};
	climb->n_hurries = 0;
	climb->first_wait_ms = climb->last_wait_ms = SPAWND_FOREVER;
	pthread_mutex_unlock(&client->lock);
	return wants;
}

bool climb_deliver(struct spawnd_client *client, struct climb_member *member,
    const struct spawnd_stop_options *options)
{
	struct climb *climb = member->climb;
	for (;;) {
		struct spawnd_stop_progress progress = {0};
		pthread_mutex_lock(&client->lock);
		bool over = climb->over;
		bool unseen = member->n_seen < climb->n_events;
		if (unseen)
			progress = climb->events[member->n_seen++];
		pthread_mutex_unlock(&client->lock);
		if (!unseen)
			return over;
		if (options->progress)
			options->progress(options->user, &progress);
	}
}
