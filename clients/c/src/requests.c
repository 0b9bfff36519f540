// The request ids of one session, and its floor.
#include "clients/c/src/requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void requests_init(struct requests *requests)
{
	memset(requests, 0, sizeof *requests);
	pthread_mutex_init(&requests->lock, NULL);
	requests->next = 1;
}

void requests_free(struct requests *requests)
{
	free(requests->unsettled);
	pthread_mutex_destroy(&requests->lock);
}

static int make_room(struct requests *requests)
{
	if (requests->n_unsettled < requests->capacity)
		return 0;
	size_t capacity = requests->capacity ? requests->capacity * 2 : 64;
	uint64_t *unsettled = realloc(requests->unsettled, capacity * sizeof *unsettled);
	if (!unsettled)
		return -ENOMEM;
	requests->unsettled = unsettled;
	requests->capacity = capacity;
	return 0;
}

int requests_take(struct requests *requests, bool recorded, uint64_t *ret_id, uint64_t *ret_floor)
{
	int result = 0;
	pthread_mutex_lock(&requests->lock);
	if (recorded)
		result = make_room(requests);
	if (result == 0) {
		*ret_id = requests->next++;
		// Ids are given out in ascending order, so the array stays sorted.
		if (recorded)
			requests->unsettled[requests->n_unsettled++] = *ret_id;
		*ret_floor = requests->n_unsettled ? requests->unsettled[0] : *ret_id;
		requests->announced = *ret_floor;
	}
	pthread_mutex_unlock(&requests->lock);
	return result;
}

void requests_settle(struct requests *requests, uint64_t id)
{
	pthread_mutex_lock(&requests->lock);
	for (size_t i = 0; i < requests->n_unsettled && requests->unsettled[i] <= id; i++) {
		if (requests->unsettled[i] != id)
			continue;
		memmove(requests->unsettled + i, requests->unsettled + i + 1,
		    (requests->n_unsettled - i - 1) * sizeof *requests->unsettled);
		requests->n_unsettled--;
		break;
	}
	pthread_mutex_unlock(&requests->lock);
}

bool requests_is_passed(struct requests *requests, uint64_t id)
{
	pthread_mutex_lock(&requests->lock);
	bool passed = id < requests->announced;
	pthread_mutex_unlock(&requests->lock);
	return passed;
}
