/* SPDX-License-Identifier: MIT */
/*
 * tables.h: what a store has on all its levels together.
 */
#ifndef TESTS_SUPPORT_TABLES_H
#define TESTS_SUPPORT_TABLES_H

#include "lsm.h"

uint64_t tables_count(struct lsm *store);
uint64_t tables_bytes(struct lsm *store);

#endif
