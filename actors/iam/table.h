/* SPDX-License-Identifier: Apache-2.0 */
/* table.c: a hash table of pointers, linear probing, grows to `max` */
#ifndef AEGIS_ACTORS_IAM_TABLE_H
#define AEGIS_ACTORS_IAM_TABLE_H

#include <aegis/aegis.h>

struct iam_slot {
	uint64_t hash;
	void *item; /* NULL: free */
};
struct iam_table {
	struct iam_slot *slots;
	size_t mask, count, max;
	uint8_t seed[16]; /* SipHash: names are chosen by clients */
};
typedef bool iam_same(const void *item, const char *scope, const char *key);
void iam_table_init(struct iam_table *t, size_t max);
void iam_table_fini(struct iam_table *t);
/* scope (a tenant) and key together are the key; scope "" if there is none. */
void *iam_table_get(const struct iam_table *t, iam_same *same,
    const char *scope, const char *key);
/* AG_FULL, AG_NO_MEMORY. The key must not be there. */
ag_err iam_table_add(struct iam_table *t, const char *scope, const char *key,
    void *item) AG_MUST;
void iam_table_del(struct iam_table *t, const char *scope, const char *key,
    const void *item);

#endif
