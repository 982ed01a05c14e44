/* SPDX-License-Identifier: MIT */
/*
 * test_wal_reader.c: what was synced comes back or its loss is said; what was
 * not may be cut, and nothing is ever made up.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/coding.h"
#include "tests/engine/wal/wal_kit.h"

enum { SEED = 20240701, RECORDS_MAX = 64 };

/* A log made record by record, with all promises known. */
struct known_log {
	size_t records;
	uint64_t begin[RECORDS_MAX + 1]; /* and where the last one ends */
	uint64_t promise[RECORDS_MAX];   /* 0: it carries none */
	struct buf bytes;
};

/* `sync_after[i]` says whether the log is synced behind record i. */
static void make_known(struct known_log *log, size_t records,
                       const bool *sync_after, size_t payload_max,
                       struct gen *gen)
{
	struct wal_writer *writer = new_log();
	uint8_t *data = malloc(payload_max + 1);

	log->records = records;
	for (size_t i = 0; i < records; i++) {
		size_t len = (size_t)gen_below(gen, payload_max + 1);

		gen_bytes(gen, data, len);
		log->begin[i] = wal_writer_size(writer);
		ck_assert_int_eq(
		    wal_writer_reserve(writer, wal_record_bytes(len)), LSM_OK);
		ck_assert_int_eq(append_one(writer, data, len), LSM_OK);
		if (sync_after[i])
			ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	}
	log->begin[records] = wal_writer_size(writer);
	wal_writer_destroy(writer);
	log_bytes(&log->bytes);
	free(data);
	for (size_t i = 0; i < records; i++) {
		size_t begin = (size_t)log->begin[i], total;

		ck_assert(wal_record_peek(
		    log_header.id, begin,
		    slice_make(log->bytes.data + begin, log->bytes.len - begin),
		    &total, &log->promise[i]));
		ck_assert_uint_eq(begin + total, log->begin[i + 1]);
	}
}

/* Records 0 to 5, synced behind 1 and 3: 2 promises what ends there, and 4 what
   ends at 4. */
static void make_plain(struct known_log *log)
{
	static const bool sync_after[6] = {[1] = true, [3] = true};
	struct gen gen;

	gen_init(&gen, 5);
	make_known(log, 6, sync_after, 40, &gen);
	ck_assert_uint_eq(log->promise[2], log->begin[2]);
	ck_assert_uint_eq(log->promise[4], log->begin[4]);
}

static void damage(struct known_log *log, size_t record)
{
	log->bytes.data[log->begin[record] + 4] ^= 1;
	set_log_bytes(buf_slice(&log->bytes));
}

static void expect(uint64_t promised, enum lsm_err err, size_t records)
{
	struct outcome got;

	read_log(promised, &got);
	ck_assert_int_eq(got.err, err);
	ck_assert_uint_eq(got.records, records);
	outcome_release(&got);
}

START_TEST(log_without_records_ends_cleanly)
{
	wal_writer_destroy(new_log());
	expect(0, LSM_OK, 0);
	expect(FILE_HEADER_BYTES, LSM_OK, 0);
}
END_TEST

START_TEST(preallocated_tail_is_a_clean_end)
{
	struct known_log log;
	struct outcome got;

	make_plain(&log);
	ck_assert_uint_gt(log.bytes.len, log.begin[log.records]);
	read_log(0, &got);
	ck_assert_int_eq(got.err, LSM_OK);
	ck_assert_uint_eq(got.records, log.records);
	ck_assert_uint_eq(got.end, log.begin[log.records]);
	ck_assert_uint_eq(got.promise, log.begin[4]);
	ck_assert(!got.sealed);
	outcome_release(&got);
	buf_release(&log.bytes);
}
END_TEST

START_TEST(end_record_ends_the_log)
{
	struct wal_writer *writer = new_log();
	struct outcome got;

	ck_assert_int_eq(append_one(writer, "abc", 3), LSM_OK);
	ck_assert_int_eq(wal_writer_seal(writer), LSM_OK);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	read_log(wal_writer_synced(writer), &got);
	ck_assert_int_eq(got.err, LSM_OK);
	ck_assert_uint_eq(got.records, 1);
	ck_assert(got.sealed);
	ck_assert_uint_eq(got.end, wal_writer_size(writer));
	outcome_release(&got);
	expect(wal_writer_size(writer) + 1, LSM_ERR_LOST, 1);
	wal_writer_destroy(writer);
}
END_TEST

/* Records that a writer adds once the reader has seen zeros in their place, of which
   the last promises the others. */
static void append_and_promise(struct wal_writer *writer, size_t len)
{
	void *zeros = calloc(1, len);

	ck_assert_int_eq(append_one(writer, zeros, len), LSM_OK);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_int_eq(append_one(writer, "abc", 3), LSM_OK);
	free(zeros);
}

START_TEST(what_is_written_meanwhile_is_no_loss_of_what_was_there)
{
	struct wal_writer *writer = new_log();
	struct wal_reader *reader;
	struct slice payload;
	uint64_t size;
	bool more;

	ck_assert_int_eq(wal_writer_reserve(writer, 2 << 20), LSM_OK);
	ck_assert_int_eq(append_one(writer, "abc", 3), LSM_OK);
	size = wal_writer_size(writer);
	ck_assert_int_eq(wal_reader_open(pool, FILE_KIND_LOG, log_header.id,
	                                 &log_header.family, 0, &reader),
	                 LSM_OK);
	wal_reader_limit(reader, size);
	ck_assert_int_eq(wal_reader_next(reader, &payload, &more), LSM_OK);
	ck_assert(more);
	append_and_promise(writer, 1 << 20);
	ck_assert_int_eq(wal_reader_next(reader, &payload, &more), LSM_OK);
	ck_assert(!more);
	ck_assert(!wal_reader_torn(reader));
	ck_assert_uint_eq(wal_reader_end(reader), size);
	wal_reader_close(reader);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(bad_record_behind_all_promises_is_cut)
{
	struct known_log log;

	make_plain(&log);
	damage(&log, 4);
	expect(0, LSM_OK, 4);
	buf_release(&log.bytes);
}
END_TEST

/* Read so many records, and say that the last of them leads nowhere. */
static void expect_rejected(size_t read, enum lsm_err err, uint64_t end)
{
	struct wal_reader *reader;
	struct slice payload;
	bool more = true;

	ck_assert_int_eq(wal_reader_open(pool, FILE_KIND_LOG, log_header.id,
	                                 &log_header.family, 0, &reader),
	                 LSM_OK);
	for (size_t i = 0; i < read; i++)
		ck_assert_int_eq(wal_reader_next(reader, &payload, &more),
		                 LSM_OK);
	ck_assert(more);
	ck_assert_int_eq(wal_reader_reject(reader), err);
	ck_assert_int_eq(wal_reader_next(reader, &payload, &more), err);
	ck_assert(!more);
	ck_assert_uint_eq(wal_reader_end(reader), end);
	ck_assert(wal_reader_torn(reader));
	ck_assert(!wal_reader_sealed(reader));
	wal_reader_close(reader);
}

START_TEST(rejected_record_is_one_that_is_not_whole)
{
	struct known_log log;

	make_plain(&log);
	expect_rejected(5, LSM_OK, log.begin[4]);
	expect_rejected(6, LSM_OK, log.begin[5]);
	expect_rejected(4, LSM_ERR_LOST, log.begin[3]);
	expect_rejected(1, LSM_ERR_LOST, log.begin[0]);
	buf_release(&log.bytes);
}
END_TEST

START_TEST(bad_record_before_a_later_promise_is_lost)
{
	struct known_log log;

	make_plain(&log);
	damage(&log, 3);
	expect(0, LSM_ERR_LOST, 3);
	buf_release(&log.bytes);
}
END_TEST

START_TEST(zeroed_middle_before_a_promise_is_lost)
{
	struct known_log log;

	make_plain(&log);
	memset(log.bytes.data + log.begin[1], 0, log.begin[4] - log.begin[1]);
	set_log_bytes(buf_slice(&log.bytes));
	expect(0, LSM_ERR_LOST, 1);
	buf_release(&log.bytes);
}
END_TEST

START_TEST(torn_tail_that_the_caller_knows_durable_is_lost)
{
	struct known_log log;

	make_plain(&log);
	damage(&log, 4);
	expect(log.begin[4], LSM_OK, 4);
	expect(log.begin[4] + 1, LSM_ERR_LOST, 4);
	expect(log.begin[6], LSM_ERR_LOST, 4);
	buf_release(&log.bytes);
}
END_TEST

START_TEST(error_stays_when_asked_again)
{
	struct known_log log;
	struct wal_reader *reader;
	struct slice payload;
	bool more;

	make_plain(&log);
	damage(&log, 0);
	ck_assert_int_eq(wal_reader_open(pool, FILE_KIND_LOG, log_header.id,
	                                 &log_header.family, 0, &reader),
	                 LSM_OK);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(wal_reader_next(reader, &payload, &more),
		                 LSM_ERR_LOST);
		ck_assert(!more);
	}
	wal_reader_close(reader);
	buf_release(&log.bytes);
}
END_TEST

/* The promise lies far behind the bad record: past several reads. */
START_TEST(promise_is_found_behind_megabytes)
{
	const size_t big = 3u << 20;
	uint8_t *data = malloc(big);
	struct wal_writer *writer = new_log();
	struct buf bytes;
	struct gen gen;

	gen_init(&gen, 9);
	gen_bytes(&gen, data, big);
	ck_assert_int_eq(append_one(writer, "first", 5), LSM_OK);
	ck_assert_int_eq(append_one(writer, data, big), LSM_OK);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_int_eq(append_one(writer, data, big - 3), LSM_OK);
	wal_writer_destroy(writer);

	expect(0, LSM_OK, 3);
	log_bytes(&bytes);
	bytes.data[FILE_HEADER_BYTES + 40 + 1000] ^= 1;
	set_log_bytes(buf_slice(&bytes));
	expect(0, LSM_ERR_LOST, 1);
	buf_release(&bytes);
	free(data);
}
END_TEST

/* A payload that looks like a record must not count as one behind the end. */
START_TEST(record_bytes_within_a_payload_promise_nothing)
{
	struct wal_writer *writer = new_log();
	/* Where it would be a record, it promises what stands before it. */
	uint64_t at = wal_writer_size(writer) + 10;
	struct wal_record decoy = {WAL_RECORD_DATA, at, slice_str("decoy")};
	struct buf inner = BUF_INIT, bytes;

	ck_assert_int_eq(
	    wal_record_encode(log_header.id, at + 8, &decoy, &inner), LSM_OK);
	ck_assert_int_eq(append_one(writer, inner.data, inner.len), LSM_OK);
	wal_writer_destroy(writer);
	log_bytes(&bytes);
	bytes.data[FILE_HEADER_BYTES + 4] ^= 1;
	set_log_bytes(buf_slice(&bytes));
	expect(0, LSM_OK, 0);
	buf_release(&bytes);
	buf_release(&inner);
}
END_TEST

/* Whatever sector is lost, with the record behind the synced bytes or without:
   some other says what had been synced. */
START_TEST(lost_sector_of_synced_bytes_is_told_by_those_behind)
{
	enum { RECORDS = 60, SECTOR = 512 };
	bool sync_after[RECORDS_MAX] = {[30] = true};
	struct known_log log;
	struct gen gen;
	uint64_t synced;

	gen_init(&gen, gen_seed(11));
	make_known(&log, RECORDS, sync_after, 120, &gen);
	synced = log.begin[31];
	ck_assert_uint_eq(log.promise[31], synced);
	for (uint64_t at = 0; at + SECTOR < log.begin[RECORDS]; at += SECTOR) {
		uint64_t from = at < FILE_HEADER_BYTES ? FILE_HEADER_BYTES : at;
		struct buf damaged = BUF_INIT;
		struct outcome got;

		ck_assert_int_eq(
		    buf_append_slice(&damaged, buf_slice(&log.bytes)), LSM_OK);
		memset(damaged.data + from, 0, at + SECTOR - from);
		set_log_bytes(buf_slice(&damaged));
		read_log(0, &got);
		ck_assert_int_eq(got.err,
		                 from < synced ? LSM_ERR_LOST : LSM_OK);
		outcome_release(&got);
		buf_release(&damaged);
	}
	buf_release(&log.bytes);
}
END_TEST

START_TEST(truncated_anywhere_is_cut_or_lost_as_promised)
{
	struct known_log log;
	struct outcome whole;

	make_plain(&log);
	read_log(0, &whole);
	for (size_t len = 0; len <= log.begin[6] + 8; len++) {
		struct outcome got;
		size_t records = 0;

		set_log_bytes(slice_make(log.bytes.data, len));
		read_log(0, &got);
		while (records < 6 && log.begin[records + 1] <= len)
			records++;
		if (len < FILE_HEADER_BYTES) {
			ck_assert_int_eq(got.err, LSM_ERR_CORRUPT);
		} else {
			ck_assert_int_eq(got.err, LSM_OK);
			ck_assert_uint_eq(got.records, records);
			ck_assert(is_prefix(&got, &whole));
		}
		outcome_release(&got);

		read_log(log.begin[4], &got);
		if (len >= FILE_HEADER_BYTES)
			ck_assert_int_eq(got.err,
			                 records < 4 ? LSM_ERR_LOST : LSM_OK);
		outcome_release(&got);
	}
	outcome_release(&whole);
	buf_release(&log.bytes);
}
END_TEST

START_TEST(any_flipped_byte_is_an_error_or_changes_nothing)
{
	struct known_log log;
	struct outcome whole;

	make_plain(&log);
	read_log(log.begin[6], &whole);
	ck_assert_int_eq(whole.err, LSM_OK);
	for (size_t i = 0; i < log.bytes.len; i++) {
		struct outcome got;

		log.bytes.data[i] ^= 0x5a;
		set_log_bytes(buf_slice(&log.bytes));
		read_log(log.begin[6], &got);
		ck_assert(is_prefix(&got, &whole));
		if (got.err == LSM_OK)
			ck_assert_uint_eq(got.records, whole.records);
		outcome_release(&got);
		log.bytes.data[i] ^= 0x5a;
	}
	outcome_release(&whole);
	buf_release(&log.bytes);
}
END_TEST

START_TEST(log_of_another_name_or_family_is_refused)
{
	struct file_id other = {log_header.id.creator, 8};
	struct uuid stranger = {.bytes = {9}};
	struct wal_reader *reader;

	wal_writer_destroy(new_log());
	ck_assert_int_eq(wal_reader_open(pool, FILE_KIND_LOG, other,
	                                 &log_header.family, 0, &reader),
	                 LSM_ERR_NOT_FOUND);
	ck_assert_ptr_null(reader);
	ck_assert_int_eq(wal_reader_open(pool, FILE_KIND_LOG, log_header.id,
	                                 &stranger, 0, &reader),
	                 LSM_ERR_CORRUPT);
	ck_assert_ptr_null(reader);
}
END_TEST

START_TEST(manifest_is_a_log_of_its_own_name)
{
	struct file_header header = log_header;
	struct wal_writer *writer;
	struct wal_reader *reader;
	struct slice payload;
	bool more;

	header.kind = FILE_KIND_MANIFEST;
	ck_assert_int_eq(wal_writer_create(pool, &header, STEP, 4, &writer),
	                 LSM_OK);
	ck_assert_int_eq(append_one(writer, "edit", 4), LSM_OK);
	wal_writer_destroy(writer);
	ck_assert_int_eq(wal_reader_open(pool, FILE_KIND_MANIFEST, header.id,
	                                 &header.family, 0, &reader),
	                 LSM_OK);
	ck_assert_int_eq(wal_reader_next(reader, &payload, &more), LSM_OK);
	ck_assert(more && slice_equal(payload, slice_str("edit")));
	wal_reader_close(reader);
}
END_TEST

START_TEST(failing_io_is_passed_up)
{
	struct known_log log;
	struct outcome whole;
	uint64_t nth;

	make_plain(&log);
	read_log(0, &whole);
	for (nth = 1;; nth++) {
		struct outcome got;
		uint64_t count;

		env_fault_arm(fault, nth, LSM_ERR_IO, false);
		read_log(0, &got);
		count = env_fault_count(fault);
		ck_assert(is_prefix(&got, &whole));
		/* The last operation is the close, whose error is of no
		   matter to a reader. */
		if (nth < count)
			ck_assert_int_eq(got.err, LSM_ERR_IO);
		outcome_release(&got);
		if (nth > count)
			break;
	}
	ck_assert_uint_ge(nth, 4);
	outcome_release(&whole);
	buf_release(&log.bytes);
}
END_TEST

/* What the reader should say of `log` where records are bad. */
static enum lsm_err judge(const struct known_log *log, const bool *bad,
                          size_t *records_out)
{
	uint64_t promise = 0, end;
	size_t first = 0;

	while (first < log->records && !bad[first])
		first++;
	end = log->begin[first];
	for (size_t i = 0; i < log->records; i++) {
		if (!bad[i] && log->promise[i] > promise)
			promise = log->promise[i];
	}
	*records_out = first;
	return end < promise ? LSM_ERR_LOST : LSM_OK;
}

static void random_round(struct gen *gen)
{
	const size_t records = 1 + (size_t)gen_below(gen, RECORDS_MAX);
	bool sync_after[RECORDS_MAX], bad[RECORDS_MAX] = {false};
	struct known_log log;
	size_t expected;
	enum lsm_err err;

	for (size_t i = 0; i < records; i++)
		sync_after[i] = gen_below(gen, 4) == 0;
	make_known(&log, records, sync_after,
	           gen_below(gen, 3) == 0 ? 20000 : 60, gen);
	for (uint64_t n = gen_below(gen, 4); n > 0; n--) {
		size_t hit = (size_t)gen_below(gen, records);
		uint64_t at =
		    log.begin[hit] +
		    gen_below(gen, log.begin[hit + 1] - log.begin[hit]);

		if (!bad[hit])
			log.bytes.data[at] ^=
			    (uint8_t)(1 + gen_below(gen, 255));
		bad[hit] = true;
	}
	set_log_bytes(buf_slice(&log.bytes));
	err = judge(&log, bad, &expected);
	expect(0, err, expected);
	buf_release(&log.bytes);
	set_log_bytes(slice_make(NULL, 0));
	teardown();
	setup();
}

START_TEST(random_damage_is_judged_as_the_model_does)
{
	struct gen gen;

	gen_init(&gen, gen_seed(SEED));
	for (int i = 0; i < 150; i++)
		random_round(&gen);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wal_reader");
	TCase *tc = tcase_create("end");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, log_without_records_ends_cleanly);
	tcase_add_test(tc, preallocated_tail_is_a_clean_end);
	tcase_add_test(tc, end_record_ends_the_log);
	tcase_add_test(tc,
	               what_is_written_meanwhile_is_no_loss_of_what_was_there);
	tcase_add_test(tc, bad_record_behind_all_promises_is_cut);
	tcase_add_test(tc, rejected_record_is_one_that_is_not_whole);
	tcase_add_test(tc, bad_record_before_a_later_promise_is_lost);
	tcase_add_test(tc, zeroed_middle_before_a_promise_is_lost);
	tcase_add_test(tc, torn_tail_that_the_caller_knows_durable_is_lost);
	tcase_add_test(tc, error_stays_when_asked_again);
	tcase_add_test(tc, promise_is_found_behind_megabytes);
	tcase_add_test(tc, record_bytes_within_a_payload_promise_nothing);
	tcase_add_test(tc, lost_sector_of_synced_bytes_is_told_by_those_behind);
	tcase_add_test(tc, truncated_anywhere_is_cut_or_lost_as_promised);
	tcase_add_test(tc, any_flipped_byte_is_an_error_or_changes_nothing);
	tcase_add_test(tc, log_of_another_name_or_family_is_refused);
	tcase_add_test(tc, manifest_is_a_log_of_its_own_name);
	tcase_add_test(tc, failing_io_is_passed_up);
	tcase_add_test(tc, random_damage_is_judged_as_the_model_does);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
