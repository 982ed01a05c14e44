/* SPDX-License-Identifier: MIT */
/*
 * gc.c: delete the files that nothing names any more.
 *
 * A file becomes garbage only after the manifest edit that drops it is durable,
 * since the view before that edit holds it. A deletion need not be synced: what
 * reappears after a power cut is swept at the next open.
 */
#include "store/store.h"

void store_gc_wake(void *ctx)
{
	struct lsm *store = ctx;

	worker_submit(store->runtime->workers, &store->gc_job, 0);
}

void store_gc_run(struct worker_job *job)
{
	struct lsm *store = STORE_OF_JOB(job, gc_job);
	struct pool_garbage file;
	char name[FILE_NAME_MAX_BYTES];

	while (pool_next_garbage(store->pool, &file)) {
		file_name_format(file.kind, file.id, name);
		if (file.kind == FILE_KIND_TABLE)
			table_cache_forget(&store->source, file.id);
		/* A failure is logged by env; the next open sweeps the file. */
		if (env_unlink(store->source.pool, name) != LSM_OK)
			log_debug("%s: %s stays until the next open",
			          store->path, name);
	}
}
