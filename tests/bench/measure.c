/* SPDX-License-Identifier: MIT */
#include "tests/bench/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { WALK_DESCRIPTORS = 16 };

static enum lsm_err failed(const char *path)
{
	fprintf(stderr, "kvbench: %s: %s\n", path, strerror(errno));
	return LSM_ERR_IO;
}

/* The number behind `label` at the start of a line of `path`. */
static enum lsm_err number(const char *path, const char *label,
                           uint64_t *number_out)
{
	FILE *file = fopen(path, "re");
	bool found = false;
	char line[256];

	if (file == NULL)
		return failed(path);
	while (!found && fgets(line, sizeof(line), file) != NULL) {
		unsigned long long value;

		if (strncmp(line, label, strlen(label)) == 0 &&
		    sscanf(line + strlen(label), "%llu", &value) == 1) {
			*number_out = value;
			found = true;
		}
	}
	fclose(file);
	errno = ENODATA;
	return found ? LSM_OK : failed(path);
}

enum lsm_err measure_io(struct measure_io *io)
{
	enum lsm_err err =
	    number("/proc/self/io", "read_bytes:", &io->read_bytes);

	if (err == LSM_OK)
		err = number("/proc/self/io", "write_bytes:", &io->write_bytes);
	return err;
}

double measure_cpu_s(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) != 0)
		return 0;
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

enum lsm_err measure_peak(uint64_t *bytes_out)
{
	uint64_t kib = 0;
	enum lsm_err err = number("/proc/self/status", "VmHWM:", &kib);

	*bytes_out = kib << 10;
	return err;
}

void measure_reset_peak(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "5", 1) != 1)
		fprintf(stderr, "kvbench: the peak counts from the start\n");
	close(fd);
}

/* ---- the files of a store ---------------------------------------------------- */

static uint64_t walk_bytes; /* nftw() passes no context; one thread */

static int add_space(const char *path, const struct stat *status, int type,
                     struct FTW *where)
{
	(void)path;
	(void)where;
	if (type == FTW_F)
		walk_bytes += (uint64_t)status->st_blocks * 512;
	return 0;
}

enum lsm_err measure_space(const char *path, uint64_t *bytes_out)
{
	walk_bytes = 0;
	if (nftw(path, add_space, WALK_DESCRIPTORS, FTW_PHYS) != 0)
		return failed(path);
	*bytes_out = walk_bytes;
	return LSM_OK;
}

static int forget(const char *path, const struct stat *status, int type,
                  struct FTW *where)
{
	int fd, err;

	(void)status;
	(void)where;
	if (type != FTW_F)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	err = fsync(fd) != 0 ? errno
	                     : posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	errno = err;
	return err == 0 ? 0 : -1;
}

enum lsm_err measure_drop_cache(const char *path)
{
	int fd;

	if (nftw(path, forget, WALK_DESCRIPTORS, FTW_PHYS) != 0)
		return failed(path);
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return LSM_OK; /* ours are gone */
	if (write(fd, "1", 1) != 1)
		fprintf(stderr, "kvbench: only this store's pages went\n");
	close(fd);
	return LSM_OK;
}
