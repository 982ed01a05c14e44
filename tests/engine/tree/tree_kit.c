/* SPDX-License-Identifier: MIT */
#include "tests/engine/tree/tree_kit.h"

#include <stdio.h>
#include <stdlib.h>

static void must(bool ok)
{
	if (!ok) {
		fputs("tree_kit: cannot go on\n", stderr);
		abort();
	}
}

void entries_init(struct entries *entries)
{
	*entries = (struct entries){NULL, 0, 0};
}

void entries_release(struct entries *entries)
{
	for (size_t i = 0; i < entries->count; i++) {
		buf_release(&entries->all[i].key);
		buf_release(&entries->all[i].value);
	}
	free(entries->all);
	entries_init(entries);
}

static struct entry *new_entry(struct entries *entries)
{
	struct entry *entry;

	if (entries->count == entries->cap) {
		entries->cap = entries->cap * 2 + 16;
		entries->all =
		    realloc(entries->all, entries->cap * sizeof(*entries->all));
		must(entries->all != NULL);
	}
	entry = &entries->all[entries->count++];
	buf_init(&entry->key);
	buf_init(&entry->value);
	return entry;
}

void entries_add(struct entries *entries, struct slice user, uint64_t seq,
                 enum key_kind kind, struct slice value)
{
	struct entry *entry = new_entry(entries);

	must(key_make(&entry->key, user, seq, kind) == LSM_OK);
	must(buf_set(&entry->value, value) == LSM_OK);
}

void entries_add_text(struct entries *entries, const char *user, uint64_t seq,
                      enum key_kind kind, const char *value)
{
	entries_add(entries, slice_str(user), seq, kind, slice_str(value));
}

static int compare_entries(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	return key_compare(buf_slice(&a->key), buf_slice(&b->key));
}

void entries_sort(struct entries *entries)
{
	if (entries->count > 0)
		qsort(entries->all, entries->count, sizeof(*entries->all),
		      compare_entries);
}

void entries_collect(struct entries *entries, struct iter *it)
{
	entries_init(entries);
	for (iter_seek_first(it); iter_valid(it); iter_next(it)) {
		struct entry *entry = new_entry(entries);

		must(buf_set(&entry->key, iter_key(it)) == LSM_OK);
		must(buf_set(&entry->value, iter_value(it)) == LSM_OK);
	}
}

bool moves_match(struct iter *it, const struct entries *entries, size_t begin,
                 size_t end, struct gen *gen, unsigned moves)
{
	struct walk_entry *list = calloc(end - begin + 1, sizeof(*list));
	bool ok;

	must(list != NULL);
	for (size_t i = begin; i < end; i++) {
		list[i - begin].key = buf_slice(&entries->all[i].key);
		list[i - begin].value = buf_slice(&entries->all[i].value);
	}
	ok = walk_both_ways(it, list, end - begin, gen, moves);
	free(list);
	return ok;
}

bool entries_equal(const struct entries *a, const struct entries *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!slice_equal(buf_slice(&a->all[i].key),
		                 buf_slice(&b->all[i].key)) ||
		    !slice_equal(buf_slice(&a->all[i].value),
		                 buf_slice(&b->all[i].value)))
			return false;
	return true;
}

struct array_iter {
	struct iter base;
	const struct entries *entries;
	long fail_at;
	size_t at;
	enum lsm_err err;
	/* The borrowed key and value: gone at the next move, as promised. */
	uint8_t *lent_key, *lent_value;
};

int iters_alive;

static void lend(struct array_iter *it)
{
	const struct entry *entry = &it->entries->all[it->at];

	free(it->lent_key);
	free(it->lent_value);
	it->lent_key = NULL;
	it->lent_value = NULL;
	it->err = LSM_OK;
	if (it->fail_at >= 0 && it->at == (size_t)it->fail_at) {
		it->at = it->entries->count;
		it->err = LSM_ERR_IO;
	}
	iter_place(&it->base, false, slice_make(NULL, 0));
	if (it->at == it->entries->count)
		return;
	it->lent_key = malloc(entry->key.len + 1);
	it->lent_value = malloc(entry->value.len + 1);
	if (it->lent_key == NULL || it->lent_value == NULL) {
		it->at = it->entries->count;
		it->err = LSM_ERR_NOMEM;
		return;
	}
	memcpy(it->lent_key, entry->key.data, entry->key.len);
	if (entry->value.len > 0)
		memcpy(it->lent_value, entry->value.data, entry->value.len);
	iter_place(&it->base, true, slice_make(it->lent_key, entry->key.len));
}

static void array_seek_first(struct iter *base)
{
	struct array_iter *it = (struct array_iter *)base;

	it->at = 0;
	lend(it);
}

static void array_seek(struct iter *base, struct slice target)
{
	struct array_iter *it = (struct array_iter *)base;

	it->at = 0;
	while (it->at < it->entries->count &&
	       key_compare(buf_slice(&it->entries->all[it->at].key), target) <
	           0)
		it->at++;
	lend(it);
}

static void array_next(struct iter *base)
{
	struct array_iter *it = (struct array_iter *)base;

	must(it->at < it->entries->count);
	it->at++;
	lend(it);
}

static void array_seek_last(struct iter *base)
{
	struct array_iter *it = (struct array_iter *)base;

	it->at = it->entries->count;
	if (it->at > 0)
		it->at--;
	lend(it);
}

static void array_prev(struct iter *base)
{
	struct array_iter *it = (struct array_iter *)base;

	must(it->at < it->entries->count);
	it->at = it->at > 0 ? it->at - 1 : it->entries->count;
	lend(it);
}

static void array_seek_before(struct iter *base, struct slice target)
{
	struct array_iter *it = (struct array_iter *)base;

	array_seek(base, target);
	if (it->err != LSM_OK)
		return;
	it->at = it->at > 0 ? it->at - 1 : it->entries->count;
	lend(it);
}

static struct slice array_value(const struct iter *base)
{
	const struct array_iter *it = (const struct array_iter *)base;

	must(iter_valid(base));
	return slice_make(it->lent_value, it->entries->all[it->at].value.len);
}

static enum lsm_err array_status(const struct iter *base)
{
	return ((const struct array_iter *)base)->err;
}

static void array_destroy(struct iter *base)
{
	struct array_iter *it = (struct array_iter *)base;

	free(it->lent_key);
	free(it->lent_value);
	free(it);
	iters_alive--;
}

static const struct iter_ops array_ops = {
    .seek_first = array_seek_first,
    .seek = array_seek,
    .next = array_next,
    .seek_last = array_seek_last,
    .seek_before = array_seek_before,
    .prev = array_prev,
    .value = array_value,
    .status = array_status,
    .destroy = array_destroy,
};

struct iter *entries_iter(const struct entries *entries, long fail_at)
{
	struct array_iter *it = calloc(1, sizeof(*it));

	must(it != NULL);
	iter_init(&it->base, &array_ops);
	it->entries = entries;
	it->fail_at = fail_at;
	it->at = entries->count;
	iters_alive++;
	return &it->base;
}

enum lsm_err append_fold(void *ctx, struct slice key, bool has_base,
                         const struct slice *base, const struct slice *operands,
                         size_t count, struct buf *value)
{
	enum lsm_err err = LSM_OK;

	(void)ctx;
	(void)key;
	must(count > 0 && value->len == 0 && (has_base || base == NULL));
	if (base != NULL)
		err = buf_append_slice(value, *base);
	for (size_t i = 0; err == LSM_OK && i < count; i++) {
		if (operands[i].len > 0 && operands[i].data[0] == '!')
			return LSM_ERR_CORRUPT;
		err = buf_append_slice(value, operands[i]);
	}
	return err;
}

const struct fold_fn append_fn = {.call = append_fold, .ctx = NULL};

void tally_adopted(void *ctx, struct file_id id)
{
	struct tally *tally = ctx;

	tally->adopted[id.number % TALLY_NUMBERS]++;
}

static void tally_dropped(void *ctx, struct file_id id)
{
	struct tally *tally = ctx;

	tally->dropped[id.number % TALLY_NUMBERS]++;
}

struct table_owner tally_owner(struct tally *tally)
{
	struct table_owner owner = {.dropped = tally_dropped, .ctx = tally};

	return owner;
}

bool tally_is_even(const struct tally *tally)
{
	return memcmp(tally->adopted, tally->dropped, sizeof(tally->adopted)) ==
	       0;
}

struct table_meta *make_meta(uint64_t number, const char *smallest,
                             const char *largest, uint64_t max_seq,
                             struct table_owner owner)
{
	struct file_id id = {.creator = CREATOR, .number = number};
	uint64_t min_seq = max_seq > 5 ? max_seq - 5 : 0;
	struct table_meta *meta;
	struct table_info info;

	table_info_init(&info);
	info.file_bytes = 1000 + number;
	info.entries = 10 + number;
	info.deletes = number % 10;
	info.raw_bytes = 5000 + number;
	info.min_seq = min_seq;
	info.max_seq = max_seq;
	must(key_make(&info.smallest, slice_str(smallest), max_seq, KEY_PUT) ==
	     LSM_OK);
	must(key_make(&info.largest, slice_str(largest), min_seq, KEY_PUT) ==
	     LSM_OK);
	must(table_meta_create(id, &info, owner, &meta) == LSM_OK);
	must(info.smallest.data == NULL);
	return meta;
}

int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
