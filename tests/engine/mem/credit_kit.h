/* SPDX-License-Identifier: MIT */
/*
 * credit_kit.h: a pool of 100 bytes with one account, takers without a thread
 * and takers with one, for the parts of test_credit.
 */
#ifndef TESTS_ENGINE_MEM_CREDIT_KIT_H
#define TESTS_ENGINE_MEM_CREDIT_KIT_H

#include <check.h>
#include <stdatomic.h>

#include "base/sync.h"
#include "mem/credit.h"

enum {
	LIMIT = 100,
	LONG_WAIT_MS = 3600 * 1000,
};

/* What every test starts from; `kicks` counts calls of kick(). */
extern struct credit_pool *pool;
extern struct credit_account *account;
extern unsigned kicks;

void start(int64_t limit_bytes);
void setup(void); /* start(LIMIT) */
void stop(void);
struct credit_account *new_account(uint32_t nospace_wait_ms);
struct credit_stats stats_now(void);
uint64_t used_now(void);

/* A taker without a thread. */
struct probe {
	struct credit_waiter waiter;
	enum lsm_err err;
	unsigned calls;
	unsigned turn; /* as the how-manieth of all it was called last */
};

void note_granted(struct credit_waiter *waiter, enum lsm_err err);
bool take_of(struct credit_account *from, struct probe *probe, int64_t bytes,
             bool shrinking);
bool take(struct probe *probe, int64_t bytes);

/* Take what must be free. */
void take_now(struct credit_account *from, int64_t bytes);

/* Take what must be free, and insert all of it. */
void fill(struct credit_account *from, int64_t bytes);

void assert_called(const struct probe *probe, enum lsm_err err);
void assert_waiting(const struct probe *probe);

/* A taker with a thread of its own. */
struct taker {
	struct sync_thread thread;
	struct credit_account *from;
	int64_t bytes;
	bool shrinking;
	enum lsm_err err;
	atomic_bool finished;
};

void start_taker(struct taker *taker, struct credit_account *from,
                 int64_t bytes, bool shrinking);
void assert_taker_gets(struct taker *taker, enum lsm_err err);

/* Fail the test when it does not come true within SHALEFS_HANG_S seconds. */
void await_waiters(uint64_t count);
void await_finished(atomic_bool *finished);

/* The parts. */
TCase *credit_queue_case(void);
TCase *credit_states_case(void);
TCase *credit_threads_case(void);

#endif
