// Reads every golden message with protobuf-c and writes it again: the bytes must be the same.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spawn/v1/envelope.pb-c.h"
#include "spawn/v1/service.pb-c.h"

#define GOLDEN_MAX 65536u

static const ProtobufCMessageDescriptor *const messages[] = {
    &spawn__v1__already_exists__descriptor,
    &spawn__v1__await_exit_request__descriptor,
    &spawn__v1__await_exit_response__descriptor,
    &spawn__v1__cancel_request__descriptor,
    &spawn__v1__cancel_response__descriptor,
    &spawn__v1__capabilities__descriptor,
    &spawn__v1__close_session_request__descriptor,
    &spawn__v1__close_session_response__descriptor,
    &spawn__v1__counters__descriptor,
    &spawn__v1__env_var__descriptor,
    &spawn__v1__epoch_changed__descriptor,
    &spawn__v1__exit_record__descriptor,
    &spawn__v1__field__descriptor,
    &spawn__v1__get_server_info_request__descriptor,
    &spawn__v1__get_server_info_response__descriptor,
    &spawn__v1__identity__descriptor,
    &spawn__v1__journal_entry__descriptor,
    &spawn__v1__keep_alive_request__descriptor,
    &spawn__v1__keep_alive_response__descriptor,
    &spawn__v1__limit__descriptor,
    &spawn__v1__limits__descriptor,
    &spawn__v1__list_processes_request__descriptor,
    &spawn__v1__list_processes_response__descriptor,
    &spawn__v1__member__descriptor,
    &spawn__v1__open_session_request__descriptor,
    &spawn__v1__open_session_response__descriptor,
    &spawn__v1__process_info__descriptor,
    &spawn__v1__read_output_request__descriptor,
    &spawn__v1__read_output_response__descriptor,
    &spawn__v1__release_request__descriptor,
    &spawn__v1__release_response__descriptor,
    &spawn__v1__request__descriptor,
    &spawn__v1__response__descriptor,
    &spawn__v1__retry_after__descriptor,
    &spawn__v1__rlimit__descriptor,
    &spawn__v1__rung__descriptor,
    &spawn__v1__session_expired__descriptor,
    &spawn__v1__signal_request__descriptor,
    &spawn__v1__signal_response__descriptor,
    &spawn__v1__spawn_key__descriptor,
    &spawn__v1__spawn_request__descriptor,
    &spawn__v1__spawn_response__descriptor,
    &spawn__v1__start_failed__descriptor,
    &spawn__v1__status__descriptor,
    &spawn__v1__stdio__descriptor,
    &spawn__v1__target__descriptor,
    &spawn__v1__umask__descriptor,
    &spawn__v1__unsupported__descriptor,
    &spawn__v1__usage__descriptor,
    &spawn__v1__write_stdin_request__descriptor,
    &spawn__v1__write_stdin_response__descriptor,
};

static const ProtobufCMessageDescriptor *find(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
		const char *known = messages[i]->short_name;
		if (strlen(known) == length && memcmp(known, name, length) == 0)
			return messages[i];
	}
	return NULL;
}

// Two hexadecimal digits a byte, white space anywhere between bytes.
static int read_hex(const char *path, uint8_t *bytes, size_t *ret_size)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return -1;
	size_t size = 0;
	unsigned int byte;
	while (size < GOLDEN_MAX && fscanf(file, "%2x", &byte) == 1)
		bytes[size++] = (uint8_t)byte;
	int whole = feof(file);
	fclose(file);
	if (!whole)
		return -1;
	*ret_size = size;
	return 0;
}

static const char *fault_of(
    const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size)
{
	static uint8_t again[GOLDEN_MAX];
	ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL, size, bytes);
	if (message == NULL)
		return "protobuf-c cannot decode it";
	const char *fault = NULL;
	if (message->n_unknown_fields != 0)
		fault = "protobuf-c does not know a field of it";
	else if (protobuf_c_message_get_packed_size(message) != size)
		fault = "protobuf-c writes another size";
	else if (protobuf_c_message_pack(message, again) != size || memcmp(again, bytes, size) != 0)
		fault = "protobuf-c writes other bytes";
	protobuf_c_message_free_unpacked(message, NULL);
	return fault;
}

static const char *check(const char *folder, const char *file)
{
	static uint8_t bytes[GOLDEN_MAX];
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, file);
	const ProtobufCMessageDescriptor *type = find(file, strcspn(file, "-."));
	size_t size;
	if (type == NULL)
		return "no such message";
	if (read_hex(path, bytes, &size) != 0)
		return "cannot read it";
	return fault_of(type, bytes, size);
}

int main(int argc, char **argv)
{
	DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
	if (folder == NULL) {
		fprintf(stderr, "usage: %s FOLDER-OF-GOLDEN-MESSAGES\n", argv[0]);
		return 2;
	}
	size_t checked = 0, failed = 0;
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		const char *dot = strrchr(entry->d_name, '.');
		if (dot == NULL || strcmp(dot, ".hex") != 0)
			continue;
		const char *fault = check(argv[1], entry->d_name);
		checked++;
		if (fault != NULL) {
			printf("%s: %s\n", entry->d_name, fault);
			failed++;
		}
	}
	closedir(folder);
	printf("%zu messages read and written again, %zu failed\n", checked, failed);
	return failed != 0 || checked < sizeof messages / sizeof *messages;
}
