/* SPDX-License-Identifier: MIT */
/*
 * workload.h: what is done to every engine. A workload is a list of phases that
 * one process goes through with one store; a phase is one function, called many
 * times by one or more threads, and timed.
 */
#ifndef TESTS_BENCH_WORKLOAD_H
#define TESTS_BENCH_WORKLOAD_H

#include "tests/bench/engine.h"
#include "tests/bench/histogram.h"

enum { WORKLOAD_PHASES_MAX = 8, WORKLOAD_THREADS_MAX = 16 };

struct phase;
struct workload;

/* What one thread of a phase needs. */
struct bench_worker {
	/* Constant. */
	const struct engine *engine;
	struct bench_session *session;
	const struct workload *workload;
	uint64_t keys;  /* how many the workload has, at this scale */
	uint64_t count; /* calls of this phase, by all threads */
	uint8_t *value; /* room for DATA_VALUE_MAX_BYTES and a header */

	/* This thread's. */
	uint64_t random;
	struct histogram *histogram;
	uint64_t ops;           /* entries, or what else the phase counts */
	uint64_t written_bytes; /* keys and values handed in */
	uint64_t read_bytes;
	int64_t live_bytes; /* by how much the contents grew */
	enum lsm_err err;
};

/* Call `i` of the phase. LSM_ERR_CORRUPT: what was read is not what was
   written. It counts into worker->ops and the bytes by itself. */
typedef enum lsm_err (*phase_fn)(struct bench_worker *worker, uint64_t i);

enum phase_goal {
	GOAL_NONE,
	GOAL_WRITE, /* 1.5 times the throughput */
	GOAL_READ,  /* 1.2 times */
	GOAL_CHUNK, /* 1.5 times, and half the write amplification */
	GOAL_LOAD,  /* half the p99.9 */
};

struct phase {
	const char *name;
	phase_fn call;
	uint64_t count; /* calls at full scale; 0: as many as keys */
	bool fixed;     /* so many at any scale */
	unsigned threads;
	enum phase_goal goal; /* GOAL_NONE: it only prepares */
	bool writes;          /* its end waits until the store has settled */
	bool cold;            /* begins with a fresh process' caches */
	bool timed;           /* runs for --minutes, not for `count` */
	/* NULL, or what one more thread does meanwhile, `pace` times a second,
	   without being measured. */
	phase_fn beside;
	uint32_t pace;
};

struct workload {
	const char *name;
	const char *help;
	uint64_t keys; /* at full scale */
	uint32_t value_bytes;
	bool chunks;      /* rocksdb-blob takes part */
	bool rivals_only; /* too long for engines that are only looked at */
	bool no_short;    /* not part of the default suite */
	struct phase phases[WORKLOAD_PHASES_MAX];
};

extern const struct workload workloads_fill[];
extern const struct workload workloads_read[];
extern const struct workload workloads_meta[];
extern const struct workload workloads_chunk[];
extern const struct workload workloads_sync[];

/* The lists above; NULL ends them. Each ends with a NULL name. */
extern const struct workload *const workloads[];

/* Print that what was read for number n is wrong. */
LSM_MUST_CHECK enum lsm_err workload_wrong(const struct bench_worker *worker,
                                           const char *what, uint64_t n);

/* ---- what workloads share ----------------------------------------------------- */

/* Put value (n, version) of the workload's size under `key` into the batch, and
   count its bytes. */
LSM_MUST_CHECK enum lsm_err workload_put(struct bench_worker *worker,
                                         struct slice key, uint64_t n,
                                         uint64_t version);
/* Phase: write key i of all keys, in random order, a batch each. */
enum lsm_err workload_fill_random(struct bench_worker *worker, uint64_t i);

#endif
