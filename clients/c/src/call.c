// One call: its attempts until the first valid answer of any of them.
#include "clients/c/src/call.h"

#include "clients/c/src/clock.h"
#include "clients/c/src/retry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE_PATH     "/spawn.v1.SpawnService/"
#define WITHDRAW_WAIT_US UINT64_C(1000000)

static int encode(struct call *call)
{
	char method[64];
	snprintf(method, sizeof method, SERVICE_PATH "%s", call->terms.method);
	Spawn__V1__Request request = SPAWN__V1__REQUEST__INIT;
	request.method = method;
	request.session_id = call->terms.session_id;
	request.request_id = call->request_id;
	request.floor = call->floor;
	request.timeout_ms = call->terms.timeout_ms;
	if (call->terms.access_token) {
		request.access_token.data = (uint8_t *)call->terms.access_token;
		request.access_token.len = strlen(call->terms.access_token);
	}
	request.payload.data = call->payload;
	request.payload.len = call->payload_size;
	size_t size = spawn__v1__request__get_packed_size(&request);
	// The SP header counts too. (TRN-10)
	if (size + 4 > call->terms.max_message_bytes)
		return -EMSGSIZE;
	uint8_t *bytes = malloc(size ? size : 1);
	if (!bytes)
		return -ENOMEM;
	spawn__v1__request__pack(&request, bytes);
	free(call->bytes);
	call->bytes = bytes;
	call->size = size;
	return 0;
}

static int take_id(struct call *call)
{
	if (call->terms.requests)
		return requests_take(
		    call->terms.requests, call->terms.recorded, &call->request_id, &call->floor);
	call->request_id = call->terms.request_id;
	return 0;
}

int call_start(struct call *call, const struct call_terms *terms, const ProtobufCMessage *payload)
{
	memset(call, 0, sizeof *call);
	call->terms = *terms;
	call->stranded_us = CLOCK_NEVER;
	call->payload_size = protobuf_c_message_get_packed_size(payload);
	if (call->payload_size > terms->max_message_bytes)
		return -EMSGSIZE;
	call->payload = malloc(call->payload_size ? call->payload_size : 1);
	if (!call->payload)
		return -ENOMEM;
	protobuf_c_message_pack(payload, call->payload);
	call->live = true;
	int result = take_id(call);
	if (result == 0) {
		result = encode(call);
		if (result < 0)
			call_settle(call); // it was never sent
	}
	if (result < 0)
		call_end(call);
	return result;
}

static void remove_slot(struct call *call, size_t i)
{
	call_slot_drop(call->slots[i]);
	call->n_slots--;
	memmove(call->slots + i, call->slots + i + 1, (call->n_slots - i) * sizeof call->slots[0]);
	memmove(
	    call->slot_ids + i, call->slot_ids + i + 1, (call->n_slots - i) * sizeof call->slot_ids[0]);
	memmove(call->slot_noted + i, call->slot_noted + i + 1,
	    (call->n_slots - i) * sizeof call->slot_noted[0]);
}

static void drop_slots(struct call *call)
{
	while (call->n_slots)
		remove_slot(call, call->n_slots - 1);
}

// A repetition is the same bytes. Only a call that the server does not record, and whose id the
// floor has passed meanwhile, becomes a call with a new id: a settled id must not be sent. (IDS-3)
static int renew_id(struct call *call)
{
	if (call->terms.recorded || !call->terms.requests ||
	    !requests_is_passed(call->terms.requests, call->request_id))
		return 0;
	int result = take_id(call);
	return result < 0 ? result : encode(call);
}

static int send_attempt(struct call *call)
{
	if (call->n_slots == CALL_SLOTS_MAX)
		remove_slot(call, 0);
	int result = renew_id(call);
	if (result < 0)
		return result;
	struct call_slot *slot;
	result = call_slot_send(call->terms.socket, call->bytes, call->size, call->terms.wake, &slot);
	if (result < 0)
		return result;
	call->slots[call->n_slots] = slot;
	call->slot_ids[call->n_slots] = call->request_id;
	call->slot_noted[call->n_slots++] = false;
	call->next_us = CLOCK_NEVER; // known once this one has left
	return 0;
}

// An attempt has left: the next one's time counts from there. Every attempt joins the parked call,
// so the server may hold each as long.
static void note_sent(struct call *call, size_t i, uint64_t sent_us)
{
	if (call->slot_noted[i] || !sent_us)
		return;
	call->slot_noted[i] = true;
	if (!call->first_sent_us)
		call->first_sent_us = sent_us;
	uint64_t gap_us = clock_add_us(call->terms.hold_us, retry_gap_us(call->n_sent));
	call->next_us = clock_add_us(sent_us, gap_us);
	call->n_sent++;
}

// An answer that may be believed is one of our own id. (ENV-6, ENV-7)
static bool read_answer(
    struct call *call, size_t i, const struct call_slot_view *view, struct call_answer *ret_answer)
{
	Spawn__V1__Response *response = decode_response(view->body, view->size);
	if (!response)
		return false;
	if (response->request_id != call->slot_ids[i]) {
		decode_free(&response->base);
		return false;
	}
	ret_answer->response = response;
	ret_answer->received_us = view->done_us;
	return true;
}

// A void answer came early, so there is nothing parked to wait for: the next attempt's plain time.
static void note_void(struct call *call, uint64_t sent_us)
{
	uint64_t plain_us = sent_us + retry_gap_us(call->n_sent ? call->n_sent - 1 : 0);
	call->next_us = clock_min_us(call->next_us, plain_us);
}

// One slot's news. Slots that are over are removed.
static enum call_outcome look(
    struct call *call, size_t i, uint64_t now_us, bool *queued, struct call_answer *ret_answer)
{
	struct call_slot_view view = call_slot_look(call->slots[i]);
	note_sent(call, i, view.sent_us);
	switch (view.state) {
	case CALL_SLOT_QUEUED:
		*queued = true;
		return CALL_PENDING;
	case CALL_SLOT_ANSWERED:
		if (read_answer(call, i, &view, ret_answer))
			return CALL_ANSWERED;
		note_void(call, view.sent_us);
		remove_slot(call, i);
		return CALL_PENDING;
	case CALL_SLOT_LOST:
		remove_slot(call, i);
		if (++call->n_lost >= RETRY_LOSSES_MAX)
			return CALL_BROKEN;
		call->next_us = clock_min_us(call->next_us, now_us + retry_after_loss_us(call->n_lost));
		return CALL_PENDING;
	case CALL_SLOT_FAILED:
		if (!call->withdrawn)
			return CALL_CLOSED;
		remove_slot(call, i);
		return CALL_PENDING;
	default:
		return CALL_PENDING;
	}
}

static void note_reach(struct call *call, bool queued, uint64_t now_us)
{
	if (call->withdrawn)
		return;
	if (!queued || call->n_slots > 1)
		call->stranded_us = CLOCK_NEVER;
	else if (call->stranded_us == CLOCK_NEVER)
		call->stranded_us = now_us;
}

uint64_t call_stranded_us(const struct call *call, uint64_t patience_us)
{
	return call->stranded_us == CLOCK_NEVER ? CLOCK_NEVER
	                                        : clock_add_us(call->stranded_us, patience_us);
}

bool call_is_stranded(const struct call *call, uint64_t patience_us, uint64_t now_us)
{
	return now_us >= call_stranded_us(call, patience_us);
}

enum call_outcome call_step(struct call *call, uint64_t now_us, struct call_answer *ret_answer)
{
	bool queued = false;
	for (size_t i = call->n_slots; i-- > 0;) {
		enum call_outcome outcome = look(call, i, now_us, &queued, ret_answer);
		if (outcome != CALL_PENDING) {
			drop_slots(call);
			return outcome;
		}
	}
	note_reach(call, queued, now_us);
	if (queued || call->withdrawn || now_us < call->next_us)
		return CALL_PENDING;
	switch (send_attempt(call)) {
	case 0:
		note_reach(call, true, now_us); // until it is seen to have left
		return CALL_PENDING;
	case -ENOMEM:
		return CALL_NO_MEMORY;
	default:
		return CALL_CLOSED;
	}
}

uint64_t call_due_us(const struct call *call)
{
	return call->next_us;
}

void call_again(struct call *call, uint64_t not_before_us)
{
	drop_slots(call);
	call->next_us = not_before_us;
	call->stranded_us = CLOCK_NEVER;
}

static bool any_queued(struct call *call)
{
	bool queued = false;
	for (size_t i = 0; i < call->n_slots; i++) {
		struct call_slot_view view = call_slot_look(call->slots[i]);
		note_sent(call, i, view.sent_us);
		queued |= view.state == CALL_SLOT_QUEUED;
	}
	return queued;
}

bool call_withdraw(struct call *call)
{
	uint64_t until_us = clock_now_us() + WITHDRAW_WAIT_US;
	call->withdrawn = true;
	for (size_t i = 0; i < call->n_slots; i++)
		call_slot_retract(call->slots[i]);
	while (any_queued(call)) {
		if (clock_now_us() >= until_us)
			return true; // nng says nothing: it may have left
		wake_wait(call->terms.wake, until_us, -1);
	}
	return call->n_sent > 0;
}

void call_settle(struct call *call)
{
	if (call->live && call->terms.recorded && call->terms.requests)
		requests_settle(call->terms.requests, call->request_id);
}

void call_end(struct call *call)
{
	if (!call->live)
		return;
	drop_slots(call);
	free(call->payload);
	free(call->bytes);
	call->live = false;
}
