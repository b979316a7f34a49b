/*
 * tests/lib/replay_main.c - run a fuzz target over files and folders given as arguments.
 *
 * Makes every committed corpus an ordinary regression test on compilers without
 * libFuzzer.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = NULL;
	long size;
	int rc = 1;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0)
		goto out;
	rewind(f);
	/* Exactly as long as the file, so that a sanitizer sees one byte too far. */
	data = malloc(size > 0 ? (size_t)size : 1);
	if (data == NULL || fread(data, 1, (size_t)size, f) != (size_t)size)
		goto out;
	(void)LLVMFuzzerTestOneInput(data, (size_t)size);
	replayed++;
	rc = 0;
out:
	if (rc != 0)
		perror(path);
	free(data);
	if (f != NULL)
		(void)fclose(f);
	return rc;
}

static int replay(const char *path)
{
	struct stat st;
	struct dirent *e;
	DIR *dir;
	int rc = 0;

	if (stat(path, &st) != 0) {
		perror(path);
		return 1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	dir = opendir(path);
	if (dir == NULL) {
		perror(path);
		return 1;
	}
	while ((e = readdir(dir)) != NULL) {
		char name[4096];

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		rc |= replay(name);
	}
	(void)closedir(dir);
	return rc;
}

int main(int argc, char **argv)
{
	int rc = 0;

	for (int i = 1; i < argc; i++)
		rc |= replay(argv[i]);
	if (replayed == 0) {
		fprintf(stderr, "no corpus file replayed\n");
		rc = 1;
	}
	printf("%u inputs replayed\n", replayed);
	return rc;
}
