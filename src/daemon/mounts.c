/* SPDX-License-Identifier: MIT */
#include "daemon/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

extern char **environ;

void mounts_entry_release(struct mounts_entry *entry)
{
	free(entry->target);
	free(entry->source);
	free(entry->type);
	free(entry->device);
	*entry = (struct mounts_entry){0};
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* The kernel writes space, tab, newline and backslash as \ooo. In place. */
static void unescape(char *text)
{
	char *out = text;

	while (*text != '\0') {
		if (text[0] == '\\' && is_octal(text[1]) && is_octal(text[2]) &&
		    is_octal(text[3])) {
			*out++ = (char)((text[1] - '0') * 64 +
			                (text[2] - '0') * 8 + (text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

static char *copy_unescaped(const char *text)
{
	char *copy = strdup(text);

	if (copy != NULL)
		unescape(copy);
	return copy;
}

bool mounts_parse(char *line, struct mounts_entry *entry)
{
	/* Fields before the "-": id, parent, device, root, target, ... */
	enum { DEVICE_FIELD = 2, TARGET_FIELD = 4, MIN_FIELDS = 6 };
	const char *device = NULL, *target = NULL, *type, *source;
	char *save = NULL;
	char *field;
	int index = 0;

	*entry = (struct mounts_entry){0};
	line[strcspn(line, "\n")] = '\0';
	for (field = strtok_r(line, " ", &save);
	     field != NULL && strcmp(field, "-") != 0;
	     field = strtok_r(NULL, " ", &save), index++) {
		if (index == DEVICE_FIELD)
			device = field;
		else if (index == TARGET_FIELD)
			target = field;
	}
	type = field == NULL ? NULL : strtok_r(NULL, " ", &save);
	source = type == NULL ? NULL : strtok_r(NULL, " ", &save);
	if (source == NULL || index < MIN_FIELDS || target == NULL)
		return false;

	entry->target = copy_unescaped(target);
	entry->source = copy_unescaped(source);
	entry->type = copy_unescaped(type);
	entry->device = copy_unescaped(device);
	if (entry->target == NULL || entry->source == NULL ||
	    entry->type == NULL || entry->device == NULL) {
		mounts_entry_release(entry);
		return false;
	}
	return true;
}

static bool is_target(const struct mounts_entry *entry, const char *target)
{
	return strcmp(entry->target, target) == 0;
}

static bool is_device(const struct mounts_entry *entry, const char *device)
{
	return strcmp(entry->device, device) == 0;
}

/* The last mount, which lies on top of earlier ones, that `matches`. */
static int find(bool (*matches)(const struct mounts_entry *, const char *),
                const char *wanted, struct mounts_entry *entry_out)
{
	struct mounts_entry entry;
	size_t capacity = 0;
	char *line = NULL;
	FILE *file;
	int err;

	*entry_out = (struct mounts_entry){0};
	file = fopen("/proc/self/mountinfo", "re");
	if (file == NULL)
		return errno;

	while (getline(&line, &capacity, file) >= 0) {
		if (!mounts_parse(line, &entry))
			continue;
		if (matches(&entry, wanted)) {
			mounts_entry_release(entry_out);
			*entry_out = entry;
		} else {
			mounts_entry_release(&entry);
		}
	}
	err = ferror(file) ? EIO : entry_out->target == NULL ? ENOENT : 0;
	if (err != 0)
		mounts_entry_release(entry_out);
	free(line);
	fclose(file);
	return err;
}

int mounts_find(const char *target, struct mounts_entry *entry_out)
{
	return find(is_target, target, entry_out);
}

int mounts_find_device(const char *device, struct mounts_entry *entry_out)
{
	return find(is_device, device, entry_out);
}

/* dirname + "/" + basename, with only the first resolved. */
static int resolve_parent(const char *path, char **resolved_out)
{
	char *for_dir = strdup(path);
	char *for_base = strdup(path);
	char *dir = NULL;
	int err = 0;

	if (for_dir == NULL || for_base == NULL) {
		err = ENOMEM;
		goto out;
	}
	dir = realpath(dirname(for_dir), NULL);
	if (dir == NULL) {
		err = errno;
		goto out;
	}
	if (asprintf(resolved_out, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir,
	             basename(for_base)) < 0) {
		*resolved_out = NULL;
		err = ENOMEM;
	}
out:
	free(dir);
	free(for_base);
	free(for_dir);
	return err;
}

int mounts_resolve(const char *path, char **resolved_out)
{
	*resolved_out = realpath(path, NULL);
	if (*resolved_out != NULL)
		return 0;
	if (errno == ENOTCONN)
		return resolve_parent(path, resolved_out);
	return errno;
}

/*
 * Whether the daemon of the mount at `target` has died. Asked with statfs(2),
 * which the kernel never answers from a cache.
 */
static bool is_dead(const char *target)
{
	struct statfs st;

	return statfs(target, &st) != 0 &&
	       (errno == ENOTCONN || errno == ECONNABORTED);
}

/* About what is mounted at `target`. */
static int check_entry(const char *target, const char *source,
                       const struct mounts_entry *entry, bool *dead_out)
{
	if (strcmp(entry->type, MOUNTS_TYPE) != 0 || !is_dead(target)) {
		log_error("%s: %s is mounted there", target, entry->source);
		return EBUSY;
	}
	if (strcmp(entry->source, source) != 0) {
		log_error("%s: %s is mounted there, and its daemon has died",
		          target, entry->source);
		return EBUSY;
	}
	*dead_out = true;
	return 0;
}

/* Where nothing is mounted. */
static int check_folder(const char *target)
{
	struct stat st;
	int err = 0;

	if (stat(target, &st) != 0)
		err = errno;
	else if (!S_ISDIR(st.st_mode))
		err = ENOTDIR;
	if (err != 0)
		log_error("%s: %s", target, strerror(err));
	return err;
}

int mounts_check(const char *target, const char *source, bool *dead_out)
{
	struct mounts_entry entry;
	int err;

	*dead_out = false;
	err = mounts_find(target, &entry);
	if (err == ENOENT)
		return check_folder(target);
	if (err != 0) {
		log_error("/proc/self/mountinfo: %s", strerror(err));
		return err;
	}
	err = check_entry(target, source, &entry, dead_out);
	mounts_entry_release(&entry);
	return err;
}

/* fusermount3 may unmount what its caller mounted. It says why not on stderr,
   which is not wanted here: the caller prints one line. */
static int run_fusermount(const char *target, bool lazy)
{
	char *argv[6] = {"fusermount3", "-u", "-q"};
	posix_spawn_file_actions_t actions;
	int argc = 3;
	int status;
	pid_t pid;
	int err;

	if (lazy)
		argv[argc++] = "-z";
	argv[argc] = (char *)target;

	err = posix_spawn_file_actions_init(&actions);
	if (err != 0)
		return err;
	err = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO,
	                                       "/dev/null", O_WRONLY, 0);
	if (err == 0)
		err =
		    posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (err != 0)
		return err;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : EIO;
}

int mounts_detach(const char *target, bool lazy)
{
	int flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);

	if (umount2(target, flags) == 0)
		return 0;
	if (errno != EPERM || geteuid() == 0)
		return errno;
	return run_fusermount(target, lazy);
}
