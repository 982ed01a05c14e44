/* SPDX-License-Identifier: MIT */
/*
 * pick_kit.h: versions to pick from. Their tables are metas without files;
 * their keys are 4-byte big-endian numbers. One thread.
 */
#ifndef TESTS_COMPACT_PICK_KIT_H
#define TESTS_COMPACT_PICK_KIT_H

#include "compact/pick.h"
#include "tree/edit.h"

enum {
	LAST = LSM_LEVELS - 1,
	KIB = 1024,
	PICK_ENTRIES = 1000, /* of each table */
};

/* What a table is made of. */
struct pick_spec {
	unsigned level;
	uint32_t from, to;
	uint64_t bytes;
	uint64_t deletes; /* of PICK_ENTRIES */
};

/* Trigger 4, base level 1000 KiB, tables 100 KiB. */
extern const struct pick_options pick_defaults;

extern struct buf pick_cursor[LSM_LEVELS];
extern unsigned pick_dropped;         /* metas that are gone */
extern uint64_t pick_oldest_snapshot; /* for pick_plan(); at first none */
extern uint64_t pick_l0_led_bytes;    /* in a segment, of each table of L0 made
                                         from now on; at first none */

/* A fixture. */
void pick_setup(void);
void pick_teardown(void);

void pick_add_spec(struct edit *edit, const struct pick_spec *spec);
struct version *pick_version(const struct pick_spec *specs, size_t count);

#define PICK_VERSION(specs)                                                    \
	pick_version((specs), sizeof(specs) / sizeof((specs)[0]))

/* pick_compaction() with defaults, which has to succeed; whether a job is due.
 */
bool pick_plan(struct version *version, enum pick_why why,
               struct compact_plan *plan);
bool pick_is_due(struct version *version, enum pick_why why);

/* The number that an internal key begins with. */
uint32_t pick_key_number(const struct buf *ikey);

#endif
