/* SPDX-License-Identifier: MIT */
/*
 * handle.c: keep the handle of a file, as an NFS server does, and open it later.
 *
 * Usage: handle save PATH >FILE
 *        handle open MOUNTPOINT <FILE    prints number and type; of a folder
 *                                        the path that leads to it now, of a
 *                                        file its bytes
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct handle {
	struct file_handle head;
	char bytes[MAX_HANDLE_SZ];
};

static int save(const char *path)
{
	struct handle handle;
	int mount;

	memset(&handle, 0, sizeof(handle));
	handle.head.handle_bytes = MAX_HANDLE_SZ;
	if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount, 0) != 0)
		return -1;
	return fwrite(&handle, sizeof(handle), 1, stdout) == 1 &&
	               fflush(stdout) == 0
	           ? 0
	           : -1;
}

/* Only of a folder does the kernel find out the path. */
static int show(int fd)
{
	char self[64];
	char path[4096];
	struct stat st;
	ssize_t len = 0;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) != 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		len = readlink(self, path, sizeof(path));
	if (len < 0)
		return -1;
	printf("%llu %o %.*s\n", (unsigned long long)st.st_ino,
	       st.st_mode & S_IFMT, (int)len, path);
	return S_ISREG(st.st_mode);
}

static int open_saved(const char *mountpoint)
{
	int root = open(mountpoint, O_RDONLY | O_DIRECTORY);
	struct handle handle;
	char bytes[4096];
	ssize_t got = 0;
	int fd, is_file;

	if (root < 0 || fread(&handle, sizeof(handle), 1, stdin) != 1)
		return -1;
	/* A symlink or a fifo can be held, but not read. */
	fd = open_by_handle_at(root, &handle.head, O_RDONLY | O_NONBLOCK);
	if (fd < 0 && errno == ELOOP)
		fd = open_by_handle_at(root, &handle.head, O_PATH);
	if (fd < 0)
		return -1;
	is_file = show(fd);
	while (is_file > 0 && (got = read(fd, bytes, sizeof(bytes))) > 0)
		fwrite(bytes, 1, (size_t)got, stdout);
	return is_file < 0 || got < 0 || fflush(stdout) != 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	int err = -1;

	errno = EINVAL;
	if (argc == 3 && strcmp(argv[1], "save") == 0)
		err = save(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "open") == 0)
		err = open_saved(argv[2]);
	if (err == 0)
		return 0;
	perror("handle");
	return 1;
}
