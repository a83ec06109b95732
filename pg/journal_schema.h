/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AEGIS_PG_JOURNAL_SCHEMA_H
#define AEGIS_PG_JOURNAL_SCHEMA_H

#include <pg.h>

extern const struct pg_schema journal_schema;
/* What a role needs that only works with it: for printf, with the role's name. */
extern const char journal_grants[];
enum { JOURNAL_GRANTS_MAX = 1024 }; /* with a role's name of 63 bytes */

#endif
