// The operations: one entry for each method of the service, and what finishes those that wait. Each
// entry consumes its call. The request is borrowed.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

struct call;
struct process;

void op_open_session(struct call *call, const ProtobufCMessage *request);
void op_keep_alive(struct call *call, const ProtobufCMessage *request);
void op_close_session(struct call *call, const ProtobufCMessage *request);
void op_spawn(struct call *call, const ProtobufCMessage *request);
void op_cancel(struct call *call, const ProtobufCMessage *request);
void op_signal(struct call *call, const ProtobufCMessage *request);
void op_await_exit(struct call *call, const ProtobufCMessage *request);
void op_release(struct call *call, const ProtobufCMessage *request);
void op_read_output(struct call *call, const ProtobufCMessage *request);
void op_write_stdin(struct call *call, const ProtobufCMessage *request);
void op_list_processes(struct call *call, const ProtobufCMessage *request);
void op_get_server_info(struct call *call, const ProtobufCMessage *request);

// The process has started or ended: answers the Spawn. True where its hold has only begun.
bool op_spawn_holds(struct call *call, struct process *process);
void op_spawn_finish(struct call *call, struct process *process);

// The rung has acted, or the process has ended.
void op_cancel_finish(struct call *call, struct process *process);
void op_signal_finish(struct call *call, uint32_t hit);

// The awaited fact holds, or the hold is over.
void op_await_finish(struct call *call, struct process *process);

// Output: size bytes at offset; eof as enum link_eof.
void op_read_finish(struct call *call, uint8_t *data, uint32_t size, uint64_t offset, uint32_t eof);

// Standard input has come as far as it could.
void op_write_finish(struct call *call, struct process *process);
