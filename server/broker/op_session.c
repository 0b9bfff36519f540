// OpenSession, KeepAlive, CloseSession.
#include <errno.h>
#include <string.h>

#include "server/broker/call.h"
#include "server/broker/op_all.h"
#include "server/broker/reply.h"
#include "server/broker/reply_info.h"
#include "server/broker/sessions.h"
#include "server/common/clock.h"
#include "spawn/v1/session.pb-c.h"

static bool check_open(const Spawn__V1__OpenSessionRequest *request, struct refusal *refusal)
{
	if (request->major != INFO_MAJOR)
		refuse(refusal, REFUSAL_VERSION, "this server speaks major %u", INFO_MAJOR);
	else if (request->token.len)
		refuse(refusal, REFUSAL_UNSUPPORTED, "this server has no nested sessions");
	else if (strlen(request->client) > SESSION_CLIENT_MAX)
		refuse_field(refusal, "client", 0, "at most 128 bytes");
	else if (request->lease_ms &&
	         (request->lease_ms < LEASE_MIN_MS || request->lease_ms > LEASE_MAX_MS))
		refuse_field(refusal, "lease_ms", 0, "0, or 1,000 to 3,600,000");
	else
		return true;
	return false;
}

static void answer_open(struct call *call, const struct session *session)
{
	struct info_messages info;
	reply_info_fill(&info, call->broker);
	Spawn__V1__OpenSessionResponse response = SPAWN__V1__OPEN_SESSION_RESPONSE__INIT;
	response.session_id = session->id;
	response.epoch = call->broker->hello.epoch;
	response.version = (char *)SPAWND_VERSION;
	response.major = INFO_MAJOR;
	response.minor = INFO_MINOR;
	response.lease_ms = session->lease.lease_ms;
	response.limits = &info.limits;
	response.capabilities = &info.capabilities;
	reply_ok(call, &response.base);
}

void op_open_session(struct call *call, const ProtobufCMessage *message)
{
	const Spawn__V1__OpenSessionRequest *request = (const void *)message;
	struct refusal refusal;
	if (!check_open(request, &refusal)) {
		reply_refusal(call, &refusal);
		return;
	}
	struct session *session = NULL;
	int error =
	    session_open(call->broker, call->connection, request->client, request->lease_ms, &session);
	if (error) {
		refuse_limit(&refusal, REFUSAL_LIMIT, "max_sessions", call->broker->config->max_sessions,
		    error == -ENOMEM ? "no memory for a session" : "too many sessions are open");
		reply_refusal(call, &refusal);
		return;
	}
	answer_open(call, session);
}

void op_keep_alive(struct call *call, const ProtobufCMessage *message)
{
	(void)message;
	const struct session *session = session_find(call->broker, call->session_id);
	Spawn__V1__KeepAliveResponse response = SPAWN__V1__KEEP_ALIVE_RESPONSE__INIT;
	response.lease_ms = session->lease.lease_ms;
	reply_ok(call, &response.base);
}

void op_close_session(struct call *call, const ProtobufCMessage *message)
{
	(void)message;
	struct session *session = session_find(call->broker, call->session_id);
	lease_closed(&session->lease);
	session_end(session, LEASE_CLOSED);
	Spawn__V1__CloseSessionResponse response = SPAWN__V1__CLOSE_SESSION_RESPONSE__INIT;
	reply_ok(call, &response.base);
}
