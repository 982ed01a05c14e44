/* SPDX-License-Identifier: MIT */
#include "tests/bench/null_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	PIECE_BYTES = 64 << 10,
	LEAST_PIECE_BYTES = 1 << 10,
};

/* Bytes past `capacity` are zero. */
struct null_piece {
	size_t capacity;
	uint8_t bytes[];
};

static size_t least(uint64_t a, uint64_t b)
{
	return (size_t)(a < b ? a : b);
}

static int room_for_pieces(struct null_data *data, size_t count)
{
	struct null_piece **pieces;
	size_t more = count - data->count;

	if (count <= data->count)
		return 0;
	pieces = realloc(data->pieces, count * sizeof(pieces[0]));
	if (pieces == NULL)
		return ENOMEM;
	memset(pieces + data->count, 0, more * sizeof(pieces[0]));
	data->pieces = pieces;
	data->count = count;
	return 0;
}

/* Make the piece hold its first `end` bytes. */
static int grow_piece(struct null_piece **piece, size_t end)
{
	size_t old = *piece != NULL ? (*piece)->capacity : 0;
	size_t capacity = old > 0 ? old : LEAST_PIECE_BYTES;
	struct null_piece *grown;

	if (old >= end)
		return 0;
	while (capacity < end)
		capacity *= 2;
	grown = realloc(*piece, sizeof(*grown) + capacity);
	if (grown == NULL)
		return ENOMEM;
	memset(grown->bytes + old, 0, capacity - old);
	grown->capacity = capacity;
	*piece = grown;
	return 0;
}

int null_data_write(struct null_data *data, uint64_t offset, const void *from,
                    size_t size)
{
	const uint8_t *bytes = from;
	uint64_t end = offset + size;
	int err = room_for_pieces(
	    data, (size_t)((end + PIECE_BYTES - 1) / PIECE_BYTES));

	while (err == 0 && size > 0) {
		struct null_piece **piece = &data->pieces[offset / PIECE_BYTES];
		size_t at = (size_t)(offset % PIECE_BYTES);
		size_t len = least(size, PIECE_BYTES - at);

		err = grow_piece(piece, at + len);
		if (err != 0)
			break;
		memcpy((*piece)->bytes + at, bytes, len);
		offset += len;
		bytes += len;
		size -= len;
	}
	return err;
}

void null_data_read(const struct null_data *data, uint64_t offset, void *to,
                    size_t size)
{
	uint8_t *bytes = to;

	while (size > 0) {
		size_t index = (size_t)(offset / PIECE_BYTES);
		size_t at = (size_t)(offset % PIECE_BYTES);
		size_t len = least(size, PIECE_BYTES - at);
		const struct null_piece *piece =
		    index < data->count ? data->pieces[index] : NULL;
		size_t held = piece != NULL && piece->capacity > at
		                  ? least(piece->capacity - at, len)
		                  : 0;

		if (held > 0)
			memcpy(bytes, piece->bytes + at, held);
		memset(bytes + held, 0, len - held);
		offset += len;
		bytes += len;
		size -= len;
	}
}

void null_data_cut(struct null_data *data, uint64_t size)
{
	size_t keep = (size_t)((size + PIECE_BYTES - 1) / PIECE_BYTES);
	size_t at = (size_t)(size % PIECE_BYTES);

	for (size_t i = keep; i < data->count; i++) {
		free(data->pieces[i]);
		data->pieces[i] = NULL;
	}
	if (at > 0 && keep <= data->count) {
		struct null_piece *piece = data->pieces[keep - 1];

		if (piece != NULL && piece->capacity > at)
			memset(piece->bytes + at, 0, piece->capacity - at);
	}
}

void null_data_release(struct null_data *data)
{
	for (size_t i = 0; i < data->count; i++)
		free(data->pieces[i]);
	free(data->pieces);
	*data = (struct null_data){0};
}
