/* SPDX-License-Identifier: MIT */
/* kill_compare.c: a folder against the model, both ways. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/kill_model.h"

static bool differs(FILE *report, const char *path, const char *what)
{
	fprintf(report, "%s: %s\n", path, what);
	return false;
}

static bool same_bytes(const struct inode *inode, const char *path, int fd,
                       FILE *report)
{
	uint8_t *bytes = malloc(MAX_FILE + 1);
	size_t got = 0;
	ssize_t done;
	bool same;

	if (bytes == NULL)
		abort();
	while ((done = read(fd, bytes + got, MAX_FILE + 1 - got)) > 0)
		got += (size_t)done;
	same = done == 0 && got == inode->size &&
	       memcmp(bytes, inode->bytes, got) == 0;
	for (size_t i = 0; !same && i < got && i < inode->size; i++) {
		if (bytes[i] == inode->bytes[i])
			continue;
		fprintf(report, "%s: byte %zu is %02x, not %02x\n", path, i,
		        bytes[i], inode->bytes[i]);
		break;
	}
	free(bytes);
	if (!same)
		fprintf(report, "%s: %zu bytes were read of %zu (errno %d)\n",
		        path, got, inode->size, done < 0 ? errno : 0);
	return same;
}

static bool same_xattr(const struct inode *inode, const char *path, int fd,
                       FILE *report)
{
	uint64_t value = 0;
	ssize_t len = fgetxattr(fd, "user.salt", &value, sizeof(value));

	if (inode->xattr == 0 && len < 0 && errno == ENODATA)
		return true;
	if (inode->xattr != 0 && len == sizeof(value) && value == inode->xattr)
		return true;
	return differs(report, path, "another extended attribute");
}

static bool same_target(const struct inode *inode, const char *path, int root,
                        FILE *report)
{
	char target[MAX_PATH] = "";
	ssize_t len = readlinkat(root, path, target, sizeof(target) - 1);

	if (len >= 0 && strcmp(target, inode->target) == 0)
		return true;
	return differs(report, path, "another target");
}

static unsigned subfolders(const struct model *model, const char *path)
{
	size_t len = strlen(path);
	unsigned count = 0;

	for (unsigned i = 0; i < model->name_count; i++) {
		const struct name *name = &model->names[i];

		if (strncmp(name->path, path, len) == 0 &&
		    name->path[len] == '/' &&
		    strchr(name->path + len + 1, '/') == NULL &&
		    model->inodes[name->inode].type == S_IFDIR)
			count++;
	}
	return count;
}

static bool same_attributes(const struct model *model, const char *path,
                            const struct inode *inode, int root, FILE *report)
{
	unsigned links = inode->links;
	struct stat st;

	if (inode->type == S_IFDIR)
		links = 2 + subfolders(model, path);
	if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return differs(report, path, strerror(errno));
	if ((st.st_mode & S_IFMT) != inode->type)
		return differs(report, path, "another type");
	if ((st.st_mode & 07777) != inode->mode)
		return differs(report, path, "another mode");
	if (st.st_nlink == links)
		return true;
	fprintf(report, "%s: %u links, not %u\n", path, (unsigned)st.st_nlink,
	        links);
	return false;
}

static bool same_name(const struct model *model, const struct name *name,
                      int root, FILE *report)
{
	const struct inode *inode = &model->inodes[name->inode];
	const char *path = name->path;
	bool same = same_attributes(model, path, inode, root, report);
	int fd;

	if (!same)
		return false;
	if (inode->type == S_IFLNK)
		return same_target(inode, path, root, report);
	fd = openat(root, path, O_RDONLY | O_NOFOLLOW);
	if (fd < 0)
		return differs(report, path, strerror(errno));
	same = same_xattr(inode, path, fd, report);
	if (same && inode->type == S_IFREG)
		same = same_bytes(inode, path, fd, report);
	close(fd);
	return same;
}

/* How many entries there are below; each must be in the model. */
static bool count_entries(const struct model *model, int root, const char *path,
                          unsigned *count, FILE *report)
{
	int fd =
	    openat(root, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	bool good = true;

	if (dir == NULL)
		return differs(report, path, strerror(errno));
	while (good && (errno = 0, entry = readdir(dir)) != NULL) {
		char child[2 * MAX_PATH + 256];
		int name;

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(child, sizeof(child), "%s%s%s", path,
		         path[0] == '\0' ? "" : "/", entry->d_name);
		name = model_find(model, child);
		(*count)++;
		if (name < 0)
			good = differs(report, child, "should not be there");
		else if (model->inodes[model->names[name].inode].type ==
		         S_IFDIR)
			good = count_entries(model, root, child, count, report);
	}
	if (good && errno != 0)
		good = differs(report, path, strerror(errno));
	closedir(dir);
	return good;
}

bool model_matches(const struct model *model, int root, FILE *report)
{
	unsigned count = 0;
	bool good = true;

	for (unsigned i = 0; i < model->name_count; i++) {
		if (!same_name(model, &model->names[i], root, report))
			good = false;
	}
	if (!count_entries(model, root, "", &count, report))
		good = false;
	if (good && count != model->name_count) {
		fprintf(report, "%u entries are listed, not %u\n", count,
		        model->name_count);
		good = false;
	}
	return good;
}
