/* SPDX-License-Identifier: MIT */
/*
 * env_posix_map.c: storing into a shared mapping of a file.
 *
 * A store reaches the page cache, as write() does, and so survives the process.
 * What a write() would have answered with an error is a signal here, SIGBUS:
 * the file was cut short by someone, or a page of it cannot be read any more.
 * So each thread notes the range that it is storing to. The handler puts a page
 * of plain memory under a store in that range, so that it comes to its end, and
 * notes that its bytes are lost; a SIGBUS anywhere else is handled as it was
 * before. The mapping then fails for good.
 *
 * A full disk must never show here. Only filesystems are mapped that keep the
 * promise of fallocate(): those that write elsewhere than where they reserved
 * (copy on write) are not.
 */
#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sync.h"
#include "io/env_posix.h"

/* Few zeros, which stay in the processor's cache, and many by one call. */
enum { ZERO_BYTES = 16 << 10, ZERO_PARTS = 16, COUNT_BYTES = 64 << 10 };

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct posix_map {
	struct env_map base;
	const struct posix_handle *file; /* constant; not owned */
	uint8_t *bytes;                  /* constant */
	uint64_t offset;                 /* constant: of bytes in the file */
	size_t len;                      /* constant */
	bool lost;                       /* who stores; set once */
	size_t uncounted;                /* who stores: bytes stored since some
	                                    were counted as written */
};

/* What this thread is storing to: empty but within store(). */
static _Thread_local struct {
	uintptr_t start, end; /* of whole pages */
	volatile sig_atomic_t lost;
} storing;

/* Guards the two below; they are constant once installed. */
static struct sync_mutex install_mu = SYNC_MUTEX_INIT(SYNC_RANK_LEAF);
static bool installed;
static struct sigaction before;
static uintptr_t page_bytes;

static uintptr_t page_of(uintptr_t at)
{
	return at & ~(page_bytes - 1);
}

/* A fault that is not ours goes where it went before. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
	if ((before.sa_flags & SA_SIGINFO) != 0) {
		before.sa_sigaction(sig, info, context);
	} else if (before.sa_handler != SIG_DFL &&
	           before.sa_handler != SIG_IGN) {
		before.sa_handler(sig);
	} else {
		/* On return it happens again, and ends the process. */
		sigaction(sig, &before, NULL);
	}
}

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	int saved = errno;
	void *page;

	if (at >= storing.start && at < storing.end) {
		page = mmap((void *)page_of(at), page_bytes,
		            PROT_READ | PROT_WRITE,
		            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		if (page != MAP_FAILED) {
			storing.lost = 1;
			errno = saved;
			return;
		}
	}
	pass_on(sig, info, context);
	errno = saved;
}

static bool install_handler(void)
{
	struct sigaction action;

	sync_lock(&install_mu);
	if (!installed) {
		page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
		memset(&action, 0, sizeof(action));
		action.sa_sigaction = on_bus_error;
		action.sa_flags = SA_SIGINFO | SA_RESTART;
		sigemptyset(&action.sa_mask);
		installed = sigaction(SIGBUS, &action, &before) == 0;
	}
	sync_unlock(&install_mu);
	return installed;
}

/* Whether what was reserved cannot be refused later. */
static bool keeps_reservations(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0)
		return false;
	return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC;
}

/*
 * Write zeros where there are zeros: the kernel then takes memory by the large,
 * and once, where a store would have it take and place each page. They do not
 * count as written: what is stored there does.
 */
static bool bring_into_memory(int fd, uint64_t offset, uint64_t len)
{
	static const uint8_t zeros[ZERO_BYTES];

	while (len > 0) {
		struct iovec parts[ZERO_PARTS];
		uint64_t left = len;
		int count = 0;
		ssize_t put;

		for (; count < ZERO_PARTS && left > 0; count++) {
			size_t part =
			    left < ZERO_BYTES ? (size_t)left : ZERO_BYTES;

			parts[count] = (struct iovec){(void *)zeros, part};
			left -= part;
		}
		put = pwritev(fd, parts, count, (off_t)offset);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		offset += (uint64_t)put;
		len -= (uint64_t)put;
	}
	return true;
}

enum lsm_err posix_map(struct env_file *file, uint64_t offset, uint64_t len,
                       struct env_map **map_out)
{
	struct posix_handle *f = posix_file(file);
	struct posix_map *map;
	uint64_t skip;
	void *bytes;

	if (!keeps_reservations(f->fd) || !install_handler() ||
	    !bring_into_memory(f->fd, offset, len))
		return LSM_ERR_NOT_SUPPORTED;
	map = calloc(1, sizeof(*map));
	if (map == NULL)
		return LSM_ERR_NOMEM;

	skip = offset % page_bytes;
	bytes = mmap(NULL, (size_t)(len + skip), PROT_READ | PROT_WRITE,
	             MAP_SHARED, f->fd, (off_t)(offset - skip));
	if (bytes == MAP_FAILED) {
		/* Too many mappings, or a file that cannot be mapped: there is
		   write(). */
		free(map);
		return LSM_ERR_NOT_SUPPORTED;
	}
	/* A hint, which older kernels do not know. */
	(void)madvise(bytes, (size_t)(len + skip), MADV_POPULATE_WRITE);
	map->base.env = file->env;
	map->file = f;
	map->bytes = bytes;
	map->offset = offset - skip;
	map->len = (size_t)(len + skip);
	*map_out = &map->base;
	return LSM_OK;
}

enum lsm_err posix_map_store(struct env_map *base, uint64_t offset,
                             const void *data, size_t len)
{
	struct posix_map *map = (struct posix_map *)base;
	uint8_t *to = map->bytes + (offset - map->offset);

	if (map->lost)
		return LSM_ERR_IO;
	storing.lost = 0;
	storing.start = page_of((uintptr_t)to);
	storing.end = page_of((uintptr_t)to + len - 1) + page_bytes;
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(to, data, len);
	atomic_signal_fence(memory_order_seq_cst);
	storing.start = 0;
	storing.end = 0;
	if (storing.lost != 0) {
		map->lost = true;
		return posix_refuse_at(EIO, "store", map->file, offset);
	}
	/* By the large: the figure is everybody's. */
	map->uncounted += len;
	if (map->uncounted >= COUNT_BYTES) {
		posix_count_written(map->uncounted);
		map->uncounted = 0;
	}
	return LSM_OK;
}

void posix_unmap(struct env_map *base)
{
	struct posix_map *map = (struct posix_map *)base;

	posix_count_written(map->uncounted);
	munmap(map->bytes, map->len);
	free(map);
}
