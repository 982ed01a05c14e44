/* SPDX-License-Identifier: MIT */
/*
 * env_posix.c: the table of env.h over Linux system calls; what changes names
 * is in env_posix_name.c, what maps in env_posix_map.c.
 *
 * Threads: nothing here is shared but the counters.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/sync.h"
#include "io/env_posix.h"

enum {
	DIR_MODE = 0700,
	FILE_MODE = 0600,
	SEALED_MODE = 0400,
	/* Fetched around what is not cached, powers of two, until it comes to so
	   many times the file; larger reads fetch themselves alone. */
	NEAR_MIN_BYTES = 128 << 10,
	NEAR_MAX_BYTES = 1 << 20,
	NEAR_TIMES = 2,
	NEAR_READ_MAX_BYTES = 16 << 10,
};

/* Figures for people: relaxed. */
static atomic_uint_fast64_t bytes_written, bytes_read, syncs;

static void count(atomic_uint_fast64_t *counter, uint64_t more)
{
	atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

void posix_count_written(uint64_t bytes)
{
	count(&bytes_written, bytes);
}

/* The answer for a failed call, and the one log line about it. `name` is empty
   where `path` says it all. */
static enum lsm_err refuse(int sys, const char *what, const char *path,
                           const char *name)
{
	enum lsm_err err = err_from_errno(sys);

	if (err != LSM_ERR_NOT_FOUND && err != LSM_ERR_EXISTS)
		log_error("%s%s%s: cannot %s: %s", path,
		          *name == '\0' ? "" : "/", name, what, strerror(sys));
	return err;
}

static enum lsm_err refuse_path(int sys, const char *what, const char *path)
{
	return refuse(sys, what, path, "");
}

enum lsm_err posix_refuse_name(int sys, const char *what, struct env_dir *dir,
                               const char *name)
{
	return refuse(sys, what, posix_dir(dir)->path, name);
}

int posix_openat(int dir_fd, const char *path, int flags)
{
	int fd;

	do {
		fd = openat(dir_fd, path, flags | O_CLOEXEC, FILE_MODE);
	} while (fd < 0 && errno == EINTR);
	return fd;
}

/* A handle that owns `fd`; NULL, logged, with `fd` closed, when out of memory.
   `name` may be empty. */
static struct posix_handle *wrap(int fd, const char *folder, const char *name)
{
	size_t path_bytes = strlen(folder) + 1 + strlen(name) + 1;
	struct posix_handle *handle = malloc(sizeof(*handle) + path_bytes);

	if (handle == NULL) {
		log_error("%s/%s: cannot open: out of memory", folder, name);
		close(fd);
		return NULL;
	}
	snprintf(handle->path, path_bytes, "%s%s%s", folder,
	         *name == '\0' ? "" : "/", name);
	handle->fd = fd;
	atomic_init(&handle->fetched_bytes, 0);
	return handle;
}

/* ---- folders ---------------------------------------------------------- */

/* What is no folder is not found as one: callers then try it as a file. */
static int folder_errno(int sys)
{
	return sys == ENOTDIR || sys == ELOOP ? ENOENT : sys;
}

static enum lsm_err posix_dir_open(const struct env *env, const char *path,
                                   struct env_dir **dir_out)
{
	struct posix_handle *dir;
	int fd;

	fd = posix_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return refuse_path(folder_errno(errno), "open folder", path);
	dir = wrap(fd, path, "");
	if (dir == NULL)
		return LSM_ERR_NOMEM;
	dir->base.dir.env = env;
	*dir_out = &dir->base.dir;
	return LSM_OK;
}

static enum lsm_err posix_dir_open_at(struct env_dir *parent, const char *name,
                                      struct env_dir **dir_out)
{
	struct posix_handle *p = posix_dir(parent);
	struct posix_handle *dir;
	int fd;

	fd = posix_openat(p->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd < 0)
		return posix_refuse_name(folder_errno(errno), "open folder",
		                         parent, name);
	dir = wrap(fd, p->path, name);
	if (dir == NULL)
		return LSM_ERR_NOMEM;
	dir->base.dir.env = parent->env;
	*dir_out = &dir->base.dir;
	return LSM_OK;
}

static void posix_dir_close(struct env_dir *dir)
{
	close(posix_dir(dir)->fd);
	free(dir);
}

static enum lsm_err posix_dir_make(struct env_dir *parent, const char *name)
{
	if (mkdirat(posix_dir(parent)->fd, name, DIR_MODE) != 0)
		return posix_refuse_name(errno, "make folder", parent, name);
	return LSM_OK;
}

static enum lsm_err posix_dir_sync(struct env_dir *dir)
{
	int rc;

	count(&syncs, 1);
	do {
		rc = fsync(posix_dir(dir)->fd);
	} while (rc != 0 && errno == EINTR);
	if (rc != 0)
		return refuse_path(errno, "sync folder", posix_dir(dir)->path);
	return LSM_OK;
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static enum lsm_err
posix_dir_list(struct env_dir *dir,
               enum lsm_err (*each)(void *ctx, const char *name), void *ctx)
{
	const char *path = posix_dir(dir)->path;
	enum lsm_err err = LSM_OK;
	struct dirent *entry;
	DIR *stream;
	int fd;

	/* A descriptor of its own: a listing moves its file position. */
	fd = posix_openat(posix_dir(dir)->fd, ".", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return refuse_path(errno, "list folder", path);
	stream = fdopendir(fd);
	if (stream == NULL) {
		err = refuse_path(errno, "list folder", path);
		close(fd);
		return err;
	}
	for (;;) {
		errno = 0;
		entry = readdir(stream);
		if (entry == NULL && errno != 0)
			err = refuse_path(errno, "list folder", path);
		if (entry == NULL)
			break;
		if (is_dot(entry->d_name))
			continue;
		err = each(ctx, entry->d_name);
		if (err != LSM_OK)
			break;
	}
	closedir(stream);
	return err;
}

static enum lsm_err posix_dir_space(struct env_dir *dir, uint64_t *total_out,
                                    uint64_t *free_out)
{
	struct statvfs space;

	if (fstatvfs(posix_dir(dir)->fd, &space) != 0)
		return refuse_path(errno, "measure the filesystem of",
		                   posix_dir(dir)->path);
	*total_out = (uint64_t)space.f_blocks * space.f_frsize;
	*free_out = (uint64_t)space.f_bavail * space.f_frsize;
	return LSM_OK;
}

/* ---- a full disk ------------------------------------------------------ */

static bool (*_Atomic give_up)(void *ctx);
static void *_Atomic give_up_ctx;

void env_on_nospace(bool (*fn)(void *ctx), void *ctx)
{
	atomic_store(&give_up_ctx, ctx);
	atomic_store(&give_up, fn);
}

/* Whether somebody made room, so that what failed with `sys` can be tried again. */
static bool made_room(int sys)
{
	bool (*fn)(void *ctx) = atomic_load(&give_up);

	return sys == ENOSPC && fn != NULL && fn(atomic_load(&give_up_ctx));
}

/* ---- files ------------------------------------------------------------ */

static enum lsm_err posix_open(struct env_dir *dir, const char *name,
                               enum env_open_mode mode,
                               struct env_file **file_out)
{
	int flags = mode == ENV_READ ? O_RDONLY : O_RDWR | O_CREAT | O_EXCL;
	struct posix_handle *d = posix_dir(dir);
	struct posix_handle *file;
	int fd;

	do {
		fd = posix_openat(d->fd, name, flags | O_NOFOLLOW);
	} while (fd < 0 && made_room(errno));
	if (fd < 0)
		return posix_refuse_name(
		    errno, mode == ENV_READ ? "open" : "create", dir, name);
	file = wrap(fd, d->path, name);
	if (file == NULL) {
		if (mode == ENV_CREATE)
			unlinkat(d->fd, name, 0);
		return LSM_ERR_NOMEM;
	}
	file->base.file.env = dir->env;
	*file_out = &file->base.file;
	return LSM_OK;
}

static enum lsm_err lock_fd(int fd, bool shared, struct env_dir *dir,
                            const char *name)
{
	if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
		return LSM_OK;
	if (errno != EWOULDBLOCK)
		return posix_refuse_name(errno, "lock", dir, name);
	log_error("%s/%s: in use by another process", posix_dir(dir)->path,
	          name);
	return LSM_ERR_BUSY;
}

static enum lsm_err posix_dir_lock(struct env_dir *dir, const char *name,
                                   bool shared, struct env_file **lock_out)
{
	int flags = shared ? O_RDONLY : O_RDWR | O_CREAT;
	struct posix_handle *lock;
	enum lsm_err err;
	int fd;

	fd = posix_openat(posix_dir(dir)->fd, name, flags | O_NOFOLLOW);
	if (fd < 0)
		return posix_refuse_name(errno, "open", dir, name);
	err = lock_fd(fd, shared, dir, name);
	if (err != LSM_OK) {
		close(fd);
		return err;
	}
	lock = wrap(fd, posix_dir(dir)->path, name);
	if (lock == NULL)
		return LSM_ERR_NOMEM;
	lock->base.file.env = dir->env;
	*lock_out = &lock->base.file;
	return LSM_OK;
}

static enum lsm_err posix_close(struct env_file *file)
{
	enum lsm_err err = LSM_OK;

	/* After EINTR the descriptor is gone all the same. */
	if (close(posix_file(file)->fd) != 0 && errno != EINTR)
		err = refuse_path(errno, "close", posix_file(file)->path);
	free(file);
	return err;
}

static enum lsm_err posix_size(struct env_file *file, uint64_t *size_out)
{
	struct stat st;

	if (fstat(posix_file(file)->fd, &st) != 0)
		return refuse_path(errno, "stat", posix_file(file)->path);
	*size_out = (uint64_t)st.st_size;
	return LSM_OK;
}

enum lsm_err posix_refuse_at(int sys, const char *what,
                             const struct posix_handle *file, uint64_t offset)
{
	log_error("%s: cannot %s at offset %llu: %s", file->path, what,
	          (unsigned long long)offset, strerror(sys));
	return err_from_errno(sys);
}

/*
 * How much to fetch around `len` bytes that are not cached: the more, the more of
 * the file was, for then it is read all over. 0: these bytes alone. What was
 * fetched and is wanted again was thrown out, as it will be when the store is
 * larger than memory: from then on, what is wanted makes up for what is fetched
 * besides, byte by byte.
 */
static uint64_t near_bytes(struct posix_handle *f, size_t len,
                           uint64_t file_bytes)
{
	uint64_t fetched =
	    atomic_load_explicit(&f->fetched_bytes, memory_order_relaxed);
	uint64_t bytes = NEAR_MIN_BYTES;

	if (fetched / NEAR_TIMES >= file_bytes) {
		if (fetched >= len)
			atomic_store_explicit(&f->fetched_bytes, fetched - len,
			                      memory_order_relaxed);
		return 0;
	}
	while (bytes < NEAR_MAX_BYTES && bytes <= fetched)
		bytes *= 2;
	atomic_store_explicit(&f->fetched_bytes, fetched + bytes,
	                      memory_order_relaxed);
	return bytes;
}

/* Have the system fetch what is about `offset`, without waiting for it. */
static void fetch_near(struct posix_handle *f, uint64_t offset, size_t len)
{
	uint64_t bytes, start;
	struct stat st;

	if (fstat(f->fd, &st) != 0)
		return;
	bytes = near_bytes(f, len, (uint64_t)st.st_size);
	if (bytes == 0)
		return;
	start = offset & ~(bytes - 1);
	/* First what is waited for. */
	(void)posix_fadvise(f->fd, (off_t)offset, (off_t)len,
	                    POSIX_FADV_WILLNEED);
	(void)posix_fadvise(f->fd, (off_t)start, (off_t)bytes,
	                    POSIX_FADV_WILLNEED);
}

/*
 * Read what is cached without waiting; where that is not all, have the system
 * fetch the neighbourhood in one go, which costs a disk hardly more than the few
 * bytes wanted: the next random reads of a cold file then find theirs. Returns
 * how many bytes were read.
 */
static size_t read_cached(struct posix_handle *f, uint64_t offset, void *data,
                          size_t len)
{
	struct iovec part = {data, len};
	ssize_t got = preadv2(f->fd, &part, 1, (off_t)offset, RWF_NOWAIT);

	if (got < 0 && errno != EAGAIN)
		return 0; /* not here; what is wrong, pread() will tell */
	if (got < 0 || (size_t)got < len)
		fetch_near(f, offset, len);
	return got < 0 ? 0 : (size_t)got;
}

static enum lsm_err posix_read(struct env_file *file, uint64_t offset,
                               void *data, size_t len, size_t *got_out)
{
	struct posix_handle *f = posix_file(file);
	size_t done = 0;
	ssize_t got;

	if (len > 0 && len <= NEAR_READ_MAX_BYTES)
		done = read_cached(f, offset, data, len);
	if (done < len)
		sync_will_wait();
	while (done < len) {
		got = pread(f->fd, (uint8_t *)data + done, len - done,
		            (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return posix_refuse_at(errno, "read", f, offset + done);
		if (got == 0)
			break;
		done += (size_t)got;
	}
	count(&bytes_read, done);
	*got_out = done;
	return LSM_OK;
}

static enum lsm_err posix_write(struct env_file *file, uint64_t offset,
                                const void *data, size_t len)
{
	struct posix_handle *f = posix_file(file);
	size_t done = 0;
	ssize_t put;

	while (done < len) {
		put = pwrite(f->fd, (const uint8_t *)data + done, len - done,
		             (off_t)(offset + done));
		if (put < 0 && (errno == EINTR || made_room(errno)))
			continue;
		if (put <= 0)
			return posix_refuse_at(put < 0 ? errno : EIO, "write",
			                       f, offset + done);
		done += (size_t)put;
		posix_count_written((uint64_t)put);
	}
	return LSM_OK;
}

int posix_sync_fd(int fd)
{
	int rc;

	count(&syncs, 1);
	do {
		rc = fdatasync(fd);
	} while (rc != 0 && errno == EINTR);
	return rc;
}

static enum lsm_err posix_sync(struct env_file *file)
{
	if (posix_sync_fd(posix_file(file)->fd) != 0)
		return refuse_path(errno, "sync", posix_file(file)->path);
	return LSM_OK;
}

static void posix_write_behind(struct env_file *file, uint64_t offset,
                               uint64_t len)
{
	sync_file_range(posix_file(file)->fd, (off_t)offset, (off_t)len,
	                SYNC_FILE_RANGE_WRITE);
}

/* Some filesystems leave what they could reserve before the disk was full: that
   goes back, since others need it, and since where a file ends may mean something.
   Nobody writes behind its end meanwhile. */
static void undo_preallocate(int fd, uint64_t size)
{
	struct stat now;

	if (fstat(fd, &now) == 0 && (uint64_t)now.st_size > size &&
	    ftruncate(fd, (off_t)size) != 0)
		log_debug("what was reserved of a file stays");
}

static enum lsm_err posix_preallocate(struct env_file *file, uint64_t offset,
                                      uint64_t len)
{
	struct posix_handle *f = posix_file(file);
	uint64_t size;
	int rc, sys;
	enum lsm_err err = posix_size(file, &size);

	if (err != LSM_OK)
		return err;
	do {
		rc = fallocate(f->fd, 0, (off_t)offset, (off_t)len);
	} while (rc != 0 && (errno == EINTR || made_room(errno)));
	if (rc == 0)
		return LSM_OK;
	sys = errno;
	if (sys == EOPNOTSUPP || sys == ENOSYS)
		return LSM_ERR_NOT_SUPPORTED;
	undo_preallocate(f->fd, size);
	return posix_refuse_at(sys, "reserve space", f, offset);
}

static enum lsm_err posix_seal(struct env_file *file)
{
	if (fchmod(posix_file(file)->fd, SEALED_MODE) != 0)
		return refuse_path(errno, "seal", posix_file(file)->path);
	return LSM_OK;
}

static void posix_drop_cache(struct env_file *file)
{
	posix_fadvise(posix_file(file)->fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* ---- what needs no file ------------------------------------------------ */

static enum lsm_err posix_random(const struct env *env, void *data, size_t len)
{
	size_t done = 0;
	ssize_t got;

	(void)env;
	while (done < len) {
		got = getrandom((uint8_t *)data + done, len - done, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return refuse_path(errno, "read", "random source");
		done += (size_t)got;
	}
	return LSM_OK;
}

static uint64_t posix_time_ns(const struct env *env)
{
	struct timespec now;

	(void)env;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)now.tv_nsec;
}

static void posix_io_stats(const struct env *env, struct env_io_stats *stats)
{
	(void)env;
	stats->bytes_written =
	    atomic_load_explicit(&bytes_written, memory_order_relaxed);
	stats->bytes_read =
	    atomic_load_explicit(&bytes_read, memory_order_relaxed);
	stats->syncs = atomic_load_explicit(&syncs, memory_order_relaxed);
}

static const struct env_ops posix_ops = {
    .dir_open = posix_dir_open,
    .dir_open_at = posix_dir_open_at,
    .dir_close = posix_dir_close,
    .dir_make = posix_dir_make,
    .dir_sync = posix_dir_sync,
    .dir_list = posix_dir_list,
    .dir_space = posix_dir_space,
    .dir_lock = posix_dir_lock,
    .unlink = posix_unlink,
    .rmdir = posix_rmdir,
    .rename = posix_rename,
    .link = posix_link,
    .reflink = posix_reflink,
    .open = posix_open,
    .close = posix_close,
    .size = posix_size,
    .read = posix_read,
    .write = posix_write,
    .sync = posix_sync,
    .write_behind = posix_write_behind,
    .preallocate = posix_preallocate,
    .map = posix_map,
    .map_store = posix_map_store,
    .unmap = posix_unmap,
    .seal = posix_seal,
    .drop_cache = posix_drop_cache,
    .random = posix_random,
    .time_ns = posix_time_ns,
    .io_stats = posix_io_stats,
};

const struct env *env_posix(void)
{
	static const struct env env = {&posix_ops};

	return &env;
}
