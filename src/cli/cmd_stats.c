/* SPDX-License-Identifier: MIT */
/* cmd_stats.c: print the figures of a store or of a live mount. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/cmd.h"
#include "daemon/figures.h"

/* ---- the table for people ----------------------------------------------- */

enum unit { COUNT, BYTES, NANOSECONDS, MILLISECONDS };

static const struct row {
	const char *section; /* NULL: at the top of the object */
	const char *key;
	const char *label;
	enum unit unit;
} rows[] = {
    {NULL, "uptime_ms", "mounted for", MILLISECONDS},
    {"fs", "files", "files and folders", COUNT},
    {"fs", "used_bytes", "space used by files", BYTES},
    {"fs", "available_bytes", "space available", BYTES},
    {"fs", "known_inodes", "inodes known to the kernel", COUNT},
    {"memory", "budget_bytes", "memory budget", BYTES},
    {"memory", "resident_bytes", "memory resident", BYTES},
    {"memory", "arena_bytes", "memtables", BYTES},
    {"memory", "node_bytes", "node table", BYTES},
    {"memory", "parked_bytes", "parked requests", BYTES},
    {"memory", "parked_peak_bytes", "parked requests, peak", BYTES},
    {"credit", "limit_bytes", "credit limit", BYTES},
    {"credit", "used_bytes", "credit used", BYTES},
    {"credit", "peak_bytes", "credit used, peak", BYTES},
    {"credit", "waits", "waits for credit", COUNT},
    {"credit", "stall_ns", "waited for credit", NANOSECONDS},
    {"stalls", "compaction_count", "slowed by compaction", COUNT},
    {"stalls", "compaction_ns", "slowed by compaction for", NANOSECONDS},
    {"stalls", "l0_count", "flushes held for L0", COUNT},
    {"stalls", "l0_ns", "flushes held for", NANOSECONDS},
    {"stalls", "disk_count", "waits for disk space", COUNT},
    {"stalls", "disk_ns", "waited for disk space", NANOSECONDS},
    {"stalls", "log_count", "waits for a new log", COUNT},
    {"stalls", "log_ns", "waited for a new log", NANOSECONDS},
    {"stalls", "sync_count", "waits for a sync", COUNT},
    {"stalls", "sync_ns", "waited for a sync", NANOSECONDS},
    {"cache", "limit_bytes", "cache limit", BYTES},
    {"cache", "used_bytes", "cache used", BYTES},
    {"cache", "hits", "cache hits", COUNT},
    {"cache", "misses", "cache misses", COUNT},
    {"io", "bytes_written", "written to disk", BYTES},
    {"io", "bytes_read", "read from disk", BYTES},
    {"io", "syncs", "syncs", COUNT},
    {"flushes", "count", "flushes", COUNT},
    {"flushes", "bytes", "flushed", BYTES},
    {"compactions", "count", "compactions", COUNT},
    {"compactions", "bytes", "compacted", BYTES},
    {"segments", "files", "segments of large values", COUNT},
    {"segments", "bytes", "in segments", BYTES},
    {"segments", "garbage_bytes", "garbage in segments", BYTES},
    {"segments", "damaged", "damaged segments", COUNT},
    {"branches", "count", "branches", COUNT},
    {"branches", "open", "open branches", COUNT},
    {"branches", "damaged", "damaged branches", COUNT},
    {NULL, "log_bytes", "log not yet flushed", BYTES},
    {NULL, "sequence", "sequence number", COUNT},
    {NULL, "horizon", "horizon", COUNT},
};

static void print_bytes(const char *label, double bytes)
{
	static const char *const units[] = {"B",   "KiB", "MiB",
	                                    "GiB", "TiB", "PiB"};
	size_t unit = 0;

	while (bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		unit++;
	}
	printf("%-28s %12.*f %s\n", label, unit == 0 ? 0 : 1, bytes,
	       units[unit]);
}

static void print_value(const char *label, json_int_t value, enum unit unit)
{
	switch (unit) {
	case COUNT:
		printf("%-28s %12lld\n", label, (long long)value);
		break;
	case BYTES:
		print_bytes(label, (double)value);
		break;
	case NANOSECONDS:
		printf("%-28s %12.3f s\n", label, (double)value / 1e9);
		break;
	case MILLISECONDS:
		printf("%-28s %12.1f s\n", label, (double)value / 1e3);
		break;
	}
}

static void print_levels(const json_t *levels)
{
	for (size_t i = 0; i < json_array_size(levels); i++) {
		const json_t *level = json_array_get(levels, i);
		char label[64];

		snprintf(label, sizeof(label), "level %zu, %lld tables", i,
		         (long long)json_integer_value(
			     json_object_get(level, "files")));
		print_value(label,
		            json_integer_value(json_object_get(level, "bytes")),
		            BYTES);
	}
}

static void print_requests(const json_t *requests)
{
	json_t *copy = json_deep_copy(requests);
	const char *name;
	json_t *count;

	json_object_foreach(copy, name, count)
	{
		char label[64];

		if (json_integer_value(count) == 0)
			continue;
		snprintf(label, sizeof(label), "requests %s", name);
		print_value(label, json_integer_value(count), COUNT);
	}
	json_decref(copy);
}

static void print_table(const char *store, const json_t *figures)
{
	printf("%-28s %s%s\n", "store", store,
	       json_is_true(json_object_get(figures, "mounted")) ? " (mounted)"
	                                                         : "");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		const json_t *section =
		    row->section == NULL
			? figures
			: json_object_get(figures, row->section);

		print_value(
		    row->label,
		    json_integer_value(json_object_get(section, row->key)),
		    row->unit);
	}
	print_levels(json_object_get(figures, "levels"));
	print_requests(json_object_get(figures, "requests"));
}

/* ---- where they come from ----------------------------------------------- */

static int ask_daemon(int socket, const char *store, json_t **figures_out)
{
	const char *reason;
	json_t *reply;
	int code = CMD_OK;
	int err;

	err = client_ask(socket, client_request("stats"), -1, &reply);
	if (err != 0)
		return cmd_fail(store, err);
	if (client_agreed(reply, &reason))
		*figures_out = json_incref(json_object_get(reply, "figures"));
	else
		code = cmd_fail_because(store, reason);
	json_decref(reply);
	return code;
}

static int read_store(const char *store, json_t **figures_out)
{
	struct figures_source source = {0};
	struct lsm_runtime *runtime;
	int err;

	err = cmd_open_store(store, true, &runtime, &source.fs);
	if (err != 0)
		return cmd_fail(store, err);
	*figures_out = figures_collect(&source);
	err = cmd_close_store(runtime, source.fs);
	if (err == 0 && *figures_out == NULL)
		err = ENOMEM;
	return err == 0 ? CMD_OK : cmd_fail(store, err);
}

static int collect(const char *store, json_t **figures_out)
{
	int socket;
	int code;
	int err;

	err = client_connect(store, &socket);
	if (err != 0)
		return cmd_fail(store, err);
	if (socket < 0)
		return read_store(store, figures_out);
	code = ask_daemon(socket, store, figures_out);
	close(socket);
	return code;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	json_t *figures = NULL;
	char *store = NULL;
	bool json = false;
	int code;
	int err;

	while (cmd_getopt(cmd, argc, argv) != -1)
		json = true;
	err = client_find_store(argv[optind], &store);
	if (err != 0)
		return cmd_fail(argv[optind], err);

	code = collect(store, &figures);
	if (code == CMD_OK) {
		cmd_log_to_stderr();
		if (!json)
			print_table(store, figures);
		else if (json_dumpf(figures, stdout, JSON_INDENT(2)) == 0)
			putchar('\n');
	}
	json_decref(figures);
	free(store);
	return code;
}

static const struct option long_options[] = {
    {"json", no_argument, NULL, 'j'},
    {NULL, 0, NULL, 0},
};

const struct cmd cmd_stats = {
    .name = "stats",
    .summary = "print the figures of a store or a live mount",
    .help = "Usage: shalefs stats [--json] SOURCE\n"
	    "Print how much SOURCE, a store or a mountpoint, holds, uses and "
	    "has done.\n"
	    "\n"
	    "      --json     print one JSON object, with exact numbers\n"
	    "      --help     print this and exit\n"
	    "      --version  print the version and exit\n",
    .letters = ":",
    .options = long_options,
    .arguments = 1,
    .run = run,
};
