/* SPDX-License-Identifier: MIT */
/*
 * log.h: one-line messages with a level; the program chooses where they go.
 *
 * Threads: log_printf() from any; the sink is called under one lock, one line
 * at a time. The default sink writes "shalefs: error: ..." to stderr.
 */
#ifndef LSM_BASE_LOG_H
#define LSM_BASE_LOG_H

enum log_level {
	LOG_LEVEL_ERROR,   /* something asked for cannot be had */
	LOG_LEVEL_WARNING, /* it was had, but look into this */
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

enum { LOG_LINE_MAX_BYTES = 1024 };

/* `line` ends without a newline; control characters are replaced by '?'. */
typedef void (*log_sink_fn)(void *ctx, enum log_level level, const char *line);

/* NULL sets the default sink. */
void log_set_sink(log_sink_fn sink, void *ctx);

/* Messages above `level` are dropped. The default is WARNING. */
void log_set_level(enum log_level level);

void log_printf(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_printf(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_printf(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_printf(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_printf(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
