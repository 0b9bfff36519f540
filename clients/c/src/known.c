// What a client remembers of the processes it has met.
#include "clients/c/src/known.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Ids are counted, so consecutive ones lie in different places.
#define KNOWN_PLACES 1024u

struct place {
	uint64_t process_id; // 0: free
	bool ended;
	uint8_t n_rungs;
	struct spawnd_rung rungs[SPAWND_RUNGS_MAX];
};

struct known {
	pthread_mutex_t lock; // guards places
	struct place places[KNOWN_PLACES];
};

struct known *known_new(void)
{
	struct known *known = calloc(1, sizeof *known);
	if (known)
		pthread_mutex_init(&known->lock, NULL);
	return known;
}

void known_free(struct known *known)
{
	if (!known)
		return;
	pthread_mutex_destroy(&known->lock);
	free(known);
}

// Locked. The process's place, which may hold another one.
static struct place *place_of(struct known *known, uint64_t process_id)
{
	return &known->places[process_id % KNOWN_PLACES];
}

// Locked. The process's place, made its own.
static struct place *take_place(struct known *known, uint64_t process_id)
{
	struct place *place = place_of(known, process_id);
	if (place->process_id != process_id) {
		place->process_id = process_id;
		place->ended = false;
		place->n_rungs = 0;
	}
	return place;
}

void known_set_ladder(
    struct known *known, uint64_t process_id, const struct spawnd_rung *rungs, size_t n_rungs)
{
	if (!process_id || !n_rungs || n_rungs > SPAWND_RUNGS_MAX)
		return;
	pthread_mutex_lock(&known->lock);
	struct place *place = take_place(known, process_id);
	memcpy(place->rungs, rungs, n_rungs * sizeof *rungs);
	place->n_rungs = (uint8_t)n_rungs;
	pthread_mutex_unlock(&known->lock);
}

void known_set_ended(struct known *known, uint64_t process_id)
{
	if (!process_id)
		return;
	pthread_mutex_lock(&known->lock);
	take_place(known, process_id)->ended = true;
	pthread_mutex_unlock(&known->lock);
}

bool known_ladder(
    struct known *known, uint64_t process_id, struct spawnd_rung *rungs, size_t *ret_count)
{
	pthread_mutex_lock(&known->lock);
	const struct place *place = place_of(known, process_id);
	bool found = process_id && place->process_id == process_id && place->n_rungs;
	if (found) {
		memcpy(rungs, place->rungs, place->n_rungs * sizeof *rungs);
		*ret_count = place->n_rungs;
	}
	pthread_mutex_unlock(&known->lock);
	return found;
}

bool known_has_ended(struct known *known, uint64_t process_id)
{
	pthread_mutex_lock(&known->lock);
	const struct place *place = place_of(known, process_id);
	bool ended = process_id && place->process_id == process_id && place->ended;
	pthread_mutex_unlock(&known->lock);
	return ended;
}
