/* SPDX-License-Identifier: MIT */
/*
 * direct.c: large values of a large batch go to a segment at commit, so that they
 * are written once; the log gets pointers.
 *
 * Each generation has a segment at most, of the same id as its log; so whoever
 * names the log names the segment, and the manifest says nothing of it. A writer
 * compresses its values, reserves room, and writes them there in its own thread;
 * then it commits the pointers. A generation is not sealed while somebody stands
 * between the two (log.c), so that a log leads to the segment beside it and to no
 * other. The flush hands the segment to the table; a replay puts the values back
 * in place of the pointers, and what is flushed then is written anew.
 */
#include <assert.h>
#include <inttypes.h>

#include "base/codec.h"
#include "store/batch.h"
#include "store/store.h"

enum {
	PAYLOAD_SLACK_BYTES =
	    64,           /* batch_add() may ask for, beyond what it adds */
	SYNCED_TIMES = 4, /* the least placed, between two syncs */
};

/* A frame in the making: at `start` of the bytes, a gap for its header, key, value. */
struct packed {
	size_t start;
	struct frame frame; /* user and stored are set when it is numbered */
	size_t user_len, stored_len;
};

struct packing {
	struct buf bytes; /* of the frames */
	struct buf items; /* struct packed */
	size_t count;
	uint64_t raw_bytes;
};

static struct packed *packed_at(struct packing *packing, size_t i)
{
	return (struct packed *)(void *)packing->items.data + i;
}

/* ---- the segment ------------------------------------------------------------ */

struct active_segment *store_make_segment(struct lsm *store, struct file_id log)
{
	struct active_segment *segment = NULL;
	enum lsm_err err = pool_lead_log(store->pool, log);

	if (err == LSM_OK)
		err = active_segment_create(
		    store->source.pool, log, &store->segments.family,
		    store_segment_bytes(store), &segment);
	if (err != LSM_OK) /* the file goes with the log */
		log_warning("%s: no segment could be made beside a log (%s)",
		            store->path, lsm_strerror(err));
	return segment;
}

/*
 * See that the active generation has a segment beside its log. Needs the lead. As a
 * rule it comes with the log; where values are first placed when that is there
 * already, the folder is synced here. Where it fails the generation goes without.
 */
static enum lsm_err need_segment(struct lsm *store)
{
	struct generation *gen = store->active;
	struct active_segment *segment;
	enum lsm_err err = store_writable(store);

	if (err == LSM_OK)
		err = store_take_log(store, true);
	if (err != LSM_OK || gen->segment != NULL || gen->segment_refused)
		return err;
	segment = store_make_segment(store, wal_writer_id(gen->log));
	if (segment != NULL && env_dir_sync(store->source.pool) != LSM_OK) {
		active_segment_unref(segment);
		segment = NULL;
	}
	gen->segment_refused = segment == NULL;
	atomic_store(&gen->segment, segment);
	return LSM_OK;
}

/* The segment of the active generation, with a reference; NULL: it has none. */
static enum lsm_err take_segment(struct lsm *store,
                                 struct active_segment **segment_out)
{
	struct view *view = view_get(store, NULL);
	struct commit place;
	enum lsm_err err = LSM_OK;

	*segment_out = atomic_load(&view->active->segment);
	if (*segment_out != NULL)
		active_segment_ref(*segment_out);
	view_unref(view);
	if (*segment_out != NULL)
		return LSM_OK;

	store_lead(store, &place);
	err = need_segment(store);
	if (err == LSM_OK)
		*segment_out = store->active->segment;
	if (*segment_out != NULL)
		active_segment_ref(*segment_out);
	store_unlead(store, &place);
	return err;
}

/* Reserve room in the active segment. *segment_out NULL: there is none to have. */
static enum lsm_err reserve(struct lsm *store, const struct packing *packing,
                            struct active_segment **segment_out,
                            uint64_t *offset_out)
{
	for (;;) {
		struct active_segment *segment;
		bool sealed = true;
		enum lsm_err err = take_segment(store, &segment);

		*segment_out = segment;
		if (err != LSM_OK || segment == NULL)
			return err;
		err = active_segment_reserve(segment, packing->bytes.len,
		                             packing->count, packing->raw_bytes,
		                             offset_out);
		if (err == LSM_OK)
			return LSM_OK;
		if (err == LSM_ERR_BUSY)
			err = store_lead_and_seal_segment(store, segment,
			                                  &sealed);
		active_segment_unref(segment);
		*segment_out = NULL;
		/* Without room here the log may have some, or tell. */
		if (err == LSM_ERR_NOSPACE || (err == LSM_OK && !sealed))
			return LSM_OK;
		if (err != LSM_OK)
			return err;
	}
}

/* ---- placing ---------------------------------------------------------------- */

static bool is_large(const struct lsm *store, enum key_kind kind,
                     struct slice value)
{
	return kind == KEY_PUT && value.len > POINTER_BYTES &&
	       value.len >= store->options.segment_min_bytes;
}

static enum lsm_err pack(struct packing *packing, struct slice key,
                         struct slice value)
{
	struct packed packed = {.start = packing->bytes.len,
	                        .user_len = key.len};
	enum codec codec = CODEC_RAW;
	enum lsm_err err = buf_resize(&packing->bytes,
	                              packing->bytes.len + FRAME_HEADER_BYTES);

	if (err == LSM_OK)
		err = buf_append_slice(&packing->bytes, key);
	if (err == LSM_OK)
		err = codec_compress(value, &packing->bytes, &codec);
	if (err != LSM_OK)
		return err;
	packed.frame.codec = (uint8_t)codec;
	packed.frame.raw_len = (uint32_t)value.len;
	packed.frame.seq = FRAME_SEQ_UNKNOWN;
	packed.stored_len =
	    packing->bytes.len - packed.start - FRAME_HEADER_BYTES - key.len;
	packing->raw_bytes += value.len;
	packing->count++;
	return buf_append(&packing->items, &packed, sizeof(packed));
}

static uint64_t synced_min(const struct lsm *store)
{
	return SYNCED_TIMES * (uint64_t)store->options.direct_min_bytes;
}

void store_expect_no_sync(struct lsm *store)
{
	atomic_store(&store->large_since_sync, synced_min(store));
}

/*
 * Whether the batch has enough for a segment. That makes a sync one of two files, so
 * who syncs after every few values does better with one of the log: he then gets them
 * written again by the flush.
 */
static enum lsm_err has_enough(struct lsm *store, struct slice payload,
                               bool *enough_out)
{
	struct batch_reader reader;
	struct slice key, value;
	enum key_kind kind;
	uint64_t bytes = 0;
	enum lsm_err err = batch_reader_init(&reader, payload);

	for (uint32_t i = 0; err == LSM_OK && i < reader.entries; i++) {
		err = batch_reader_next(&reader, &kind, &key, &value);
		if (err == LSM_OK && is_large(store, kind, value))
			bytes += value.len;
	}
	*enough_out = bytes >= store->options.direct_min_bytes &&
	              atomic_fetch_add_explicit(&store->large_since_sync, bytes,
	                                        memory_order_relaxed) +
	                      bytes >=
	                  synced_min(store);
	return err;
}

static enum lsm_err pack_all(struct lsm *store, struct slice payload,
                             struct packing *packing)
{
	struct batch_reader reader;
	struct slice key, value;
	enum key_kind kind;
	enum lsm_err err = batch_reader_init(&reader, payload);

	for (uint32_t i = 0; err == LSM_OK && i < reader.entries; i++) {
		err = batch_reader_next(&reader, &kind, &key, &value);
		if (err == LSM_OK && is_large(store, kind, value))
			err = pack(packing, key, value);
	}
	return err;
}

/* Finish a frame, which will stand at `offset` + its start. */
static void number_frame(struct packing *packing, struct packed *packed,
                         struct file_id id, uint64_t offset,
                         uint8_t pointer_out[POINTER_BYTES])
{
	uint8_t *header = packing->bytes.data + packed->start;
	struct pointer pointer;

	packed->frame.user =
	    slice_make(header + FRAME_HEADER_BYTES, packed->user_len);
	packed->frame.stored = slice_make(
	    header + FRAME_HEADER_BYTES + packed->user_len, packed->stored_len);
	frame_encode(&packed->frame, id, offset + packed->start, header,
	             &pointer);
	pointer_encode(&pointer, pointer_out);
}

/* The batch with pointers, and the frames that they lead to. */
static enum lsm_err point_all(struct lsm *store, struct lsm_batch *from,
                              struct slice payload, struct packing *packing,
                              struct file_id id, uint64_t offset,
                              struct lsm_batch *to)
{
	struct batch_reader reader;
	struct slice key, value;
	enum key_kind kind;
	size_t next = 0;
	enum lsm_err err = batch_reader_init(&reader, payload);

	for (uint32_t i = 0; err == LSM_OK && i < reader.entries; i++) {
		uint8_t pointer[POINTER_BYTES];

		err = batch_reader_next(&reader, &kind, &key, &value);
		if (err == LSM_OK && is_large(store, kind, value)) {
			number_frame(packing, packed_at(packing, next++), id,
			             offset, pointer);
			kind = KEY_POINTER;
			value = slice_make(pointer, sizeof(pointer));
		}
		if (err == LSM_OK)
			err = batch_add(to, kind, key, value);
	}
	memcpy(to->counters, from->counters, sizeof(to->counters));
	return err;
}

static enum lsm_err write_frames(struct lsm *store,
                                 struct active_segment *segment,
                                 uint64_t offset, const struct packing *packing)
{
	enum lsm_err err =
	    active_segment_write(segment, offset, buf_slice(&packing->bytes));

	if (err == LSM_OK) {
		atomic_fetch_add(&store->segment_bytes_written,
		                 packing->bytes.len);
		return LSM_OK;
	}
	store_fail(store, LSM_ERR_POISONED, "a segment could not be written");
	return LSM_ERR_POISONED;
}

static enum lsm_err place(struct lsm *store, struct lsm_batch *batch,
                          struct slice payload, struct packing *packing,
                          struct placement *placement)
{
	uint64_t offset = 0;
	enum lsm_err err = pack_all(store, payload, packing);

	/* From the reservation on nothing may fail but the write: what is reserved
	   is walked. A pointer is shorter than what it stands for. */
	if (err == LSM_OK)
		err = lsm_batch_create(&placement->batch);
	if (err == LSM_OK)
		err = buf_reserve(&placement->batch->rep,
		                  payload.len + PAYLOAD_SLACK_BYTES);
	if (err == LSM_OK)
		err = reserve(store, packing, &placement->segment, &offset);
	if (err != LSM_OK || placement->segment == NULL)
		return err;
	err = point_all(store, batch, payload, packing,
	                active_segment_id(placement->segment), offset,
	                placement->batch);
	assert(err == LSM_OK);
	return err == LSM_OK
	           ? write_frames(store, placement->segment, offset, packing)
	           : err;
}

enum lsm_err store_place(struct lsm *store, struct lsm_batch *batch,
                         struct placement *placement)
{
	struct packing packing = {.bytes = BUF_INIT, .items = BUF_INIT};
	struct slice payload;
	bool enough = false;
	enum lsm_err err = LSM_OK;

	memset(placement, 0, sizeof(*placement));
	if (store->options.direct_min_bytes == 0 ||
	    store->options.segment_min_bytes == 0 ||
	    batch->bytes < store->options.direct_min_bytes)
		return LSM_OK;
	err = batch_finish(batch, 1, &payload); /* to be walked */
	if (err == LSM_OK)
		err = has_enough(store, payload, &enough);
	if (err == LSM_OK && enough)
		err = place(store, batch, payload, &packing, placement);
	buf_release(&packing.bytes);
	buf_release(&packing.items);
	if (err != LSM_OK || placement->segment == NULL)
		store_end_placement(placement);
	return err;
}

void store_end_placement(struct placement *placement)
{
	lsm_batch_destroy(placement->batch);
	if (placement->segment != NULL) {
		active_segment_let_go(placement->segment);
		active_segment_unref(placement->segment);
	}
	memset(placement, 0, sizeof(*placement));
}

/* ---- replay ----------------------------------------------------------------- */

static enum lsm_err follow_entry(struct lsm *store, struct file_id log,
                                 struct slice key, enum key_kind *kind,
                                 struct slice *value, struct buf *memory)
{
	struct segment_source source = store->segments;
	struct pointer pointer;
	enum lsm_err err = LSM_ERR_LOST;

	source.lenient = true; /* the log's promise says what is an error */

	if (*kind != KEY_POINTER)
		return LSM_OK;
	if (pointer_decode(*value, &pointer) &&
	    file_id_equal(pointer.segment, log))
		err = segment_read(&source, key, &pointer, memory);
	else
		log_error("%s: log %016" PRIx64 "-%" PRIu64
		          " leads to a segment that is not its own",
		          store->path, log.creator, log.number);
	*kind = KEY_PUT;
	*value = buf_slice(memory);
	return err == LSM_ERR_CORRUPT ? LSM_ERR_LOST : err;
}

enum lsm_err store_follow_log(struct lsm *store, struct file_id log,
                              struct slice payload, struct lsm_batch *inlined,
                              struct slice *payload_out)
{
	struct buf memory = BUF_INIT;
	struct batch_reader reader;
	bool found = false;
	enum lsm_err err = batch_reader_init(&reader, payload);

	*payload_out = payload;
	if (inlined != NULL)
		lsm_batch_clear(inlined);
	for (uint32_t i = 0; err == LSM_OK && i < reader.entries; i++) {
		struct slice key, value;
		enum key_kind kind;

		err = batch_reader_next(&reader, &kind, &key, &value);
		found = found || (err == LSM_OK && kind == KEY_POINTER);
		if (err == LSM_OK)
			err = follow_entry(store, log, key, &kind, &value,
			                   &memory);
		if (err == LSM_OK && inlined != NULL)
			err = batch_add(inlined, kind, key, value);
	}
	if (err == LSM_OK && inlined != NULL)
		err = batch_reader_counters(&reader, inlined->counters);
	if (err == LSM_OK && inlined != NULL && found)
		err = batch_finish(inlined, reader.first_seq, payload_out);
	buf_release(&memory);
	return err == LSM_ERR_TOO_BIG ? LSM_ERR_CORRUPT : err;
}
