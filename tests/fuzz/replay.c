/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs a fuzzer over files, where the compiler has no libFuzzer: main() in the place of its. */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned int n_run;

static void run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;

	/* the last one that is named is the one that did it */
	fprintf(stderr, "%s\n", path);
	must(file && fstat(fileno(file), &st) == 0);
	data = malloc(st.st_size ? (size_t)st.st_size : 1);
	must(data && fread(data, 1, (size_t)st.st_size, file) == (size_t)st.st_size);
	fclose(file);
	LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
	free(data);
	n_run++;
}

static void run_directory(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	must(dir);
	while ((entry = readdir(dir))) {
		char *file;

		if (entry->d_name[0] == '.')
			continue;
		must(asprintf(&file, "%s/%s", path, entry->d_name) > 0);
		run_file(file);
		free(file);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run_directory(argv[i]);
	printf("ok 1 - %u inputs\n1..1\n", n_run);
	return n_run ? 0 : 1;
}
