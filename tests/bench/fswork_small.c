/* SPDX-License-Identifier: MIT */
/* fswork_small.c: many small files in folders. */
#include "tests/bench/fswork.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/bench/data.h"

enum {
	FILES = 20000,
	FILES_OF_FOLDER = 100,
	FILE_BYTES = 1024,
	NAME_BYTES = 64,
};

/* Whole folders of files. */
static uint64_t files_of(const struct fswork_run *run)
{
	uint64_t files = fswork_scaled(run, FILES, FILES_OF_FOLDER);

	return files - files % FILES_OF_FOLDER;
}

static void name_folder(char name[NAME_BYTES], uint64_t i)
{
	snprintf(name, NAME_BYTES, "folder-%04u",
	         (unsigned)(i / FILES_OF_FOLDER));
}

static void name_file(char name[NAME_BYTES], uint64_t i, const char *kind)
{
	snprintf(name, NAME_BYTES, "folder-%04u/%s-%06u.txt",
	         (unsigned)(i / FILES_OF_FOLDER), kind, (unsigned)i);
}

typedef int (*each_fn)(uint64_t i, const char *name);

static int each_file(struct fswork_run *run, const char *kind, each_fn each)
{
	uint64_t files = files_of(run);
	char name[NAME_BYTES];
	int err = 0;

	for (uint64_t i = 0; err == 0 && i < files; i++) {
		name_file(name, i, kind);
		err = each(i, name);
	}
	run->ops = files;
	return err;
}

static int create_one(uint64_t i, const char *name)
{
	uint8_t data[FILE_BYTES];
	char folder[NAME_BYTES];
	int fd, err;

	if (i % FILES_OF_FOLDER == 0) {
		name_folder(folder, i);
		if (mkdir(folder, 0755) != 0)
			return fswork_failed(folder, errno);
	}
	data_value(data, sizeof(data), i, 0);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return fswork_failed(name, errno);
	err = fswork_write(fd, name, data, sizeof(data), 0);
	if (close(fd) != 0 && err == 0)
		err = fswork_failed(name, errno);
	return err;
}

static int stat_one(uint64_t i, const char *name)
{
	struct stat st;

	(void)i;
	if (lstat(name, &st) != 0)
		return fswork_failed(name, errno);
	return st.st_size == FILE_BYTES ? 0 : fswork_failed(name, EIO);
}

static int read_one(uint64_t i, const char *name)
{
	uint8_t data[FILE_BYTES];
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return fswork_failed(name, errno);
	err = fswork_read(fd, name, data, sizeof(data), 0);
	close(fd);
	if (err == 0 &&
	    !data_value_is(slice_make(data, sizeof(data)), sizeof(data), i))
		err = fswork_failed(name, EILSEQ);
	return err;
}

static int rename_one(uint64_t i, const char *name)
{
	char other[NAME_BYTES];

	name_file(other, i, "other");
	return rename(name, other) == 0 ? 0 : fswork_failed(name, errno);
}

static int remove_one(uint64_t i, const char *name)
{
	char folder[NAME_BYTES];

	if (unlink(name) != 0)
		return fswork_failed(name, errno);
	if (i % FILES_OF_FOLDER != FILES_OF_FOLDER - 1)
		return 0;
	name_folder(folder, i);
	return rmdir(folder) == 0 ? 0 : fswork_failed(folder, errno);
}

static int create_all(struct fswork_run *run)
{
	return each_file(run, "file", create_one);
}

static int stat_all(struct fswork_run *run)
{
	return each_file(run, "file", stat_one);
}

static int read_all(struct fswork_run *run)
{
	return each_file(run, "file", read_one);
}

static int rename_all(struct fswork_run *run)
{
	return each_file(run, "file", rename_one);
}

static int remove_all(struct fswork_run *run)
{
	return each_file(run, "other", remove_one);
}

static int list_one(const char *folder)
{
	DIR *dir = opendir(folder);
	unsigned found = 0;

	if (dir == NULL)
		return fswork_failed(folder, errno);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		found += entry->d_name[0] != '.';
	closedir(dir);
	return found == FILES_OF_FOLDER ? 0 : fswork_failed(folder, EIO);
}

static int list_all(struct fswork_run *run)
{
	uint64_t files = files_of(run);
	char folder[NAME_BYTES];
	int err = 0;

	for (uint64_t i = 0; err == 0 && i < files; i += FILES_OF_FOLDER) {
		name_folder(folder, i);
		err = list_one(folder);
	}
	run->ops = files / FILES_OF_FOLDER;
	return err;
}

const struct fswork fsworks_small[] = {
    {
	.name = "small",
	.help = "20,000 files of 1 KiB in 200 folders",
	.phases =
	    {
		{"create", create_all, FSWORK_SYNC | FSWORK_FLOOR, 2.5},
		{"stat", stat_all, FSWORK_FLOOR, 0},
		{"stat-warm", stat_all, FSWORK_FLOOR, 1.2},
		{"read", read_all, FSWORK_FLOOR, 0},
		{"list", list_all, FSWORK_FLOOR, 0},
		{"read-cold", read_all, FSWORK_COLD | FSWORK_WEIGH, 0.4},
		{"list-cold", list_all, FSWORK_COLD, 0},
		{"stat-cold", stat_all, FSWORK_COLD, 0},
		{"rename", rename_all, FSWORK_SYNC | FSWORK_FLOOR, 3.0},
		{"remove", remove_all, FSWORK_SYNC | FSWORK_FLOOR, 3.0},
	    },
    },
    {.name = NULL},
};
