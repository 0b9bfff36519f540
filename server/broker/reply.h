// Answers calls: encodes the Response, keeps it where the call is recorded, and sends the same
// bytes to every call that had joined it.
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "server/broker/refusal.h"

struct call;

// Answers OK with the message; consumes the call, which may be parked.
void reply_ok(struct call *call, const ProtobufCMessage *payload);

// Answers why not; consumes the call, which may be parked.
void reply_refusal(struct call *call, const struct refusal *refusal);

// Answers with bytes that were kept; consumes the call, which is not parked.
void reply_again(struct call *call, const void *answer);
