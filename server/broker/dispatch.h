// From the bytes of a request to the operation that carries it out.
#pragma once

struct broker;
struct connection;
struct endpoint_request;

// Consumes the request.
void dispatch(
    struct broker *broker, struct connection *connection, struct endpoint_request *request);
