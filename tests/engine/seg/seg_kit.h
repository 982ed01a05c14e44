/* SPDX-License-Identifier: MIT */
/*
 * seg_kit.h: a pool in memory, with an env that fails on demand, and the cache of
 * the segments that are open.
 */
#ifndef TESTS_ENGINE_SEG_SEG_KIT_H
#define TESTS_ENGINE_SEG_SEG_KIT_H

#include "seg/segment.h"

/* `env` is that of *source, over `memory`. Released by kit_close(). */
void kit_open(struct env **memory, struct env **env,
              struct segment_source *source);
void kit_close(struct env *memory, struct env *env,
               struct segment_source *source);

/* An empty cache of open segments. */
void kit_open_files(struct segment_source *source);

#endif
