// Runs a fuzz target over the files of a folder, so that the corpus is a test with any compiler.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>

#include "server/common/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 1048576u

static int replay(const char *folder, const char *name)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "rb");
	if (!file)
		return -errno;
	uint8_t *CLEANUP_FREE input = malloc(INPUT_MAX);
	size_t size = input ? fread(input, 1, INPUT_MAX, file) : 0;
	fclose(file);
	if (!input)
		return -ENOMEM;
	uint8_t *CLEANUP_FREE exact = malloc(size ? size : 1); // so that sanitizers see its end
	if (!exact)
		return -ENOMEM;
	for (size_t i = 0; i < size; i++)
		exact[i] = input[i];
	LLVMFuzzerTestOneInput(exact, size);
	return 0;
}

int main(int argc, char **argv)
{
	DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
	if (!folder) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	size_t n = 0;
	for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
		if (entry->d_name[0] == '.')
			continue;
		if (replay(argv[1], entry->d_name) != 0) {
			fprintf(stderr, "%s: cannot be read\n", entry->d_name);
			return 1;
		}
		n++;
	}
	closedir(folder);
	printf("%zu inputs replayed\n", n);
	return n > 0 ? 0 : 1;
}
