// A server of the endpoint alone: answers each request with its own bytes. For the tests of the
// endpoint: endpoint_echo URL [KEY=NUMBER…], ends when standard input ends.
//
// A request that begins with "park" is held until one that begins with "free" comes; "big NUMBER"
// is answered with so many bytes; "count" with the counters; "drop" with nothing; "cut" ends the
// connection. An answer's token is checked to come back once.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "server/broker/endpoint.h"
#include "server/broker/loop.h"
#include "server/common/clock.h"
#include "server/common/log.h"

struct parked {
	struct endpoint_request *request;
	uint64_t connection;
};

static struct {
	struct loop *loop;
	struct endpoint *endpoint;
	struct parked *parked;
	size_t n_parked, capacity;
	uint64_t n_connected, n_closed, n_requests, n_answered, n_unsent, n_tokens;
	uint64_t connection_max; // connections never come back
	bool ended;
} echo;

static void fail(const char *why)
{
	fprintf(stderr, "endpoint_echo: %s\n", why);
	exit(3);
}

static void answer_text(struct endpoint_request *request, const char *text)
{
	endpoint_answer(echo.endpoint, request, (const uint8_t *)text, strlen(text), ++echo.n_tokens);
}

static void answer_count(struct endpoint_request *request)
{
	char text[512];
	struct endpoint_counters c;
	endpoint_count(echo.endpoint, &c);
	snprintf(text, sizeof(text),
	    "{\"connections\": %" PRIu64 ", \"held\": %" PRIu64 ", \"repairs\": %" PRIu64
	    ", \"refused\": %" PRIu64 ", \"disconnected\": %" PRIu64 ", \"connected\": %" PRIu64
	    ", \"closed\": %" PRIu64 ", \"requests\": %" PRIu64 ", \"answered\": %" PRIu64
	    ", \"unsent\": %" PRIu64 ", \"tokens\": %" PRIu64 ", \"parked\": %zu}",
	    c.connections, c.requests_held, c.listener_repairs, c.refused, c.disconnected,
	    echo.n_connected, echo.n_closed, echo.n_requests, echo.n_answered, echo.n_unsent,
	    echo.n_tokens, echo.n_parked);
	answer_text(request, text);
}

static void answer_big(struct endpoint_request *request, const char *body, size_t body_size)
{
	char number[32] = "";
	memcpy(number, body, body_size < sizeof(number) - 1 ? body_size : sizeof(number) - 1);
	size_t size = strtoul(number + strlen("big "), NULL, 10);
	uint8_t *bytes = malloc(size + 1);
	if (!bytes)
		fail("no memory");
	memset(bytes, 'b', size);
	endpoint_answer(echo.endpoint, request, bytes, size, ++echo.n_tokens);
	free(bytes);
}

static void park(struct endpoint_request *request, uint64_t connection)
{
	if (echo.n_parked == echo.capacity) {
		echo.capacity = echo.capacity ? 2 * echo.capacity : 64;
		echo.parked = reallocarray(echo.parked, echo.capacity, sizeof(*echo.parked));
		if (!echo.parked)
			fail("no memory");
	}
	echo.parked[echo.n_parked++] = (struct parked){request, connection};
}

static void free_parked(void)
{
	for (size_t i = 0; i < echo.n_parked; i++)
		answer_text(echo.parked[i].request, "freed");
	echo.n_parked = 0;
}

static void drop_parked(uint64_t connection)
{
	size_t n = 0;
	for (size_t i = 0; i < echo.n_parked; i++) {
		if (echo.parked[i].connection == connection)
			endpoint_drop(echo.endpoint, echo.parked[i].request);
		else
			echo.parked[n++] = echo.parked[i];
	}
	echo.n_parked = n;
}

static bool begins(const char *body, size_t size, const char *word)
{
	return size >= strlen(word) && memcmp(body, word, strlen(word)) == 0;
}

static void answer(struct endpoint_request *request, uint64_t connection)
{
	size_t size;
	const char *body = (const char *)endpoint_request_body(request, &size);
	echo.n_requests++;
	if (endpoint_request_connection(request) != connection)
		fail("a request names two connections");
	if (begins(body, size, "park")) {
		park(request, connection);
	} else if (begins(body, size, "free")) {
		free_parked();
		answer_text(request, "done");
	} else if (begins(body, size, "big ")) {
		answer_big(request, body, size);
	} else if (begins(body, size, "count")) {
		answer_count(request);
	} else if (begins(body, size, "drop")) {
		endpoint_drop(echo.endpoint, request);
	} else if (begins(body, size, "cut")) {
		endpoint_drop(echo.endpoint, request);
		endpoint_disconnect(echo.endpoint, connection);
	} else {
		uint8_t *copy = malloc(size + 1);
		if (!copy)
			fail("no memory");
		memcpy(copy, body, size);
		endpoint_answer(echo.endpoint, request, copy, size, ++echo.n_tokens);
		free(copy);
	}
}

static void take(const struct endpoint_event *event)
{
	switch (event->kind) {
	case ENDPOINT_CONNECTED:
		if (event->connection <= echo.connection_max)
			fail("a connection's number came twice");
		if (event->peer_uid != geteuid() || event->peer_pid == getpid())
			fail("a connection of somebody else");
		echo.connection_max = event->connection;
		echo.n_connected++;
		break;
	case ENDPOINT_CLOSED:
		echo.n_closed++;
		drop_parked(event->connection);
		break;
	case ENDPOINT_REQUEST:
		answer(event->request, event->connection);
		break;
	case ENDPOINT_ANSWERED:
		if (event->token == 0 || event->token > echo.n_tokens)
			fail("a token that was never given");
		echo.n_answered++;
		echo.n_unsent += !event->sent;
		break;
	}
}

static void endpoint_ready(void *user, uint32_t events)
{
	struct endpoint_event event;
	(void)user;
	(void)events;
	while (endpoint_next(echo.endpoint, &event))
		take(&event);
}

static void input_ready(void *user, uint32_t events)
{
	char bytes[64];
	(void)user;
	(void)events;
	if (read(STDIN_FILENO, bytes, sizeof(bytes)) <= 0)
		echo.ended = true;
}

static void read_setting(struct endpoint_config *config, const char *setting)
{
	unsigned long number = strtoul(strchr(setting, '=') + 1, NULL, 10);
	if (begins(setting, strlen(setting), "max_message_bytes="))
		config->max_message_bytes = number;
	else if (begins(setting, strlen(setting), "max_requests="))
		config->max_requests = number;
	else if (begins(setting, strlen(setting), "max_connections="))
		config->max_connections_per_peer = (uint32_t)number;
	else if (begins(setting, strlen(setting), "send_timeout_ms="))
		config->send_timeout_ms = (uint32_t)number;
	else if (begins(setting, strlen(setting), "allowed_uid="))
		config->allowed_uid = (uid_t)number;
	else if (begins(setting, strlen(setting), "max_connection_bytes="))
		config->max_connection_bytes = number;
	else if (begins(setting, strlen(setting), "leave_calls="))
		config->leave_calls = number != 0;
	else
		fail("no such setting");
}

int main(int argc, char **argv)
{
	char error[512] = "";
	struct endpoint_config config = {
	    .url = argc > 1 ? argv[1] : "",
	    .max_message_bytes = 1 << 20,
	    .max_requests = 20000,
	    .max_connections_per_peer = 1024,
	    .allowed_uid = geteuid(),
	    .send_timeout_ms = 10000,
	};
	for (int i = 2; i < argc; i++)
		read_setting(&config, argv[i]);
	log_open("endpoint_echo", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	if (loop_create(&echo.loop) < 0)
		fail("no loop");
	if (endpoint_open(&config, &echo.endpoint, error, sizeof(error)) < 0)
		fail(error);
	loop_add_fd(echo.loop, endpoint_fd(echo.endpoint), EPOLLIN, endpoint_ready, NULL);
	loop_add_fd(echo.loop, STDIN_FILENO, EPOLLIN, input_ready, NULL);
	puts("ready");
	fflush(stdout);
	while (!echo.ended) {
		uint64_t next_ms = endpoint_watch(echo.endpoint, now_ms());
		if (loop_turn(echo.loop, next_ms) < 0)
			fail("the loop fails");
	}
	endpoint_flush(echo.endpoint, 1000);
	loop_remove_fd(echo.loop, endpoint_fd(echo.endpoint));
	endpoint_close(echo.endpoint);
	loop_destroy(echo.loop);
	free(echo.parked);
	return 0;
}
