/* SPDX-License-Identifier: MIT */
/* test_commit_queue.c: one leads at a time, groups become visible in the order in
   which they were logged, and nobody returns before his own is. */
#include <check.h>
#include <stdlib.h>

#include "store/batch.h"
#include "store/commit_queue.h"

enum { THREADS = 4, COMMITS = 4000 };

static struct commit_queue queue;
static atomic_uint_least64_t visible;
static struct lsm_batch *batch;

static void setup(void)
{
	atomic_init(&visible, 0);
	commit_queue_init(&queue, &visible);
	ck_assert_int_eq(lsm_batch_create(&batch), LSM_OK);
}

static void teardown(void)
{
	lsm_batch_destroy(batch);
	commit_queue_release(&queue);
}

/* A place that stands in the queue, in a thread of its own, and then does
   nothing until it is joined. */
struct waiter {
	struct sync_thread thread;
	struct commit place;
	bool leads;
};

static void run_waiter(void *ctx)
{
	struct waiter *waiter = ctx;

	waiter->leads = commit_enter(&queue, &waiter->place);
}

static void start_waiter(struct waiter *waiter, struct lsm_batch *its_batch)
{
	memset(waiter, 0, sizeof(*waiter));
	waiter->place.batch = its_batch;
	ck_assert_int_eq(
	    sync_thread_start(&waiter->thread, "waiter", run_waiter, waiter),
	    LSM_OK);
	while (atomic_load(&queue.newest) != &waiter->place)
		sync_relax();
}

/* Enter, lead, and have a group that ends at `last_seq` in flight. */
static void log_one(struct commit *place, struct commit_group *group,
                    uint64_t last_seq)
{
	memset(place, 0, sizeof(*place));
	place->batch = batch;
	ck_assert(commit_enter(&queue, place));
	commit_gather(&queue, place, group);
	ck_assert_uint_eq(group->count, 1);
	group->last_seq = last_seq;
	commit_hand_over(&queue, group, LSM_OK);
}

START_TEST(who_comes_to_an_empty_queue_leads)
{
	struct commit_group group;
	struct commit place;

	log_one(&place, &group, 7);
	ck_assert_uint_eq(atomic_load(&visible), 0);
	commit_publish(&queue, &group);
	ck_assert_uint_eq(atomic_load(&visible), 7);
	ck_assert_int_eq(place.err, LSM_OK);
}
END_TEST

START_TEST(leader_takes_on_those_behind_it_and_the_next_one_leads)
{
	struct commit leader = {.batch = batch};
	struct waiter followers[2], alone, behind;
	struct commit_group group;

	ck_assert(commit_enter(&queue, &leader));
	start_waiter(&followers[0], batch);
	start_waiter(&followers[1], batch);
	start_waiter(&alone, NULL); /* only wants the lead: ends the group */
	start_waiter(&behind, batch);
	commit_gather(&queue, &leader, &group);
	ck_assert_uint_eq(group.count, 3);
	ck_assert_ptr_eq(group.members[2], &followers[1].place);
	group.last_seq = 3;
	commit_hand_over(&queue, &group, LSM_OK);
	/* Asleep, it is woken only now. */
	commit_publish(&queue, &group);
	sync_thread_join(&alone.thread);
	ck_assert(alone.leads);
	for (int i = 0; i < 2; i++) {
		sync_thread_join(&followers[i].thread);
		ck_assert(!followers[i].leads);
		ck_assert_int_eq(followers[i].place.err, LSM_OK);
	}
	commit_leave(&queue, &alone.place);
	sync_thread_join(&behind.thread);
	ck_assert(behind.leads);
	commit_leave(&queue, &behind.place);
}
END_TEST

START_TEST(large_batches_do_not_join_a_small_leader)
{
	static uint8_t value[COMMIT_GROUP_SMALL_BYTES];
	struct commit leader = {.batch = batch};
	struct commit_group group;
	struct lsm_batch *large;
	struct waiter behind;

	ck_assert_int_eq(lsm_batch_create(&large), LSM_OK);
	ck_assert_int_eq(lsm_batch_put(large, slice_str("k"),
	                               slice_make(value, sizeof(value))),
	                 LSM_OK);
	ck_assert(commit_enter(&queue, &leader));
	start_waiter(&behind, large);
	commit_gather(&queue, &leader, &group);
	ck_assert_uint_eq(group.count, 1);
	group.last_seq = 1;
	commit_hand_over(&queue, &group, LSM_OK);
	commit_publish(&queue, &group);
	sync_thread_join(&behind.thread);
	ck_assert(behind.leads);
	commit_leave(&queue, &behind.place);
	lsm_batch_destroy(large);
}
END_TEST

START_TEST(failed_group_is_done_with_its_error_and_never_visible)
{
	struct commit leader = {.batch = batch};
	struct commit_group group;
	struct waiter follower;

	ck_assert(commit_enter(&queue, &leader));
	start_waiter(&follower, batch);
	commit_gather(&queue, &leader, &group);
	group.last_seq = 9;
	commit_hand_over(&queue, &group, LSM_ERR_NOSPACE);
	sync_thread_join(&follower.thread);
	ck_assert(!follower.leads);
	ck_assert_int_eq(follower.place.err, LSM_ERR_NOSPACE);
	ck_assert_int_eq(leader.err, LSM_ERR_NOSPACE);
	ck_assert_uint_eq(atomic_load(&visible), 0);
	commit_drain(&queue);
}
END_TEST

struct publisher {
	struct sync_thread thread;
	struct commit_group *group;
	uint64_t seen; /* visible when it had returned */
};

static void run_publisher(void *ctx)
{
	struct publisher *publisher = ctx;

	commit_publish(&queue, publisher->group);
	publisher->seen = atomic_load(&visible);
}

static bool is_linked(const struct commit_group *group)
{
	const struct commit_group *g;

	sync_lock(&queue.mu);
	g = queue.linked;
	while (g != NULL && g != group)
		g = g->next;
	sync_unlock(&queue.mu);
	return g != NULL;
}

/* The later group is linked first, and must wait, also asleep. */
START_TEST(group_waits_for_those_logged_before_it)
{
	struct commit_group groups[3];
	struct commit places[3];
	struct publisher late[2];

	for (int i = 0; i < 3; i++)
		log_one(&places[i], &groups[i], (uint64_t)i + 1);
	for (int i = 0; i < 2; i++) {
		late[i].group = &groups[2 - i];
		ck_assert_int_eq(sync_thread_start(&late[i].thread, "late",
		                                   run_publisher, &late[i]),
		                 LSM_OK);
		while (!is_linked(late[i].group))
			sync_relax();
		ck_assert_uint_eq(atomic_load(&visible), 0);
	}
	commit_publish(&queue, &groups[0]);
	ck_assert_uint_eq(atomic_load(&visible), 3);
	for (int i = 0; i < 2; i++) {
		sync_thread_join(&late[i].thread);
		ck_assert_uint_eq(late[i].seen, 3);
	}
}
END_TEST

struct drainer {
	struct sync_thread thread;
	uint64_t seen;
};

static void run_drainer(void *ctx)
{
	struct drainer *drainer = ctx;
	struct commit place = {.batch = NULL};

	if (commit_enter(&queue, &place)) {
		commit_drain(&queue);
		drainer->seen = atomic_load(&visible);
		commit_leave(&queue, &place);
	}
}

START_TEST(drain_waits_for_what_is_in_flight)
{
	struct drainer drainer = {.seen = 0};
	struct commit_group group;
	struct commit place;

	log_one(&place, &group, 5);
	ck_assert_int_eq(sync_thread_start(&drainer.thread, "drainer",
	                                   run_drainer, &drainer),
	                 LSM_OK);
	while (atomic_load(&queue.newest) == NULL)
		sync_relax();
	commit_publish(&queue, &group);
	sync_thread_join(&drainer.thread);
	ck_assert_uint_eq(drainer.seen, 5);
}
END_TEST

/* ---- many at once ------------------------------------------------------- */

static uint64_t last_seq;   /* the leader's */
static atomic_uint leaders; /* at this moment */

struct writer {
	struct sync_thread thread;
	bool alone_in_lead, in_order, seen;
};

static void write_once(struct writer *writer)
{
	struct commit place = {.batch = batch};
	struct commit_group group;

	if (commit_enter(&queue, &place)) {
		commit_gather(&queue, &place, &group);
		if (atomic_fetch_add(&leaders, 1) != 0)
			writer->alone_in_lead = false;
		for (size_t i = 0; i < group.count; i++)
			group.members[i]->seq = ++last_seq;
		group.last_seq = last_seq;
		atomic_fetch_sub(&leaders, 1);
		commit_hand_over(&queue, &group, LSM_OK);
		if (atomic_load(&visible) >= place.seq)
			writer->in_order = false; /* not linked yet */
		commit_publish(&queue, &group);
	}
	if (place.seq == 0 || atomic_load(&visible) < place.seq)
		writer->seen = false;
}

static void run_writer(void *ctx)
{
	struct writer *writer = ctx;

	for (int i = 0; i < COMMITS; i++)
		write_once(writer);
}

START_TEST(every_commit_is_visible_when_it_returns)
{
	static struct writer writers[THREADS];

	last_seq = 0;
	atomic_init(&leaders, 0);
	for (int i = 0; i < THREADS; i++) {
		writers[i].alone_in_lead = true;
		writers[i].in_order = true;
		writers[i].seen = true;
		ck_assert_int_eq(sync_thread_start(&writers[i].thread, "writer",
		                                   run_writer, &writers[i]),
		                 LSM_OK);
	}
	for (int i = 0; i < THREADS; i++) {
		sync_thread_join(&writers[i].thread);
		ck_assert(writers[i].alone_in_lead);
		ck_assert(writers[i].in_order);
		ck_assert(writers[i].seen);
	}
	ck_assert_uint_eq(last_seq, (uint64_t)THREADS * COMMITS);
	ck_assert_uint_eq(atomic_load(&visible), last_seq);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("commit queue");
	TCase *tc = tcase_create("queue");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, who_comes_to_an_empty_queue_leads);
	tcase_add_test(tc,
	               leader_takes_on_those_behind_it_and_the_next_one_leads);
	tcase_add_test(tc, large_batches_do_not_join_a_small_leader);
	tcase_add_test(tc,
	               failed_group_is_done_with_its_error_and_never_visible);
	tcase_add_test(tc, group_waits_for_those_logged_before_it);
	tcase_add_test(tc, drain_waits_for_what_is_in_flight);
	tcase_add_test(tc, every_commit_is_visible_when_it_returns);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
