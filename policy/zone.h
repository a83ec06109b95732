/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A time zone, from the bytes of its file (RFC 8536, version 2 or later). Pure:
 * who has files reads them.
 */
#ifndef AEGIS_POLICY_ZONE_H
#define AEGIS_POLICY_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	AG_ZONE_NAME_MAX = 48,
	AG_ZONE_BYTES_MAX = 64 << 10, /* of a file */
	AG_ZONE_CHANGES_MAX = 2048,
};

struct ag_zone;

/* "America/New_York": could it be the name of a zone? */
bool ag_zone_name_valid(const char *name);
/* NULL: it is no such file, or there is no memory. ag_zone_free. */
struct ag_zone *ag_zone_parse(const uint8_t *bytes, size_t len);
void ag_zone_free(struct ag_zone **zone);
/* What to add to UTC at this time to have the zone's; zone NULL: UTC. */
int32_t ag_zone_offset_s(const struct ag_zone *zone, int64_t utc_s);

#endif
