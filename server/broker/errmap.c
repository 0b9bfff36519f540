// The table of errmap.h.
#include "server/broker/errmap.h"

#include "spawn/v1/status.pb-c.h"

#define CODE(name) SPAWN__V1__CODE__CODE_##name

static const struct errmap_entry table[] = {
    [REFUSAL_NONE] = {CODE(OK), true},
    [REFUSAL_UNDECODABLE] = {CODE(INVALID_ARGUMENT), false},
    [REFUSAL_FIELD] = {CODE(INVALID_ARGUMENT), true},
    [REFUSAL_METHOD] = {CODE(UNIMPLEMENTED), false},
    [REFUSAL_UNSUPPORTED] = {CODE(UNIMPLEMENTED), true},
    [REFUSAL_VERSION] = {CODE(FAILED_PRECONDITION), true},
    [REFUSAL_NOT_FOUND] = {CODE(NOT_FOUND), true},
    [REFUSAL_TARGET_EPOCH] = {CODE(NOT_FOUND), true},
    [REFUSAL_SESSION_EXPIRED] = {CODE(UNAUTHENTICATED), false},
    [REFUSAL_SESSION_EPOCH] = {CODE(UNAUTHENTICATED), false},
    [REFUSAL_TOKEN] = {CODE(UNAUTHENTICATED), false},
    [REFUSAL_BELOW_FLOOR] = {CODE(OUT_OF_RANGE), false},
    [REFUSAL_PAST_END] = {CODE(OUT_OF_RANGE), true},
    [REFUSAL_TOO_LARGE] = {CODE(INVALID_ARGUMENT), true},
    [REFUSAL_LIMIT] = {CODE(RESOURCE_EXHAUSTED), false},
    [REFUSAL_NAME_TAKEN] = {CODE(ALREADY_EXISTS), true},
    [REFUSAL_CANCELLED] = {CODE(CANCELLED), true},
    [REFUSAL_START_FAILED] = {CODE(FAILED_PRECONDITION), true},
    [REFUSAL_STATE] = {CODE(FAILED_PRECONDITION), true},
    [REFUSAL_DENIED] = {CODE(PERMISSION_DENIED), true},
    [REFUSAL_SHUTTING_DOWN] = {CODE(UNAVAILABLE), false},
    [REFUSAL_INTERNAL] = {CODE(INTERNAL), true},
};

struct errmap_entry errmap(enum refusal_kind kind)
{
	return table[kind];
}
