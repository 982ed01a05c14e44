/* SPDX-License-Identifier: MIT */
/*
 * gc.c: delete the files that nothing names any more.
 *
 * A file becomes garbage only after the manifest edit that drops it is durable,
 * since the view before that edit holds it. A deletion need not be synced: what
 * reappears after a power cut is swept at the next open.
 */
#include "base/log.h"
#include "store/home.h"

void home_gc_wake(void *ctx)
{
	struct home *home = ctx;

	worker_submit(home->runtime->workers, &home->gc_job, 0);
}

void home_collect(struct home *home)
{
	struct pool_garbage file;
	char name[FILE_NAME_MAX_BYTES];

	while (pool_next_garbage(home->pool, &file)) {
		file_name_format(file.kind, file.id, name);
		if (file.kind == FILE_KIND_TABLE)
			table_cache_forget(&home->source, file.id);
		if (file.kind == FILE_KIND_SEGMENT)
			segment_forget(&home->segments, file.id);
		/* A failure is logged by env; the next open sweeps the file. */
		if (env_unlink(home->source.pool, name) != LSM_OK)
			log_debug("%s: %s stays until the next open",
			          home->path, name);
	}
}

void home_gc_run(struct worker_job *job)
{
	home_collect((struct home *)(void *)((char *)job -
	                                     offsetof(struct home, gc_job)));
}
