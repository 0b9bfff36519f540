// Where the exit record of a command goes.
#include "clients/spawnctl/record_output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clients/spawnctl/failure.h"
#include "clients/spawnctl/json_line.h"
#include "clients/spawnctl/plain_text.h"
#include "clients/spawnctl/record_json.h"
#include "clients/spawnctl/record_text.h"
#include "clients/spawnctl/timeline.h"

// The record of a failed start is there when its answer is; this bounds a server in trouble.
static const uint64_t record_limit_ms = 10000;

int record_output_open(struct record_output *output, const struct options *options)
{
	*output = (struct record_output){.options = options, .json = options->json};
	if (options->command != COMMAND_RUN) {
		output->file = stdout;
	} else if (options->record_path) {
		output->json = true;
		output->file = fopen(options->record_path, "we");
		if (!output->file)
			return failure_tell_own(options, "%s: %s", options->record_path, strerror(errno));
	} else if (options->record || options->json) {
		output->file = stderr;
	}
	return 0;
}

void record_output_close(struct record_output *output)
{
	if (output->file && output->options->record_path)
		fclose(output->file); // flushed and checked by each write
}

static int write_words(FILE *file, const struct spawnd_exit *record)
{
	char words[512], *name = plain_text_escape(record->name, 1);
	int rc;

	record_text_format(record, NULL, words, sizeof words);
	fprintf(file, "process %016" PRIx64 "%s%s%s: %s\n", record->process.id,
	    *record->name ? " (" : "", name ? name : "?", *record->name ? ")" : "", words);
	free(name);
	rc = timeline_draw(record, file);
	return rc == 0 && fflush(file) != 0 ? -errno : rc;
}

int record_output_write(struct record_output *output, const struct spawnd_exit *record)
{
	int rc = 0;

	if (!output->file)
		return 0;
	rc = output->json ? json_line_write(output->file, record_json_exit(record))
	                  : write_words(output->file, record);
	return rc < 0 ? failure_tell_own(output->options, "writing the record: %s", strerror(-rc)) : 0;
}

int record_output_start_failed(struct record_output *output, spawnd_client *client,
    const struct spawnd_process *process, const struct spawnd_error *err)
{
	const struct options *options = output->options;
	struct spawnd_exit *record;
	struct spawnd_error await_err;
	char words[512];
	int rc = 0;

	record_text_format_start_failed(
	    err->stage, err->sys_errno, options->operands[0], words, sizeof words);
	fprintf(stderr, "spawnctl: %s\n", words);
	if (!output->file || !output->json)
		return 0; // said in words
	if (spawnd_await(
	        client, process, SPAWND_UNTIL_TREE_EMPTY, record_limit_ms, &record, &await_err) < 0)
		return failure_tell(options, "its record", &await_err);
	rc = record_output_write(output, record);
	spawnd_exit_free(record);
	spawnd_release(client, process, NULL); // without an id nobody will ask for it
	return rc;
}
