/* SPDX-License-Identifier: MIT */
#include "tests/bench/engine.h"

#include <stdio.h>
#include <time.h>

enum { PAUSE_NS = 2000000 };

const struct engine *const engines[] = {
    &engine_lsm,
    &engine_lsm_unpaced,
#ifdef HAVE_ROCKSDB
    &engine_rocksdb,
    &engine_rocksdb_blob,
#endif
#ifdef HAVE_LEVELDB
    &engine_leveldb,
#endif
#ifdef HAVE_LMDB
    &engine_lmdb,
#endif
    NULL,
};

enum lsm_err engine_failed(const char *engine, const char *call,
                           const char *why)
{
	fprintf(stderr, "kvbench: %s: %s: %s\n", engine, call, why);
	return LSM_ERR_IO;
}

void engine_pause(void)
{
	const struct timespec pause = {0, PAUSE_NS};

	nanosleep(&pause, NULL);
}
