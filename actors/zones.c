/* SPDX-License-Identifier: Apache-2.0 */
#include "zones.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZONE_DIR "/usr/share/zoneinfo"

struct ag_zone *
zone_read(const char *name)
{
	char path[sizeof(ZONE_DIR) + AG_ZONE_NAME_MAX + 2];
	struct ag_zone *zone = NULL;
	uint8_t *bytes;
	size_t len;
	FILE *file;

	if (!ag_zone_name_valid(name)) /* it becomes a path: no dots in it */
		return NULL;
	(void)snprintf(path, sizeof(path), "%s/%s", ZONE_DIR, name);
	if ((file = fopen(path, "rbe")) == NULL)
		return NULL;
	if ((bytes = malloc(AG_ZONE_BYTES_MAX)) != NULL) {
		len = fread(bytes, 1, AG_ZONE_BYTES_MAX, file);
		zone = ag_zone_parse(bytes, len);
	}
	free(bytes);
	(void)fclose(file);
	return zone;
}

const struct ag_zone *
zones_find(struct zones *zones, const char *name)
{
	struct ag_zone *zone;
	unsigned i = 0;

	while (i < zones->count && strcmp(zones->at[i].name, name) != 0)
		i++;
	if (i < zones->count)
		return zones->at[i].zone;
	if ((zone = zone_read(name)) == NULL)
		return NULL;
	if (i < ZONES_MAX) {
		zones->count++;
	} else { /* the one that was read longest ago makes room */
		i = zones->next++ % ZONES_MAX;
		ag_zone_free(&zones->at[i].zone);
	}
	zones->at[i].zone = zone;
	(void)snprintf(zones->at[i].name, sizeof(zones->at[i].name), "%s", name);
	return zone;
}

void
zones_fini(struct zones *zones)
{
	while (zones->count > 0)
		ag_zone_free(&zones->at[--zones->count].zone);
}
