/* SPDX-License-Identifier: MIT */
/*
 * sync.h: threads, mutexes, conditions and time: the one place that knows
 * pthreads.
 *
 * Every mutex has a rank. A thread may lock only a mutex of a higher rank than
 * the highest it holds, so that no cycle can form; builds with assertions abort
 * where a thread breaks this. docs/locking.md lists the ranks and says why.
 */
#ifndef LSM_BASE_SYNC_H
#define LSM_BASE_SYNC_H

#include <pthread.h>
#include <stdatomic.h>

#include "lsm.h"

/* Outermost first. Gaps are for the ranks of programs above the engine. */
enum sync_rank {
	SYNC_RANK_OUTER = 10,     /* callers of the engine: 10 to 99 */
	SYNC_RANK_FORK = 100,     /* store: one export at a time */
	SYNC_RANK_COMPACT = 105,  /* store: one compaction at a time */
	SYNC_RANK_COMMIT = 110,   /* store: the commit queue */
	SYNC_RANK_SYNC = 120,     /* store: the sync leader */
	SYNC_RANK_MANIFEST = 130, /* store: one manifest writer at a time */
	SYNC_RANK_TREE = 140,     /* store: memtables, logs, version */
	SYNC_RANK_HOME = 145,     /* store: its branches */
	SYNC_RANK_POOL = 150,     /* store: file references */
	SYNC_RANK_RUNTIME = 160,  /* runtime: its list of stores */
	SYNC_RANK_WORKER = 170,   /* compact: job queues */
	SYNC_RANK_CREDIT = 180,   /* mem: the credit pool */
	SYNC_RANK_CACHE = 190,    /* base: one cache shard */
	SYNC_RANK_WAL = 195,      /* wal: one sync of a log at a time */
	SYNC_RANK_ENV = 200,      /* io: the in-memory env and fault env */
	SYNC_RANK_LOG = 250,      /* base: the log sink */
	SYNC_RANK_LEAF = 255,     /* takes nothing further */
};

/*
 * Put between fields that one thread writes often and fields that others read or
 * write: a cache line that two processors write is sent to and fro, which takes
 * longer than most of what is done with it.
 */
enum { SYNC_APART_BYTES = 64 };

struct sync_mutex {
	pthread_mutex_t mu;
	pthread_t owner; /* guarded by mu; meaningful while held */
	uint8_t rank;    /* constant after init */
	bool held;       /* guarded by mu */
};

struct sync_cond {
	pthread_cond_t cv; /* on the monotonic clock */
};

struct sync_thread {
	pthread_t id;
	bool started;
};

/* For a static mutex, which lives as long as the process. */
#define SYNC_MUTEX_INIT(its_rank)                                              \
	{                                                                      \
		.mu = PTHREAD_MUTEX_INITIALIZER, .rank = (its_rank)            \
	}

void sync_mutex_init(struct sync_mutex *mutex, enum sync_rank rank);
void sync_mutex_destroy(struct sync_mutex *mutex);
void sync_lock(struct sync_mutex *mutex);
void sync_unlock(struct sync_mutex *mutex);
/* Abort, in builds with assertions, unless this thread holds it. */
void sync_assert_held(const struct sync_mutex *mutex);

void sync_cond_init(struct sync_cond *cond);
void sync_cond_destroy(struct sync_cond *cond);
void sync_wait(struct sync_cond *cond, struct sync_mutex *mutex);
/* False when `deadline_ns` (of sync_now_ns()) passed without a signal. */
bool sync_wait_until(struct sync_cond *cond, struct sync_mutex *mutex,
                     uint64_t deadline_ns);
void sync_signal(struct sync_cond *cond);
void sync_broadcast(struct sync_cond *cond);

/*
 * Sleep while *word is `seen`, until it is woken or, unless that is 0, until
 * deadline_ns (of sync_now_ns()). May return early: look at what is waited for
 * again. Whoever changes that changes the word, and then wakes up to `most` of
 * those who sleep there with one of the bits `who`, all by one call.
 */
#define SYNC_ANYBODY UINT32_MAX
void sync_word_wait(atomic_uint *word, unsigned seen, uint64_t deadline_ns,
                    uint32_t who);
void sync_word_wake(atomic_uint *word, int most, uint32_t who);

/*
 * Have `hook` called when this thread is about to wait: for a condition, a word,
 * a time, or what sync_will_wait() is called for. It may be called with locks
 * held, and must neither lock nor wait. NULL: no more.
 */
void sync_on_wait(void (*hook)(void *ctx), void *ctx);
/* This thread is about to wait for something else, such as a disk. */
void sync_will_wait(void);

/*
 * Start a thread with every signal blocked but those of its own faults, so that
 * signals reach the program's own threads. `name` is at most 15 bytes.
 * Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err sync_thread_start(struct sync_thread *thread,
                                              const char *name,
                                              void (*run)(void *ctx),
                                              void *ctx);
/* Wait for its end; nothing when it was never started. */
void sync_thread_join(struct sync_thread *thread);

/* Have this thread give way to others by so much, 1 to 19 as nice(2) counts, and
   not interrupt them when it wakes up. For good. A hint: nothing fails. */
void sync_give_way(int nice);

/* Processors that threads may run on; 1 where that is not known. */
unsigned sync_processors(void);

/* Between two looks at what another thread is about to change. */
static inline void sync_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Let another thread run that waits for this processor, if there is one. */
void sync_yield(void);

/* Monotonic time. */
uint64_t sync_now_ns(void);

/* Do nothing for so long. Call with no lock that others want soon. */
void sync_sleep_ns(uint64_t ns);

#endif
