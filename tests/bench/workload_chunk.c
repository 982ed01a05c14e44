/* SPDX-License-Identifier: MIT */
/*
 * workload_chunk.c: the contents of files, as src/fs stores them: chunks of
 * 64 KiB under keys of inode and index, half compressible. A chunk is 16 blocks,
 * each of which can be checked by itself, whatever was patched around it.
 *
 * An engine without merge operands reads the chunk, applies the patch and
 * writes the whole.
 */
#include "tests/bench/workload.h"

#include "base/buf.h"
#include "fs/chunk.h"
#include "tests/bench/data.h"

enum {
	BLOCKS = CHUNK_BYTES / CHUNK_BLOCK_BYTES,
	CHUNKS_OF_FILE = 1024,
	FIRST_INO = 1000,
	KEY_BYTES = 17,
};

static void chunk_key(struct schema_key *key, uint64_t chunk)
{
	schema_chunk_key(key, FIRST_INO + chunk / CHUNKS_OF_FILE,
	                 chunk % CHUNKS_OF_FILE);
}

static uint64_t any_chunk(struct bench_worker *worker)
{
	return data_random(&worker->random) % worker->keys;
}

static enum lsm_err put_chunk(struct bench_worker *worker, uint64_t chunk,
                              uint64_t version)
{
	struct schema_key key;
	enum lsm_err err;

	worker->value[0] = CHUNK_FULL;
	for (unsigned b = 0; b < BLOCKS; b++)
		data_value(worker->value + 1 + b * CHUNK_BLOCK_BYTES,
		           CHUNK_BLOCK_BYTES, chunk * BLOCKS + b, version);
	chunk_key(&key, chunk);
	worker->written_bytes += key.len + CHUNK_VALUE_MAX_BYTES;
	worker->ops++;
	err = worker->engine->put(
	    worker->session, schema_slice(&key),
	    slice_make(worker->value, CHUNK_VALUE_MAX_BYTES));
	if (err == LSM_OK)
		err = worker->engine->commit(worker->session, false);
	return err;
}

static enum lsm_err write_in_order(struct bench_worker *worker, uint64_t i)
{
	worker->live_bytes += KEY_BYTES + CHUNK_VALUE_MAX_BYTES;
	return put_chunk(worker, i, 0);
}

static enum lsm_err overwrite(struct bench_worker *worker, uint64_t i)
{
	return put_chunk(worker, any_chunk(worker), i + 1);
}

/* For those that have no merge operands. */
static enum lsm_err modify(struct bench_worker *worker, struct slice key,
                           struct slice operand)
{
	struct buf value = BUF_INIT;
	struct slice before;
	enum lsm_err err = worker->engine->get(worker->session, key, &before);

	if (err == LSM_OK)
		err = buf_append(&value, before.data, before.len);
	if (err == LSM_OK)
		err = chunk_apply(&value, operand);
	if (err == LSM_OK)
		err = worker->engine->put(worker->session, key,
		                          buf_slice(&value));
	buf_release(&value);
	return err;
}

static enum lsm_err patch(struct bench_worker *worker, uint64_t i)
{
	uint64_t chunk = any_chunk(worker);
	unsigned block = (unsigned)(data_random(&worker->random) % BLOCKS);
	struct buf operand = BUF_INIT;
	struct schema_key key;
	enum lsm_err err;

	chunk_key(&key, chunk);
	data_value(worker->value, CHUNK_BLOCK_BYTES, chunk * BLOCKS + block,
	           i + 1);
	err = chunk_patch(&operand, block * CHUNK_BLOCK_BYTES,
	                  slice_make(worker->value, CHUNK_BLOCK_BYTES));
	worker->written_bytes += key.len + operand.len;
	worker->ops++;
	if (err == LSM_OK && worker->engine->patch != NULL)
		err = worker->engine->patch(worker->session, schema_slice(&key),
		                            buf_slice(&operand));
	else if (err == LSM_OK)
		err = modify(worker, schema_slice(&key), buf_slice(&operand));
	if (err == LSM_OK)
		err = worker->engine->commit(worker->session, false);
	buf_release(&operand);
	return err;
}

static enum lsm_err read_chunk(struct bench_worker *worker, uint64_t i)
{
	uint64_t chunk = any_chunk(worker);
	struct schema_key key;
	struct slice value;
	enum lsm_err err;

	chunk_key(&key, chunk);
	err = worker->engine->get(worker->session, schema_slice(&key), &value);
	if (err == LSM_ERR_NOT_FOUND ||
	    (err == LSM_OK && value.len != CHUNK_VALUE_MAX_BYTES))
		return workload_wrong(worker, "no chunk", chunk);
	for (unsigned b = i % 8 == 0 ? 0 : BLOCKS - 1;
	     err == LSM_OK && b < BLOCKS; b++) {
		struct slice block = slice_make(
		    value.data + 1 + b * CHUNK_BLOCK_BYTES, CHUNK_BLOCK_BYTES);

		if (!data_value_is(block, CHUNK_BLOCK_BYTES,
		                   chunk * BLOCKS + b))
			return workload_wrong(worker, "not the chunk", chunk);
	}
	worker->ops++;
	worker->read_bytes += key.len + CHUNK_VALUE_MAX_BYTES;
	return err;
}

const struct workload workloads_chunk[] = {
    {
	.name = "chunk",
	.help = "64 KiB chunks: in order, at random, 4 KiB patches, reads",
	.keys = 16384,
	.value_bytes = CHUNK_BYTES,
	.chunks = true,
	.phases =
	    {
		{.name = "write",
                 .call = write_in_order,
                 .threads = 1,
                 .goal = GOAL_CHUNK,
                 .writes = true},
		{.name = "overwrite",
                 .call = overwrite,
                 .threads = 1,
                 .goal = GOAL_CHUNK,
                 .writes = true},
		{.name = "read",
                 .call = read_chunk,
                 .count = 16384,
                 .threads = 1,
                 .goal = GOAL_READ},
		{.name = "patch",
                 .call = patch,
                 .count = 131072,
                 .threads = 1,
                 .goal = GOAL_CHUNK,
                 .writes = true},
		{.name = "read-patched",
                 .call = read_chunk,
                 .count = 16384,
                 .threads = 1,
                 .goal = GOAL_READ},
		{.name = "read-cold",
                 .call = read_chunk,
                 .count = 4096,
                 .threads = 1,
                 .goal = GOAL_READ,
                 .cold = true},
	    },
    },
    {.name = NULL},
};
