/* SPDX-License-Identifier: MIT */
/*
 * opbench.c: what one operation on a mounted filesystem costs when 1, 2, 4 or 8
 * processes make it at once: time, and the requests that reach the daemon.
 *
 * Usage: opbench [-p PROCESSES] [-n OPERATIONS] [-s STATS] FOLDER WORKLOAD...
 *
 * Each process works in a folder of its own, on OPERATIONS files. STATS is a
 * command that prints the figures of the mount as JSON: then the requests of
 * each kind are printed, for one operation. A workload may be named again, so
 * that rounds alternate.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sync.h"
#include "tests/bench/histogram.h"

enum {
	MAX_PROCESSES = 64,
	SMALL_BYTES = 1024,
	PAGE_BYTES = 4096,
	NAME_BYTES = 64,
};

/* What all processes share. */
struct shared {
	_Atomic unsigned ready;
	_Atomic bool go;
	uint64_t started_ns[MAX_PROCESSES], ended_ns[MAX_PROCESSES];
	struct histogram times[MAX_PROCESSES];
};

static struct {
	const char *folder, *stats;
	unsigned processes, count;
	char *page; /* aligned, for O_DIRECT */
} config = {.processes = 1, .count = 2000};

static void die(const char *what)
{
	fprintf(stderr, "opbench: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void need(bool good, const char *what)
{
	if (!good)
		die(what);
}

static void name_of(char name[NAME_BYTES], const char *kind, unsigned i)
{
	snprintf(name, NAME_BYTES, "%s%u", kind, i);
}

/* ---- one operation each, in the folder of the process -------------------- */

static void make_file(unsigned i, size_t bytes)
{
	char name[NAME_BYTES];
	int fd;

	name_of(name, "file", i);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
	need(fd >= 0, name);
	if (bytes > 0)
		need(write(fd, config.page, bytes) == (ssize_t)bytes, name);
	need(close(fd) == 0, name);
}

static void op_create(unsigned i)
{
	make_file(i, 0);
}

static void op_small(unsigned i)
{
	make_file(i, SMALL_BYTES);
}

static void op_lookup(unsigned i)
{
	char name[NAME_BYTES];
	struct stat st;

	name_of(name, "never", i);
	need(stat(name, &st) < 0 && errno == ENOENT, name);
}

static void op_stat(unsigned i)
{
	char name[NAME_BYTES];
	struct stat st;

	name_of(name, "file", i);
	need(stat(name, &st) == 0, name);
}

static void op_read(unsigned i)
{
	char name[NAME_BYTES];
	char bytes[PAGE_BYTES];
	int fd;

	name_of(name, "file", i);
	fd = open(name, O_RDONLY);
	need(fd >= 0 && read(fd, bytes, sizeof(bytes)) >= 0, name);
	need(close(fd) == 0, name);
}

/* Open in workloads that work on one page again and again. */
static int page_fd = -1;

static void op_direct(unsigned i)
{
	(void)i;
	need(pread(page_fd, config.page, PAGE_BYTES, 0) == PAGE_BYTES, "page");
}

static void op_write(unsigned i)
{
	(void)i;
	need(pwrite(page_fd, config.page, PAGE_BYTES, 0) == PAGE_BYTES, "page");
}

static void op_rename(unsigned i)
{
	char from[NAME_BYTES], to[NAME_BYTES];

	name_of(from, "file", i);
	name_of(to, "moved", i);
	need(rename(from, to) == 0, from);
}

static void op_unlink(unsigned i)
{
	char name[NAME_BYTES];

	name_of(name, "file", i);
	need(unlink(name) == 0, name);
}

static void op_mkdir(unsigned i)
{
	char name[NAME_BYTES];

	name_of(name, "dir", i);
	need(mkdir(name, 0755) == 0, name);
}

/* ---- workloads ----------------------------------------------------------- */

static const struct workload {
	const char *name;
	void (*run)(unsigned i);
	size_t file_bytes; /* of the files that must be there; 0: none */
	int page_flags;    /* of the page; 0: not open */
} workloads[] = {
    {"lookup", op_lookup, 0, 0},
    {"create", op_create, 0, 0},
    {"small", op_small, 0, 0},
    {"mkdir", op_mkdir, 0, 0},
    {"stat", op_stat, SMALL_BYTES, 0},
    {"read", op_read, SMALL_BYTES, 0},
    {"direct", op_direct, 0, O_RDONLY | O_DIRECT},
    {"write", op_write, 0, O_WRONLY},
    {"rename", op_rename, SMALL_BYTES, 0},
    {"unlink", op_unlink, SMALL_BYTES, 0},
};

static const struct workload *find_workload(const char *name)
{
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
		if (strcmp(workloads[i].name, name) == 0)
			return &workloads[i];
	}
	fprintf(stderr, "opbench: no workload %s\n", name);
	exit(EXIT_FAILURE);
}

static void prepare(const struct workload *workload)
{
	int fd = open("page", O_WRONLY | O_CREAT, 0644);

	need(fd >= 0, "page");
	need(write(fd, config.page, PAGE_BYTES) == PAGE_BYTES, "page");
	need(close(fd) == 0, "page");
	if (workload->page_flags != 0) {
		page_fd = open("page", workload->page_flags);
		need(page_fd >= 0, "page");
		workload->run(0); /* the first is told apart by the kernel */
	}
	for (unsigned i = 0; workload->file_bytes > 0 && i < config.count; i++)
		make_file(i, workload->file_bytes);
}

static void enter_folder(unsigned round, unsigned process)
{
	char name[NAME_BYTES];

	need(chdir(config.folder) == 0, config.folder);
	snprintf(name, sizeof(name), "op%ld-%u-%u", (long)getppid(), round,
	         process);
	need(mkdir(name, 0755) == 0 && chdir(name) == 0, name);
}

static void run_process(const struct workload *workload, unsigned round,
                        unsigned process, struct shared *shared)
{
	enter_folder(round, process);
	prepare(workload);
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go))
		usleep(100);
	shared->started_ns[process] = sync_now_ns();
	for (unsigned i = 0; i < config.count; i++) {
		uint64_t before = sync_now_ns();

		workload->run(i);
		histogram_add(&shared->times[process], sync_now_ns() - before);
	}
	shared->ended_ns[process] = sync_now_ns();
}

/* ---- the daemon's counters ----------------------------------------------- */

static json_t *read_requests(void)
{
	json_t *all, *requests;
	FILE *pipe;

	if (config.stats == NULL)
		return NULL;
	pipe = popen(config.stats, "r");
	need(pipe != NULL, config.stats);
	all = json_loadf(pipe, 0, NULL);
	pclose(pipe);
	requests = json_incref(json_object_get(all, "requests"));
	json_decref(all);
	if (requests == NULL) {
		fprintf(stderr, "opbench: %s: no figures\n", config.stats);
		exit(EXIT_FAILURE);
	}
	return requests;
}

static void print_requests(json_t *before, json_t *after, double operations)
{
	const char *name;
	json_t *value;

	json_object_foreach(after, name, value)
	{
		json_int_t more =
		    json_integer_value(value) -
		    json_integer_value(json_object_get(before, name));

		if (more > 0)
			printf(" %s %.2f", name, (double)more / operations);
	}
}

/* ---- rounds -------------------------------------------------------------- */

static void report(const struct workload *workload, struct shared *shared)
{
	uint64_t first = UINT64_MAX, last = 0;
	struct histogram *all = &shared->times[0];

	for (unsigned i = 0; i < config.processes; i++) {
		if (i > 0)
			histogram_merge(all, &shared->times[i]);
		if (shared->started_ns[i] < first)
			first = shared->started_ns[i];
		if (shared->ended_ns[i] > last)
			last = shared->ended_ns[i];
	}
	printf("%-8s %2u  %8.0f/s  min %6.1f  p50 %6.1f  p99 %7.1f us",
	       workload->name, config.processes,
	       (double)all->count * 1e9 / (double)(last - first),
	       (double)histogram_at(all, 0) / 1e3,
	       (double)histogram_at(all, 0.5) / 1e3,
	       (double)histogram_at(all, 0.99) / 1e3);
}

static void run_round(const struct workload *workload, unsigned round)
{
	struct shared *shared =
	    mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	json_t *before, *after;
	int failed = 0;

	need(shared != MAP_FAILED, "mmap");
	for (unsigned i = 0; i < config.processes; i++) {
		pid_t pid = fork();

		need(pid >= 0, "fork");
		if (pid == 0) {
			run_process(workload, round, i, shared);
			_exit(0);
		}
	}
	while (atomic_load(&shared->ready) < config.processes &&
	       waitpid(-1, NULL, WNOHANG) == 0)
		usleep(1000);
	before = read_requests();
	atomic_store(&shared->go, true);
	for (unsigned i = 0; i < config.processes; i++) {
		int status;

		if (wait(&status) < 0 || status != 0)
			failed++;
	}
	if (failed > 0)
		exit(EXIT_FAILURE);
	after = read_requests();
	report(workload, shared);
	print_requests(before, after, (double)config.processes * config.count);
	printf("\n");
	fflush(stdout);
	json_decref(before);
	json_decref(after);
	munmap(shared, sizeof(*shared));
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "p:n:s:")) != -1) {
		if (option == 'p')
			config.processes = (unsigned)atoi(optarg);
		else if (option == 'n')
			config.count = (unsigned)atoi(optarg);
		else if (option == 's')
			config.stats = optarg;
		else
			return EXIT_FAILURE;
	}
	if (argc - optind < 2 || config.processes < 1 ||
	    config.processes > MAX_PROCESSES || config.count < 1) {
		fprintf(stderr, "usage: opbench [-p PROCESSES] [-n OPERATIONS] "
		                "[-s STATS] FOLDER WORKLOAD...\n");
		return EXIT_FAILURE;
	}
	config.folder = argv[optind];
	config.page = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	need(config.page != NULL, "memory");
	memset(config.page, 'x', PAGE_BYTES);
	for (int i = optind + 1; i < argc; i++)
		run_round(find_workload(argv[i]), (unsigned)i);
	return EXIT_SUCCESS;
}
