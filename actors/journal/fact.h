/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fact: what the journal reads in what it keeps: whether something has ended.
 */
#ifndef AEGIS_JOURNAL_FACT_H
#define AEGIS_JOURNAL_FACT_H

#include <stdbool.h>
#include <stdint.h>

/* Must it be unpacked to be known? */
bool fact_tells(uint16_t type);
/* -1: it says nothing of that; 0: the stream's thing lives; 1: it has ended, for
 * ever. fact: unpacked where fact_tells(type); NULL: it cannot be read, which
 * says nothing: its author answers for it. */
int fact_ends(uint16_t type, const void *fact);

#endif
