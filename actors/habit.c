/* SPDX-License-Identifier: Apache-2.0 */
#include "habit.h"

#include <aegis/event.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "rows.h"

enum { LABELS_MAX = 1024 }; /* of a whole chain, in bytes */

static bool
append(char labels[LABELS_MAX], size_t *len, const char *label)
{
	size_t n = strlen(label);

	if (*len + n + 1 >= LABELS_MAX)
		return false;
	labels[(*len)++] = '\n'; /* no label has one */
	memcpy(labels + *len, label, n + 1);
	*len += n;
	return true;
}

void
habit_line(const char *actor_id, Ag__Link *const *chain, size_t count,
    const char *below, char out[AG_ID_SIZE])
{
	char labels[LABELS_MAX] = "";
	size_t len = 0;
	bool fits = count > 0 && chain[0]->id != NULL;

	out[0] = '\0';
	for (size_t i = 1; fits && i < count; i++)
		fits = append(labels, &len, chain[i]->name != NULL ?
		    chain[i]->name : chain[i]->id);
	if (fits && below != NULL)
		fits = append(labels, &len, below);
	if (fits && len > 0)
		ag_id_derive("lin", chain[0]->id, labels, out);
	else if (below == NULL && strlen(actor_id) < AG_ID_SIZE)
		memcpy(out, actor_id, strlen(actor_id) + 1);
}

/* ----------------------------------------------------------------- networks */

/* Bytes of the network part; 0: not an address. */
static size_t
network_of(const char *address, int *family, uint8_t bytes[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memset(bytes, 0, 16);
	*family = AF_INET;
	if (inet_pton(AF_INET, address, bytes) == 1)
		return 3;
	*family = AF_INET6;
	if (inet_pton(AF_INET6, address, bytes) != 1)
		return 0;
	if (memcmp(bytes, mapped, sizeof(mapped)) != 0)
		return 6;
	*family = AF_INET;
	memmove(bytes, bytes + sizeof(mapped), 4);
	return 3;
}

uint32_t
habit_network(const char *address)
{
	uint8_t bytes[16];
	int family;
	size_t n;

	if (address == NULL || *address == '\0')
		return 0;
	n = network_of(address, &family, bytes);
	return n == 0 ? rows_hash(address, strlen(address)) :
	    rows_hash((const char *)bytes, n);
}

void
habit_network_text(const char *address, char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t bytes[16];
	int family;
	size_t n = network_of(address, &family, bytes);

	memset(bytes + n, 0, sizeof(bytes) - n);
	if (n == 0 || inet_ntop(family, bytes, text, sizeof(text)) == NULL)
		snprintf(out, size, "%.48s", address);
	else
		snprintf(out, size, "%s/%zu", text, n * 8);
}
