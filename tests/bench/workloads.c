/* SPDX-License-Identifier: MIT */
#include "tests/bench/workload.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "tests/bench/data.h"

const struct workload *const workloads[] = {
    workloads_fill,  workloads_read, workloads_meta,
    workloads_chunk, workloads_sync, NULL,
};

enum lsm_err workload_wrong(const struct bench_worker *worker, const char *what,
                            uint64_t n)
{
	fprintf(stderr, "kvbench: %s: %s: %s of number %" PRIu64 "\n",
	        worker->engine->name, worker->workload->name, what, n);
	return LSM_ERR_CORRUPT;
}

enum lsm_err workload_put(struct bench_worker *worker, struct slice key,
                          uint64_t n, uint64_t version)
{
	size_t len = worker->workload->value_bytes;

	data_value(worker->value, len, n, version);
	worker->written_bytes += key.len + len;
	return worker->engine->put(worker->session, key,
	                           slice_make(worker->value, len));
}
