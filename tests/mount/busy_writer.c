/* SPDX-License-Identifier: MIT */
/*
 * busy_writer.c: many files at once, and a writer whose every write is counted.
 *
 * Usage: busy_writer fill FOLDER FILES BYTES     FILES files in folders of 500
 *        busy_writer run FOLDER COUNTER           numbered files until SIGTERM,
 *                                                 then operations and latencies
 *        busy_writer check FOLDER COUNT           the first COUNT are whole
 *
 * COUNTER is a file outside, which always holds how many files were written:
 * each of them had returned from its last call by then.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/mount/claims.h"

enum {
	PER_FOLDER = 500,
	MAX_SAMPLES = 4 << 20,
	FILE_BYTES = 1000,
	COUNTER_BYTES = 12,
};

static atomic_bool stopping;

static void on_signal(int number)
{
	(void)number;
	atomic_store(&stopping, true);
}

static void need(bool done, const char *what)
{
	if (done)
		return;
	fprintf(stderr, "busy_writer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void write_file(const char *path, size_t len, unsigned salt)
{
	uint8_t bytes[FILE_BYTES * 10];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

	need(fd >= 0, path);
	need(len <= sizeof(bytes), "too many bytes for a file");
	fill_bytes(bytes, len, 0, salt);
	if (len > 0)
		need(write(fd, bytes, len) == (ssize_t)len, path);
	need(close(fd) == 0, path);
}

static void fill(unsigned files, size_t len)
{
	char path[64];

	for (unsigned i = 0; i < files; i++) {
		if (i % PER_FOLDER == 0) {
			snprintf(path, sizeof(path), "d%u", i / PER_FOLDER);
			need(mkdir(path, 0755) == 0, path);
		}
		snprintf(path, sizeof(path), "d%u/f%u", i / PER_FOLDER, i);
		write_file(path, len, i);
	}
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int compare_samples(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void run(const char *counter)
{
	uint32_t *samples = malloc(MAX_SAMPLES * sizeof(*samples));
	int fd = open(counter, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	struct sigaction action = {.sa_handler = on_signal};
	unsigned count = 0;

	need(samples != NULL && fd >= 0, counter);
	sigaction(SIGTERM, &action, NULL);
	while (!atomic_load(&stopping) && count < MAX_SAMPLES) {
		uint64_t began = now_us();
		char text[COUNTER_BYTES + 4];
		char path[32];

		snprintf(path, sizeof(path), "n%u", count);
		write_file(path, FILE_BYTES, count);
		samples[count++] = (uint32_t)(now_us() - began);
		snprintf(text, sizeof(text), "%11u\n", count);
		need(pwrite(fd, text, COUNTER_BYTES, 0) == COUNTER_BYTES,
		     counter);
	}
	need(count > 0, "nothing was written");
	qsort(samples, count, sizeof(*samples), compare_samples);
	printf("%u files written, each in p50 %" PRIu32 " us, p99 %" PRIu32
	       " us, max %" PRIu32 " us\n",
	       count, samples[count / 2], samples[(uint64_t)count * 99 / 100],
	       samples[count - 1]);
	free(samples);
	close(fd);
}

static int check(unsigned count)
{
	char path[32];

	for (unsigned i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "n%u", i);
		if (same_file(path, FILE_BYTES, i))
			continue;
		printf("%s is not whole\n", path);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	char *folder = argc < 4 ? "" : argv[2];
	int code = 0;

	if (argc < 4)
		return fputs("usage: busy_writer fill|run|check FOLDER ...\n",
		             stderr),
		       2;
	need(chdir(folder) == 0, folder);
	if (argc == 5 && strcmp(argv[1], "fill") == 0)
		fill((unsigned)strtoul(argv[3], NULL, 10),
		     strtoul(argv[4], NULL, 10));
	else if (argc == 4 && strcmp(argv[1], "run") == 0)
		run(argv[3]);
	else if (argc == 4 && strcmp(argv[1], "check") == 0)
		code = check((unsigned)strtoul(argv[3], NULL, 10));
	else
		code = 2;
	return code;
}
