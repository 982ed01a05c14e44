/* SPDX-License-Identifier: MIT */
#include "tests/engine/compact/pick_kit.h"

#include <check.h>

const struct pick_options pick_defaults = {
    .l0_trigger = 4,
    .level_base_bytes = 1000 * KIB,
    .table_bytes = 100 * KIB,
    .why = PICK_TRIGGER,
};

struct buf pick_cursor[LSM_LEVELS];
unsigned pick_dropped;
uint64_t pick_oldest_snapshot;
uint64_t pick_l0_led_bytes;

static uint64_t next_number, next_seq;

static void note_dropped(void *ctx, struct file_id id)
{
	(void)ctx;
	(void)id;
	pick_dropped++;
}

void pick_setup(void)
{
	for (unsigned level = 0; level < LSM_LEVELS; level++)
		buf_init(&pick_cursor[level]);
	next_number = 1;
	next_seq = 1;
	pick_dropped = 0;
	pick_oldest_snapshot = KEY_SEQ_MAX;
	pick_l0_led_bytes = 0;
}

void pick_teardown(void)
{
	for (unsigned level = 0; level < LSM_LEVELS; level++)
		buf_release(&pick_cursor[level]);
}

static struct slice user_key(uint32_t number, uint8_t bytes[4])
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(number >> (24 - 8 * i));
	return slice_make(bytes, 4);
}

uint32_t pick_key_number(const struct buf *ikey)
{
	uint32_t number = 0;

	for (unsigned i = 0; i < 4; i++)
		number = number << 8 | ikey->data[i];
	return number;
}

static void lead_to_segment(struct table_info *info, uint64_t number)
{
	struct segment_use use = {
	    .id = {2, number},
	    .file_bytes = pick_l0_led_bytes + KIB,
	    .frames = 1,
	    .bytes = pick_l0_led_bytes,
	    .tables = 1,
	};

	if (pick_l0_led_bytes > 0)
		ck_assert_int_eq(segment_uses_add(&info->segments, &use),
		                 LSM_OK);
}

static struct table_meta *make_meta(const struct pick_spec *spec)
{
	struct table_owner owner = {.dropped = note_dropped};
	struct file_id id = {1, next_number++};
	struct table_meta *meta;
	struct table_info info;
	uint8_t bytes[4];

	table_info_init(&info);
	info.file_bytes = spec->bytes;
	info.entries = PICK_ENTRIES;
	info.deletes = spec->deletes;
	info.raw_bytes = spec->bytes;
	info.min_seq = next_seq;
	info.max_seq = next_seq + PICK_ENTRIES;
	next_seq += PICK_ENTRIES + 1;
	ck_assert_int_eq(key_make(&info.smallest, user_key(spec->from, bytes),
	                          info.max_seq, KEY_PUT),
	                 LSM_OK);
	ck_assert_int_eq(key_make(&info.largest, user_key(spec->to, bytes),
	                          info.min_seq, KEY_PUT),
	                 LSM_OK);
	if (spec->level == 0)
		lead_to_segment(&info, id.number);
	ck_assert_int_eq(table_meta_create(id, &info, owner, &meta), LSM_OK);
	table_info_release(&info);
	return meta;
}

void pick_add_spec(struct edit *edit, const struct pick_spec *spec)
{
	struct table_meta *meta = make_meta(spec);

	ck_assert_int_eq(edit_add_table(edit, spec->level, meta), LSM_OK);
	table_meta_unref(meta);
}

struct version *pick_version(const struct pick_spec *specs, size_t count)
{
	struct version *empty, *version;
	struct edit edit;

	edit_init(&edit);
	for (size_t i = 0; i < count; i++)
		pick_add_spec(&edit, &specs[i]);
	ck_assert_int_eq(version_create(&empty), LSM_OK);
	ck_assert_int_eq(edit_apply(empty, &edit, &version), LSM_OK);
	version_unref(empty);
	edit_release(&edit);
	return version;
}

bool pick_plan(struct version *version, enum pick_why why,
               struct compact_plan *plan)
{
	struct pick_options options = pick_defaults;
	bool due;

	options.why = why;
	options.oldest_snapshot = pick_oldest_snapshot;
	ck_assert_int_eq(
	    pick_compaction(version, &options, pick_cursor, plan, &due),
	    LSM_OK);
	ck_assert(due == (plan->input_count[0] > 0));
	return due;
}

bool pick_is_due(struct version *version, enum pick_why why)
{
	struct compact_plan plan;
	bool due = pick_plan(version, why, &plan);

	compact_plan_release(&plan);
	return due;
}
