/* SPDX-License-Identifier: MIT */
/* test_nodes.c: lookups are counted, and an orphan is reclaimed exactly once,
   when nobody knows it any more. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sync.h"
#include "daemon/nodes.h"

static struct nodes *nodes;

static void setup(void)
{
	ck_assert_int_eq(nodes_create(&nodes), 0);
}

static void teardown(void)
{
	nodes_destroy(nodes);
}

static void add(uint64_t ino)
{
	ck_assert_int_eq(nodes_add(nodes, ino), 0);
}

START_TEST(forgetting_a_named_inode_reclaims_nothing)
{
	add(20);
	add(20);
	ck_assert(!nodes_forget(nodes, 20, 1));
	ck_assert_uint_eq(nodes_count(nodes), 1);
	ck_assert(!nodes_forget(nodes, 20, 1));
	ck_assert_uint_eq(nodes_count(nodes), 0);
}
END_TEST

START_TEST(an_orphan_is_reclaimed_with_its_last_lookup)
{
	add(20);
	add(20);
	add(20);
	ck_assert(!nodes_orphan(nodes, 20));
	ck_assert(!nodes_forget(nodes, 20, 2));
	ck_assert(nodes_forget(nodes, 20, 1));
	ck_assert(!nodes_forget(nodes, 20, 1));
}
END_TEST

START_TEST(an_orphan_nobody_knows_is_reclaimed_at_once)
{
	ck_assert(nodes_orphan(nodes, 20));
	ck_assert_uint_eq(nodes_count(nodes), 0);
}
END_TEST

START_TEST(a_revived_orphan_is_not_reclaimed)
{
	add(20);
	ck_assert(!nodes_orphan(nodes, 20));
	nodes_revive(nodes, 20);
	ck_assert(!nodes_forget(nodes, 20, 1));
}
END_TEST

START_TEST(reviving_the_unknown_does_nothing)
{
	nodes_revive(nodes, 20);
	ck_assert_uint_eq(nodes_count(nodes), 0);
}
END_TEST

START_TEST(forgetting_more_than_was_counted_ends_at_none)
{
	add(20);
	ck_assert(!nodes_forget(nodes, 20, 1000));
	ck_assert_uint_eq(nodes_count(nodes), 0);
	add(20);
	ck_assert(!nodes_forget(nodes, 20, 1));
}
END_TEST

struct found {
	uint64_t inos[8];
	size_t count;
};

static void note(void *ctx, uint64_t ino)
{
	struct found *found = ctx;

	ck_assert_uint_lt(found->count, 8);
	found->inos[found->count++] = ino;
}

START_TEST(each_orphan_names_known_orphans_only)
{
	struct found found = {0};

	add(20);
	add(21);
	add(22);
	nodes_orphan(nodes, 21);
	nodes_orphan(nodes, 23);
	nodes_each_orphan(nodes, note, &found);
	ck_assert_uint_eq(found.count, 1);
	ck_assert_uint_eq(found.inos[0], 21);
}
END_TEST

START_TEST(memory_is_a_few_dozen_bytes_a_node_and_comes_back)
{
	enum { COUNT = 100000 };
	size_t empty = nodes_bytes(nodes);

	for (uint64_t ino = 1; ino <= COUNT; ino++)
		add(ino);
	ck_assert_uint_eq(nodes_count(nodes), COUNT);
	ck_assert_uint_lt(nodes_bytes(nodes), empty + COUNT * 48);
	for (uint64_t ino = 1; ino <= COUNT; ino++)
		ck_assert(!nodes_forget(nodes, ino, 1));
	ck_assert_uint_eq(nodes_bytes(nodes), empty);
}
END_TEST

/* ---- against a plain array ---------------------------------------------- */

enum { MODEL_INOS = 3000, MODEL_STEPS = 300000 };

struct model {
	uint64_t lookups;
	bool orphan;
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t seed_of_test(void)
{
	const char *text = getenv("SHALEFS_SEED");
	uint64_t seed = text == NULL ? sync_now_ns() : strtoull(text, NULL, 0);

	printf("SHALEFS_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed | 1;
}

static void model_step(struct model *all, uint64_t random)
{
	uint64_t index = random / 16 % MODEL_INOS;
	struct model *model = &all[index];
	uint64_t ino = 16 + index * 3;
	uint64_t some = 1 + random / 65536 % 3;
	bool reclaim;

	switch (random % 8) {
	case 0:
	case 1:
	case 2:
		add(ino);
		model->lookups++;
		break;
	case 3:
	case 4:
	case 5:
		reclaim = nodes_forget(nodes, ino, some);
		ck_assert(reclaim == (model->orphan && model->lookups > 0 &&
		                      model->lookups <= some));
		if (model->lookups <= some)
			*model = (struct model){0};
		else
			model->lookups -= some;
		break;
	case 6:
		ck_assert(nodes_orphan(nodes, ino) == (model->lookups == 0));
		model->orphan = model->lookups > 0;
		break;
	default:
		nodes_revive(nodes, ino);
		model->orphan = false;
		break;
	}
}

START_TEST(random_steps_agree_with_an_array)
{
	static struct model all[MODEL_INOS];
	uint64_t state = seed_of_test();
	size_t known = 0;

	for (int step = 0; step < MODEL_STEPS; step++)
		model_step(all, next_random(&state));
	for (size_t i = 0; i < MODEL_INOS; i++)
		known += all[i].lookups > 0;
	ck_assert_uint_eq(nodes_count(nodes), known);
}
END_TEST

/* ---- several threads ---------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 20000 };

struct worker {
	struct sync_thread thread;
	struct nodes *nodes;
	uint64_t own_ino;
	bool ok;
};

/* Each thread makes and loses orphans of its own while all count one inode. */
static void run_worker(void *ctx)
{
	struct worker *worker = ctx;
	bool ok = true;

	for (int i = 0; i < ROUNDS; i++) {
		ok &= nodes_add(worker->nodes, 1000) == 0;
		ok &= nodes_add(worker->nodes, worker->own_ino) == 0;
		ok &= !nodes_orphan(worker->nodes, worker->own_ino);
		ok &= nodes_forget(worker->nodes, worker->own_ino, 1);
	}
	worker->ok = ok;
}

START_TEST(threads_lose_no_lookup)
{
	struct worker workers[THREADS] = {0};

	for (uint64_t i = 0; i < THREADS; i++) {
		workers[i].nodes = nodes;
		workers[i].own_ino = 2000 + i;
		ck_assert_int_eq(sync_thread_start(&workers[i].thread, "worker",
		                                   run_worker, &workers[i]),
		                 LSM_OK);
	}
	for (int i = 0; i < THREADS; i++)
		sync_thread_join(&workers[i].thread);
	for (int i = 0; i < THREADS; i++)
		ck_assert(workers[i].ok);
	ck_assert_uint_eq(nodes_count(nodes), 1);
	ck_assert(!nodes_orphan(nodes, 1000));
	ck_assert(!nodes_forget(nodes, 1000, THREADS * ROUNDS - 1));
	ck_assert(nodes_forget(nodes, 1000, 1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nodes");
	TCase *tc = tcase_create("nodes");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, forgetting_a_named_inode_reclaims_nothing);
	tcase_add_test(tc, an_orphan_is_reclaimed_with_its_last_lookup);
	tcase_add_test(tc, an_orphan_nobody_knows_is_reclaimed_at_once);
	tcase_add_test(tc, a_revived_orphan_is_not_reclaimed);
	tcase_add_test(tc, reviving_the_unknown_does_nothing);
	tcase_add_test(tc, forgetting_more_than_was_counted_ends_at_none);
	tcase_add_test(tc, each_orphan_names_known_orphans_only);
	tcase_add_test(tc, memory_is_a_few_dozen_bytes_a_node_and_comes_back);
	tcase_add_test(tc, random_steps_agree_with_an_array);
	tcase_add_test(tc, threads_lose_no_lookup);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
