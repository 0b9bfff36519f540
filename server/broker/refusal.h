// Why a call is refused, in the broker's own words; errmap.c alone turns it into a wire status.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum refusal_kind {
	REFUSAL_NONE = 0,
	REFUSAL_UNDECODABLE, // not a Request, or its payload is not the method's message
	REFUSAL_FIELD,       // name is the field's path
	REFUSAL_METHOD,      // no such method
	REFUSAL_UNSUPPORTED, // known, but not served here
	REFUSAL_VERSION,     // another major
	REFUSAL_NOT_FOUND,
	REFUSAL_TARGET_EPOCH, // a target of an earlier server; value is this epoch
	REFUSAL_SESSION_EXPIRED,
	REFUSAL_SESSION_EPOCH, // a session of an earlier server; value is this epoch
	REFUSAL_TOKEN,         // not a valid token
	REFUSAL_BELOW_FLOOR,   // value is the floor
	REFUSAL_PAST_END,      // name is the field's path: an offset with a gap before it
	REFUSAL_TOO_LARGE,     // name is the limit, value its value
	REFUSAL_LIMIT,         // the same, but a later repetition may succeed
	REFUSAL_NAME_TAKEN,    // value is the process that has it
	REFUSAL_CANCELLED,     // the Spawn's Cancel came first
	REFUSAL_START_FAILED,  // stage, error
	REFUSAL_STATE,         // not possible in the state of things
	REFUSAL_DENIED,
	REFUSAL_SHUTTING_DOWN,
	REFUSAL_INTERNAL,
};

struct refusal {
	enum refusal_kind kind;
	uint64_t value;
	int stage, error;
	char name[64];
	char message[256];
};

// Fills in kind and a sentence.
void refuse(struct refusal *refusal, enum refusal_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Names the field at fault; path may hold one %zu for index.
void refuse_field(struct refusal *refusal, const char *path, size_t index, const char *why);

// Names a limit.
void refuse_limit(struct refusal *refusal, enum refusal_kind kind, const char *limit, uint64_t max,
    const char *why);
