/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/sync.h"

static void print_to_stderr(void *ctx, enum log_level level, const char *line)
{
	static const char *const names[] = {"error", "warning", "info",
	                                    "debug"};

	(void)ctx;
	fprintf(stderr, "shalefs: %s: %s\n", names[level], line);
}

/* Relaxed: a filter, which guards nothing. */
static _Atomic int max_level = LOG_LEVEL_WARNING;

static struct sync_mutex sink_mutex = SYNC_MUTEX_INIT(SYNC_RANK_LOG);
static log_sink_fn current_sink = print_to_stderr; /* guarded by sink_mutex */
static void *current_ctx;                          /* guarded by sink_mutex */

void log_set_sink(log_sink_fn sink, void *ctx)
{
	sync_lock(&sink_mutex);
	current_sink = sink == NULL ? print_to_stderr : sink;
	current_ctx = ctx;
	sync_unlock(&sink_mutex);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

/* File names are in messages, and a name may hold any byte but NUL and '/':
   none may forge a second line or move a terminal's cursor. */
static void replace_control_characters(char *line)
{
	for (char *p = line; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c == 0x7f)
			*p = '?';
	}
}

void log_printf(enum log_level level, const char *format, ...)
{
	static const char ellipsis[] = "...";
	char line[LOG_LINE_MAX_BYTES + 1];
	int saved_errno = errno;
	va_list args;
	int len;

	if ((int)level > atomic_load_explicit(&max_level, memory_order_relaxed))
		return;

	line[0] = '\0';
	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (len > LOG_LINE_MAX_BYTES)
		memcpy(line + sizeof(line) - sizeof(ellipsis), ellipsis,
		       sizeof(ellipsis));
	replace_control_characters(line);

	sync_lock(&sink_mutex);
	current_sink(current_ctx, level, line);
	sync_unlock(&sink_mutex);
	errno = saved_errno;
}
