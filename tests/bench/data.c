/* SPDX-License-Identifier: MIT */
#include "tests/bench/data.h"

#include <stdlib.h>
#include <string.h>

#include "base/coding.h"

enum { POOL_BYTES = 1 << 20 };

static uint8_t *pool;

uint64_t data_scatter(uint64_t n)
{
	n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
	return n ^ (n >> 31);
}

uint64_t data_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return data_scatter(*state);
}

enum lsm_err data_prepare(void)
{
	size_t len = POOL_BYTES + DATA_VALUE_MAX_BYTES;

	pool = malloc(len);
	if (pool == NULL)
		return LSM_ERR_NOMEM;
	for (size_t i = 0; i < len; i++)
		pool[i] =
		    (i / 16) % 2 == 0 ? 'x' : (uint8_t)data_scatter(i + 1);
	return LSM_OK;
}

void data_key(uint8_t key[DATA_KEY_BYTES], uint64_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = DATA_KEY_BYTES; i-- > 0; n >>= 4)
		key[i] = (uint8_t)digits[n & 15];
}

static const uint8_t *content(uint64_t n, uint64_t version)
{
	return pool + data_scatter(n * 0x2545f491 + version) % POOL_BYTES;
}

void data_value(uint8_t *out, size_t len, uint64_t n, uint64_t version)
{
	put_u64(out, version);
	memcpy(out + 8, content(n, version), len - 8);
}

bool data_value_is(struct slice value, size_t len, uint64_t n)
{
	return value.len == len &&
	       memcmp(value.data + 8, content(n, get_u64(value.data)),
	              len - 8) == 0;
}
