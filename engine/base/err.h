/* SPDX-License-Identifier: MIT */
/*
 * err.h: the error list of lsm.h, for the engine's own files. The sentence and
 * the errno class of each code are lsm_strerror() and lsm_errno(), in err.c.
 */
#ifndef LSM_BASE_ERR_H
#define LSM_BASE_ERR_H

#include "lsm.h"

/* The code for a system error number, as `engine/io` meets it. */
enum lsm_err err_from_errno(int sys);

#endif
