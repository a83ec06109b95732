/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limit per address, before anything is parsed or asked. Windows slide in
 * sixteenths: what is counted reaches back a sixteenth further than the
 * window, so no window ever holds more than the rate. What is refused is
 * counted exactly and recorded once per address and ten seconds.
 */
#include "plane.h"

#include <stdlib.h>
#include <string.h>

enum { PARTS = 17, PROBES = 16 };

struct address {
	uint8_t key[8];
	bool used;
	uint64_t part;        /* number of the newest sixteenth */
	uint32_t counts[PARTS];
	uint32_t sum;
	uint64_t suppressed;  /* refused, not yet recorded */
	uint64_t report_ms;   /* when they are; 0: nothing to say */
	char text[INET6_ADDRSTRLEN];
};

struct limiter {
	uint32_t rate; /* 0: no limit */
	uint64_t part_ms;
	unsigned waiting; /* addresses with something to record */
	/* The last row stands for all who found no room. */
	struct address table[LIMIT_ADDRESSES_MAX + 1];
};

ag_err
limit_new(struct plane *plane)
{
	int64_t window_s = ag_config_int(plane->ctx, "limits.address.window_s");

	plane->limiter = calloc(1, sizeof(*plane->limiter));
	if (plane->limiter == NULL)
		return AG_NO_MEMORY;
	plane->limiter->rate =
	    (uint32_t)ag_config_int(plane->ctx, "limits.address.rate");
	plane->limiter->part_ms = (uint64_t)(window_s < 1 ? 1 : window_s) * 1000 /
	    (PARTS - 1);
	return AG_OK;
}

void
limit_free(struct plane *plane)
{
	free(plane->limiter);
	plane->limiter = NULL;
}

/* Lets go of the sixteenths that are too old. */
static void
slide(struct address *address, uint64_t part)
{
	uint64_t steps = part - address->part;

	if (steps >= PARTS) {
		memset(address->counts, 0, sizeof(address->counts));
		address->sum = 0;
		address->part = part;
		return;
	}
	for (; address->part < part; address->part++) {
		address->sum -= address->counts[(address->part + 1) % PARTS];
		address->counts[(address->part + 1) % PARTS] = 0;
	}
}

static size_t
hash(const uint8_t key[8])
{
	uint64_t h;

	memcpy(&h, key, sizeof(h));
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(h >> 40) % LIMIT_ADDRESSES_MAX;
}

/* The address's row; a full neighbourhood gives up its quietest row that has
 * nothing to record. NULL: none such. */
static struct address *
address_find(struct limiter *limiter, const uint8_t key[8], uint64_t part)
{
	struct address *row, *free_row = NULL;
	size_t at = hash(key);
	unsigned i;

	for (i = 0; i < PROBES; i++) {
		row = &limiter->table[(at + i) % LIMIT_ADDRESSES_MAX];
		if (row->used && memcmp(row->key, key, sizeof(row->key)) == 0)
			return row;
		if (row->used)
			slide(row, part);
		if (row->suppressed == 0 && (free_row == NULL ||
		    (free_row->used && (!row->used || row->sum < free_row->sum))))
			free_row = row;
	}
	if (free_row == NULL)
		return NULL;
	memset(free_row, 0, sizeof(*free_row));
	memcpy(free_row->key, key, sizeof(free_row->key));
	free_row->used = true;
	free_row->part = part;
	return free_row;
}

bool
limit_allows(struct conn *conn, unsigned *retry_after_s)
{
	struct limiter *limiter = conn->plane->limiter;
	uint64_t now, part;
	struct address *address;

	if (limiter->rate == 0)
		return true;
	now = ag_mono_ms(conn->plane->ctx);
	part = now / limiter->part_ms;
	address = address_find(limiter, conn->address_key, part);
	if (address != NULL) {
		slide(address, part);
		if (address->sum < limiter->rate) {
			address->sum++;
			address->counts[part % PARTS]++;
			return true;
		}
		memcpy(address->text, conn->address, sizeof(address->text));
	} else { /* a flood from thousands: no room, no service */
		address = &limiter->table[LIMIT_ADDRESSES_MAX];
	}
	*retry_after_s = (unsigned)(limiter->part_ms * PARTS / 1000 + 1);
	ag_metric_add(conn->plane->ctx, PM_ADDRESS_LIMITED, 1);
	if (address->suppressed++ == 0) {
		address->report_ms = now + LIMIT_REPORT_MS;
		limiter->waiting++;
	}
	return false;
}

void
limit_report(struct plane *plane, bool all)
{
	struct limiter *limiter = plane->limiter;
	uint64_t now = ag_mono_ms(plane->ctx);
	struct address *row;
	struct refuse refuse;
	size_t i;

	if (limiter->waiting == 0)
		return;
	refuse_set(&refuse, AG_RATE_LIMITED, "address", NULL,
	    "requests beyond the address's limit");
	for (i = 0; i <= LIMIT_ADDRESSES_MAX; i++) {
		row = &limiter->table[i];
		if (row->suppressed == 0 || (!all && row->report_ms > now) ||
		    !request_report(plane, &refuse, row->text[0] == '\0' ? NULL :
		    row->text, row->suppressed))
			continue;
		row->suppressed = 0;
		limiter->waiting--;
	}
}
