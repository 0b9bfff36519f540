// One output stream of the process, carried to one of spawnctl's own.
#pragma once

#include "clients/spawnctl/run.h"

enum { output_buffers = 4 };

struct output {
	struct run *run;
	int stream; // enum spawnd_stream
	int fd;
	bool on_terminal;
	pthread_t reader, writer;

	pthread_mutex_t lock;     // guards filled, emptied, ended, failed, err, missing
	pthread_cond_t changed;   // of filled, emptied, ended
	uint64_t filled, emptied; // buffers so far; the next is at its remainder by output_buffers
	bool ended;               // the reader is through
	bool failed;              // because of err
	struct spawnd_error err;
	uint64_t missing; // bytes that the server had dropped

	struct {
		char *bytes;
		size_t size;
	} buffers[output_buffers]; // the reader's from emptied + output_buffers, else the writer's
	int write_errno;           // the writer's; read after its end
};

// Begins to carry: one thread reads ahead while another writes. Returns 0 or a negative errno.
int run_output_start(struct output *output, struct run *run, int stream, int fd);

// After run_wait_outputs without giving up, and before the client is closed: joins and frees.
void run_output_join(struct output *output);

// Spawnctl ends without waiting for the threads.
void run_output_detach(struct output *output);
