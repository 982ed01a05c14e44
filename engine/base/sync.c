/* SPDX-License-Identifier: MIT */
/*
 * sync.c: pthreads, and the check of ranks. Each thread knows the set of ranks
 * it holds; as a rank is never held twice, one bit per rank is enough, and a
 * mutex may be unlocked in any order.
 */
#include "base/sync.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	NS_PER_S = 1000000000,
	THREAD_NAME_BYTES = 16, /* with its NUL; Linux allows no more */
	NICE_MOST = 19,
};

/* What pthreads refuses is a misuse of ours. */
static void must(int failure)
{
	assert(failure == 0);
	(void)failure;
}

#ifndef NDEBUG

enum { RANKS = 256, RANK_WORDS = RANKS / 64 };

static _Thread_local uint64_t held_ranks[RANK_WORDS];

static bool holds_rank(uint8_t rank)
{
	return (held_ranks[rank / 64] >> (rank % 64) & 1) != 0;
}

/* The highest rank held, or -1. */
static int highest_rank(void)
{
	for (int word = RANK_WORDS - 1; word >= 0; word--) {
		if (held_ranks[word] != 0)
			return word * 64 + 63 -
			       __builtin_clzll(held_ranks[word]);
	}
	return -1;
}

static void check_rank(const struct sync_mutex *mutex)
{
	int highest = highest_rank();

	if (mutex->rank > highest)
		return;
	fprintf(stderr,
	        "shalefs: lock order broken: rank %u wanted while rank %d is "
	        "held\n",
	        mutex->rank, highest);
	abort();
}

static void note_locked(struct sync_mutex *mutex)
{
	held_ranks[mutex->rank / 64] |= UINT64_C(1) << (mutex->rank % 64);
	mutex->owner = pthread_self();
	mutex->held = true;
}

static void note_unlocking(struct sync_mutex *mutex)
{
	sync_assert_held(mutex);
	held_ranks[mutex->rank / 64] &= ~(UINT64_C(1) << (mutex->rank % 64));
	mutex->held = false;
}

void sync_assert_held(const struct sync_mutex *mutex)
{
	/* The rank first: without it, owner and held are not ours to read. */
	if (holds_rank(mutex->rank) && mutex->held &&
	    pthread_equal(mutex->owner, pthread_self()))
		return;
	fprintf(stderr, "shalefs: a mutex of rank %u is not held\n",
	        mutex->rank);
	abort();
}

#else

static void check_rank(const struct sync_mutex *mutex)
{
	(void)mutex;
}

static void note_locked(struct sync_mutex *mutex)
{
	(void)mutex;
}

static void note_unlocking(struct sync_mutex *mutex)
{
	(void)mutex;
}

void sync_assert_held(const struct sync_mutex *mutex)
{
	(void)mutex;
}

#endif

void sync_mutex_init(struct sync_mutex *mutex, enum sync_rank rank)
{
	pthread_mutexattr_t attr;

	/* Held for moments, mostly: look for a while before sleeping. */
	must(pthread_mutexattr_init(&attr));
	must(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP));
	must(pthread_mutex_init(&mutex->mu, &attr));
	must(pthread_mutexattr_destroy(&attr));
	mutex->rank = (uint8_t)rank;
	mutex->held = false;
}

void sync_mutex_destroy(struct sync_mutex *mutex)
{
	must(pthread_mutex_destroy(&mutex->mu));
}

void sync_lock(struct sync_mutex *mutex)
{
	check_rank(mutex);
	must(pthread_mutex_lock(&mutex->mu));
	note_locked(mutex);
}

void sync_unlock(struct sync_mutex *mutex)
{
	note_unlocking(mutex);
	must(pthread_mutex_unlock(&mutex->mu));
}

void sync_cond_init(struct sync_cond *cond)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr));
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must(pthread_cond_init(&cond->cv, &attr));
	must(pthread_condattr_destroy(&attr));
}

void sync_cond_destroy(struct sync_cond *cond)
{
	must(pthread_cond_destroy(&cond->cv));
}

/* What this thread wants to be done before it waits. */
static _Thread_local struct {
	void (*call)(void *ctx);
	void *ctx;
} wait_hook;

void sync_on_wait(void (*hook)(void *ctx), void *ctx)
{
	wait_hook.call = hook;
	wait_hook.ctx = ctx;
}

void sync_will_wait(void)
{
	if (wait_hook.call != NULL)
		wait_hook.call(wait_hook.ctx);
}

void sync_wait(struct sync_cond *cond, struct sync_mutex *mutex)
{
	sync_will_wait();
	note_unlocking(mutex);
	/* Waking up locks again: it must come after all else that is held. */
	check_rank(mutex);
	must(pthread_cond_wait(&cond->cv, &mutex->mu));
	note_locked(mutex);
}

bool sync_wait_until(struct sync_cond *cond, struct sync_mutex *mutex,
                     uint64_t deadline_ns)
{
	struct timespec deadline = {
	    .tv_sec = (time_t)(deadline_ns / NS_PER_S),
	    .tv_nsec = (long)(deadline_ns % NS_PER_S),
	};
	int result;

	sync_will_wait();
	note_unlocking(mutex);
	check_rank(mutex);
	result = pthread_cond_timedwait(&cond->cv, &mutex->mu, &deadline);
	note_locked(mutex);
	must(result == ETIMEDOUT ? 0 : result);
	return result == 0;
}

void sync_signal(struct sync_cond *cond)
{
	must(pthread_cond_signal(&cond->cv));
}

void sync_broadcast(struct sync_cond *cond)
{
	must(pthread_cond_broadcast(&cond->cv));
}

void sync_word_wait(atomic_uint *word, unsigned seen, uint64_t deadline_ns,
                    uint32_t who)
{
	struct timespec deadline = {
	    .tv_sec = (time_t)(deadline_ns / NS_PER_S),
	    .tv_nsec = (long)(deadline_ns % NS_PER_S),
	};
	long result;

	sync_will_wait();
	/* This operation takes a point in time, of the monotonic clock. */
	result =
	    syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
	            seen, deadline_ns == 0 ? NULL : &deadline, NULL, who);
	assert(result == 0 || errno == EAGAIN || errno == EINTR ||
	       errno == ETIMEDOUT);
	(void)result;
}

void sync_word_wake(atomic_uint *word, int most, uint32_t who)
{
	long result =
	    syscall(SYS_futex, word, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG,
	            most, NULL, NULL, who);

	assert(result >= 0);
	(void)result;
}

/* What a new thread needs to know; it frees this. */
struct thread_start {
	void (*run)(void *ctx);
	void *ctx;
	char name[THREAD_NAME_BYTES];
};

static void *thread_main(void *arg)
{
	struct thread_start start = *(struct thread_start *)arg;

	free(arg);
	/* A name is for people who debug; nothing depends on it. */
	(void)pthread_setname_np(pthread_self(), start.name);
	start.run(start.ctx);
	return NULL;
}

/*
 * All but those that the thread's own faults raise: blocked, they would kill
 * the process without a word from a sanitizer or a crash handler.
 */
static void signals_for_others(sigset_t *set)
{
	static const int faults[] = {SIGSEGV, SIGBUS,  SIGFPE,
	                             SIGILL,  SIGTRAP, SIGABRT};

	sigfillset(set);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(set, faults[i]);
}

enum lsm_err sync_thread_start(struct sync_thread *thread, const char *name,
                               void (*run)(void *ctx), void *ctx)
{
	struct thread_start *start;
	sigset_t blocked, before;
	int failure;

	thread->started = false;
	start = malloc(sizeof(*start));
	if (start == NULL)
		return LSM_ERR_NOMEM;
	start->run = run;
	start->ctx = ctx;
	snprintf(start->name, sizeof(start->name), "%s", name);

	/* Blocked here already, since a thread inherits the mask it starts
	   with; blocking inside would leave a moment in which it is hit. */
	signals_for_others(&blocked);
	must(pthread_sigmask(SIG_SETMASK, &blocked, &before));
	failure = pthread_create(&thread->id, NULL, thread_main, start);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL));
	if (failure != 0) {
		free(start);
		return LSM_ERR_NOMEM;
	}
	thread->started = true;
	return LSM_OK;
}

void sync_give_way(int nice)
{
	const struct sched_param none = {0};
	int now;

	errno = 0;
	now = getpriority(PRIO_PROCESS, 0); /* 0: of this thread alone */
	if (errno != 0)
		return;
	/* Who may not do this goes on as it was; who was given another policy
	   keeps it. */
	if (sched_getscheduler(0) == SCHED_OTHER)
		(void)sched_setscheduler(0, SCHED_BATCH, &none);
	(void)setpriority(PRIO_PROCESS, 0,
	                  now + nice < NICE_MOST ? now + nice : NICE_MOST);
}

void sync_thread_join(struct sync_thread *thread)
{
	if (!thread->started)
		return;
	must(pthread_join(thread->id, NULL));
	thread->started = false;
}

unsigned sync_processors(void)
{
	/* Relaxed: whoever asks first finds out, more than once at worst. */
	static atomic_uint known;
	unsigned count = atomic_load_explicit(&known, memory_order_relaxed);

	if (count == 0) {
		cpu_set_t set;

		count = 1;
		if (sched_getaffinity(0, sizeof(set), &set) == 0 &&
		    CPU_COUNT(&set) > 0)
			count = (unsigned)CPU_COUNT(&set);
		atomic_store_explicit(&known, count, memory_order_relaxed);
	}
	return count;
}

void sync_yield(void)
{
	(void)sched_yield(); /* on Linux it does not fail */
}

uint64_t sync_now_ns(void)
{
	struct timespec now;

	must(clock_gettime(CLOCK_MONOTONIC, &now));
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void sync_sleep_ns(uint64_t ns)
{
	struct timespec left = {.tv_sec = (time_t)(ns / NS_PER_S),
	                        .tv_nsec = (long)(ns % NS_PER_S)};

	sync_will_wait();
	while (nanosleep(&left, &left) != 0)
		assert(errno == EINTR);
}
