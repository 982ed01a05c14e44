/* SPDX-License-Identifier: MIT */
#include "tests/mount/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void (*claims_after)(void);

static bool failed;

void claim_failed(const char *file, int line, const char *condition)
{
	printf("%s:%d: not so: %s (errno %d: %s)\n", file, line, condition,
	       errno, strerror(errno));
	failed = true;
}

static bool is_wanted(const char *name, int argc, char **argv)
{
	if (argc <= 2)
		return true;
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], name) == 0)
			return true;
	}
	return false;
}

static bool run_one(const struct claim *claim, int root)
{
	failed = false;
	errno = 0;
	if (mkdirat(root, claim->name, 0755) != 0 || fchdir(root) != 0 ||
	    chdir(claim->name) != 0) {
		printf("cannot make a folder for it: %s\n", strerror(errno));
		failed = true;
	} else {
		claim->run();
	}
	if (claims_after != NULL)
		claims_after();
	printf("%s: %s\n", failed ? "not ok" : "ok", claim->name);
	fflush(stdout);
	return !failed;
}

int claims_run(const struct claim *claims, size_t count, int argc, char **argv)
{
	int code = EXIT_SUCCESS;
	int root = argc < 2 ? -1 : open(argv[1], O_RDONLY | O_DIRECTORY);

	if (root < 0) {
		fprintf(stderr, "usage: %s FOLDER [CLAIM...]\n", argv[0]);
		return 2;
	}
	umask(022);
	for (size_t i = 0; i < count; i++) {
		if (is_wanted(claims[i].name, argc, argv) &&
		    !run_one(&claims[i], root))
			code = EXIT_FAILURE;
	}
	close(root);
	return code;
}

void fill_bytes(uint8_t *bytes, size_t len, uint64_t offset, unsigned salt)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t x = (offset + i) * 0x9e3779b97f4a7c15U + salt;

		bytes[i] = (uint8_t)((x >> 56) ^ (x >> 24));
	}
}

bool make_file(const char *name, size_t len, unsigned salt)
{
	uint8_t *bytes = malloc(len + 1);
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	bool made = bytes != NULL && fd >= 0;

	if (made) {
		fill_bytes(bytes, len, 0, salt);
		made = write(fd, bytes, len) == (ssize_t)len;
	}
	if (fd >= 0 && close(fd) != 0)
		made = false;
	free(bytes);
	return made;
}

bool same_file(const char *name, size_t len, unsigned salt)
{
	uint8_t *want = malloc(len + 1);
	uint8_t *got = malloc(len + 1);
	int fd = open(name, O_RDONLY);
	bool same = want != NULL && got != NULL && fd >= 0;

	if (same) {
		fill_bytes(want, len, 0, salt);
		same = read(fd, got, len + 1) == (ssize_t)len &&
		       memcmp(want, got, len) == 0;
	}
	if (fd >= 0)
		close(fd);
	free(got);
	free(want);
	return same;
}

bool exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

off_t size_of(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0 ? st.st_size : -1;
}
