/* SPDX-License-Identifier: MIT */
/*
 * options.c: one table of options, and the split of the budget.
 *
 * Of `memory` M: credit M/4 (64 MiB at most, unless told), block cache M/4,
 * parked requests M/8. What is left, M/4 and more, is for what grows with the
 * store and is not capped by itself: the node table, open tables and their
 * versions, request buffers, stacks.
 */
#include "daemon/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "fs/fs.h"

#define CREDIT_DEFAULT_MAX_BYTES (INT64_C(64) << 20)

enum { MAX_READ_MIN_BYTES = 4096 };

enum option_kind {
	OPTION_IGNORED, /* for mount(8), or true anyhow */
	OPTION_KERNEL,  /* handed to libfuse as it is */
	OPTION_RO,
	OPTION_RW,
	OPTION_NOATIME,
	OPTION_NODIRATIME,
	OPTION_MEMORY,
	OPTION_CREDIT,
	OPTION_MAX_READ,
	OPTION_WAKEUP,
	OPTION_WRITEBACK,
};

/* A name that ends in '=' takes a value, one that ends in '*' any ending. */
static const struct {
	const char *name;
	enum option_kind kind;
} known[] = {
    {"memory=", OPTION_MEMORY},
    {"credit=", OPTION_CREDIT},
    {"ro", OPTION_RO},
    {"rw", OPTION_RW},
    {"allow_other", OPTION_KERNEL},
    {"auto_unmount", OPTION_KERNEL},
    {"max_read=", OPTION_MAX_READ},
    {"wakeup=", OPTION_WAKEUP},
    {"writeback", OPTION_WRITEBACK},
    {"suid", OPTION_KERNEL},
    {"nosuid", OPTION_KERNEL},
    {"dev", OPTION_KERNEL},
    {"nodev", OPTION_KERNEL},
    {"exec", OPTION_KERNEL},
    {"noexec", OPTION_KERNEL},
    {"sync", OPTION_KERNEL},
    {"async", OPTION_KERNEL},
    {"dirsync", OPTION_KERNEL},
    {"noatime", OPTION_NOATIME},
    {"nodiratime", OPTION_NODIRATIME},
    {"atime", OPTION_IGNORED},
    {"diratime", OPTION_IGNORED},
    {"relatime", OPTION_IGNORED},
    {"default_permissions", OPTION_IGNORED},
    {"acl", OPTION_IGNORED},
    {"defaults", OPTION_IGNORED},
    {"auto", OPTION_IGNORED},
    {"noauto", OPTION_IGNORED},
    {"user", OPTION_IGNORED},
    {"user=", OPTION_IGNORED},
    {"nouser", OPTION_IGNORED},
    {"users", OPTION_IGNORED},
    {"owner", OPTION_IGNORED},
    {"group", OPTION_IGNORED},
    {"nofail", OPTION_IGNORED},
    {"_netdev", OPTION_IGNORED},
    {"comment=", OPTION_IGNORED},
    {"x-*", OPTION_IGNORED},
    {"X-*", OPTION_IGNORED},
};

void options_init(struct options *options)
{
	*options = (struct options){
	    .memory_bytes = OPTIONS_MEMORY_DEFAULT_BYTES,
	};
}

void options_release(struct options *options)
{
	buf_release(&options->kernel);
}

/* How far a suffix shifts; -1: it is none. */
static int suffix_shift(const char *suffix)
{
	static const char letters[] = "KMGTkmgt";
	const char *at;

	if (suffix[0] == '\0')
		return 0;
	at = strchr(letters, suffix[0]);
	if (at == NULL || suffix[1] != '\0')
		return -1;
	return 10 * ((int)((at - letters) % 4) + 1);
}

int options_parse_size(const char *text, int64_t *bytes_out)
{
	bool negative = text[0] == '-';
	unsigned long long number;
	char *end;
	int shift;

	*bytes_out = 0;
	text += negative;
	if (text[0] < '0' || text[0] > '9')
		return EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0)
		return ERANGE;
	shift = suffix_shift(end);
	if (shift < 0)
		return EINVAL;
	if (number > (unsigned long long)INT64_MAX >> shift)
		return ERANGE;
	*bytes_out = (int64_t)(number << shift);
	if (negative)
		*bytes_out = -*bytes_out;
	return 0;
}

static int add_kernel_option(struct options *options, const char *option)
{
	struct buf *list = &options->kernel;
	enum lsm_err err = LSM_OK;

	/* The NUL of the list so far gives way to a comma. */
	if (list->len > 0) {
		list->len--;
		err = buf_append(list, ",", 1);
	}
	if (err == LSM_OK)
		err = buf_append(list, option, strlen(option) + 1);
	return fs_errno(err);
}

static int bad_option(const char *option, const char *why)
{
	log_error("option %s: %s", option, why);
	return EINVAL;
}

static int read_size(const char *option, const char *value, int64_t *bytes_out)
{
	int err = options_parse_size(value, bytes_out);

	if (err == EINVAL)
		return bad_option(option,
		                  "not a size (digits, then K, M, G or T)");
	if (err != 0)
		return bad_option(option, "too large");
	return 0;
}

static int set_memory(struct options *options, const char *option,
                      const char *value)
{
	int64_t bytes;
	int err = read_size(option, value, &bytes);

	if (err != 0)
		return err;
	if (bytes < (int64_t)OPTIONS_MEMORY_MIN_BYTES)
		return bad_option(option, "less than 16M");
	if (bytes > (int64_t)OPTIONS_MEMORY_MAX_BYTES)
		return bad_option(option, "more than 16T");
	options->memory_bytes = (uint64_t)bytes;
	return 0;
}

static int set_credit(struct options *options, const char *option,
                      const char *value)
{
	options->has_credit = true;
	return read_size(option, value, &options->credit_bytes);
}

static int set_max_read(struct options *options, const char *option,
                        const char *value)
{
	char text[sizeof("max_read=") + 20];
	int64_t bytes;
	int err = read_size(option, value, &bytes);

	if (err != 0)
		return err;
	if (bytes < MAX_READ_MIN_BYTES || bytes > FS_WRITE_MAX_BYTES)
		return bad_option(option, "not between 4K and 1M");
	options->max_read_bytes = (uint32_t)bytes;
	/* In plain digits: libfuse knows no suffixes. */
	snprintf(text, sizeof(text), "max_read=%lld", (long long)bytes);
	return add_kernel_option(options, text);
}

static int set_wakeup(struct options *options, const char *option,
                      const char *value)
{
	static const char *const names[] = {
	    [RECEIVER_AUTO] = "auto",
	    [RECEIVER_HOLD] = "hold",
	    [RECEIVER_SPIN] = "spin",
	    [RECEIVER_SLEEP] = "sleep",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			options->wakeup = (enum receiver_wakeup)i;
			return 0;
		}
	}
	return bad_option(option, "none of auto, hold, spin and sleep");
}

static bool matches(const char *option, const char *name, const char **value)
{
	size_t len = strlen(name);

	*value = "";
	if (name[len - 1] == '*')
		return strncmp(option, name, len - 1) == 0;
	if (name[len - 1] != '=')
		return strcmp(option, name) == 0;
	*value = option + len;
	return strncmp(option, name, len) == 0;
}

static int set_option(struct options *options, const char *option)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const char *value;

		if (!matches(option, known[i].name, &value))
			continue;
		switch (known[i].kind) {
		case OPTION_IGNORED:
			return 0;
		case OPTION_KERNEL:
			return add_kernel_option(options, option);
		case OPTION_RO:
		case OPTION_RW:
			options->read_only = known[i].kind == OPTION_RO;
			return 0;
		case OPTION_NOATIME:
			options->holds_atime = true;
			return add_kernel_option(options, option);
		case OPTION_NODIRATIME:
			/* libfuse 3.14 does not know it. */
			options->holds_dir_atime = true;
			return 0;
		case OPTION_MEMORY:
			return set_memory(options, option, value);
		case OPTION_CREDIT:
			return set_credit(options, option, value);
		case OPTION_MAX_READ:
			return set_max_read(options, option, value);
		case OPTION_WRITEBACK:
			options->writeback = true;
			return 0;
		case OPTION_WAKEUP:
			return set_wakeup(options, option, value);
		}
	}
	return bad_option(option, "unknown");
}

int options_parse(struct options *options, const char *list)
{
	char *copy = strdup(list);
	char *rest = copy;
	char *option;
	int err = 0;

	if (copy == NULL)
		return ENOMEM;
	while (err == 0 && (option = strsep(&rest, ",")) != NULL) {
		if (option[0] != '\0')
			err = set_option(options, option);
	}
	free(copy);
	return err;
}

int options_budget(const struct options *options, struct options_budget *budget)
{
	int64_t quarter = (int64_t)(options->memory_bytes / 4);

	*budget = (struct options_budget){
	    .credit_bytes = quarter < CREDIT_DEFAULT_MAX_BYTES
	                        ? quarter
	                        : CREDIT_DEFAULT_MAX_BYTES,
	    .cache_bytes = (uint64_t)quarter,
	    .parked_bytes = options->memory_bytes / 8,
	};
	if (!options->has_credit)
		return 0;

	if (options->credit_bytes > quarter * 2) {
		log_error("option credit=%lld: more than half of the memory "
		          "budget of %llu bytes",
		          (long long)options->credit_bytes,
		          (unsigned long long)options->memory_bytes);
		return EINVAL;
	}
	/* Switched off, nothing holds writers back; the memtable is still
	   sealed at the size it would have had. */
	if (options->credit_bytes <= 0)
		budget->memtable_bytes = (uint64_t)budget->credit_bytes;
	budget->credit_bytes = options->credit_bytes;
	return 0;
}
