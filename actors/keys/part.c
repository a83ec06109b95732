/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part: what is done of a batch that takes longer than a turn may. The request
 * is looked at anew in every turn, key and all; only results are kept, and under
 * which version each was made. They may be plaintexts: wiped.
 */
#include "use.h"

#include <stdlib.h>
#include <string.h>

enum {
	PARTS_MAX = 256,        /* batches under way at once */
	STALE_MS = AG_DEADLINE_MS * AG_SLOW_FACTOR, /* where nobody said a deadline */
	LENGTH_BYTES = 4,
};

struct part {
	struct part *next;
	uint8_t request_id[AG_UUID_BYTES], body[32]; /* whose it is, digest and all */
	char key_id[AG_ID_SIZE];
	uint64_t until_ms; /* then nobody comes back for it */
	size_t count, done;
	struct mark *marks; /* count of them */
	uint8_t *bytes;     /* results: a length, then the message */
	size_t len, cap;
};

static void
part_free(struct part *part)
{
	if (part->bytes != NULL)
		ag_wipe(part->bytes, part->len);
	free(part->bytes);
	free(part->marks);
	free(part);
}

struct part *
part_find(struct use *u, size_t count)
{
	const Ag__Grant *grant = ag_grant(u->ctx);

	for (struct part *p = u->k->parts; p != NULL; p = p->next)
		if (p->count == count && strcmp(p->key_id, u->hot->id) == 0 &&
		    memcmp(p->request_id, grant->request_id.data,
		    AG_UUID_BYTES) == 0 &&
		    memcmp(p->body, grant->body_digest.data, sizeof(p->body)) == 0)
			return p;
	return NULL;
}

size_t
part_done(const struct part *part)
{
	return part->done;
}

void
part_drop(struct use *u, struct part *part)
{
	struct part **at = &u->k->parts;

	if (part == NULL)
		return;
	while (*at != part)
		at = &(*at)->next;
	*at = part->next;
	part_free(part);
}

void
parts_fini(struct keys *k)
{
	while (k->parts != NULL) {
		struct part *part = k->parts;

		k->parts = part->next;
		part_free(part);
	}
}

size_t
parts_drop_stale(struct keys *k, struct ag_ctx *ctx)
{
	uint64_t now = ag_mono_ms(ctx);
	struct part **at = &k->parts;
	size_t left = 0;

	while (*at != NULL) {
		struct part *part = *at;

		if (now <= part->until_ms) {
			at = &part->next;
			left++;
			continue;
		}
		*at = part->next;
		part_free(part);
	}
	return left;
}

static ag_err
part_new(struct use *u, struct batch *b)
{
	const Ag__Grant *grant = ag_grant(u->ctx);
	const Ag__Envelope *env = ag_env(u->ctx);
	struct part *part;

	if (parts_drop_stale(u->k, u->ctx) >= PARTS_MAX)
		return AG_FULL;
	if ((part = calloc(1, sizeof(*part))) == NULL)
		return AG_NO_MEMORY;
	part->marks = calloc(b->count, sizeof(*part->marks));
	if (part->marks == NULL) {
		free(part);
		return AG_NO_MEMORY;
	}
	memcpy(part->request_id, grant->request_id.data, AG_UUID_BYTES);
	memcpy(part->body, grant->body_digest.data, sizeof(part->body));
	memcpy(part->key_id, u->hot->id, sizeof(part->key_id));
	part->until_ms = env->has_deadline_ms && env->deadline_ms != 0 ?
	    env->deadline_ms : ag_mono_ms(u->ctx) + STALE_MS;
	part->count = b->count;
	part->next = u->k->parts;
	u->k->parts = part;
	b->part = part;
	return AG_OK;
}

/* No realloc: what it leaves behind is not wiped. */
static ag_err
grow(struct part *part, size_t need)
{
	size_t cap = part->cap == 0 ? 4096 : part->cap;
	uint8_t *bytes;

	while (cap < part->len + need)
		cap *= 2;
	if (cap == part->cap)
		return AG_OK;
	if ((bytes = malloc(cap)) == NULL)
		return AG_NO_MEMORY;
	if (part->len > 0) {
		memcpy(bytes, part->bytes, part->len);
		ag_wipe(part->bytes, part->len);
	}
	free(part->bytes);
	part->bytes = bytes;
	part->cap = cap;
	return AG_OK;
}

ag_err
part_keep(struct use *u, struct batch *b, size_t first)
{
	ag_err err = b->part == NULL ? part_new(u, b) : AG_OK;
	struct part *part = b->part;

	for (size_t i = first; err == AG_OK && i < b->done; i++) {
		uint32_t len = (uint32_t)ag__batch_result__get_packed_size(
		    b->results[i]);

		if ((err = grow(part, LENGTH_BYTES + len)) != AG_OK)
			break;
		memcpy(part->bytes + part->len, &len, LENGTH_BYTES);
		ag__batch_result__pack(b->results[i],
		    part->bytes + part->len + LENGTH_BYTES);
		part->len += LENGTH_BYTES + len;
		part->marks[i] = b->marks[i];
		part->done = i + 1;
	}
	return err;
}

ag_err
part_fetch(struct use *u, struct batch *b)
{
	const struct part *part = b->part;
	size_t at = 0;

	for (size_t i = 0; i < part->done; i++) {
		uint32_t len;

		memcpy(&len, part->bytes + at, LENGTH_BYTES);
		b->results[i] = (Ag__BatchResult *)(uintptr_t)ag_unpack(u->ctx,
		    &ag__batch_result__descriptor, part->bytes + at + LENGTH_BYTES,
		    len);
		if (b->results[i] == NULL)
			return AG_NO_MEMORY;
		b->marks[i] = part->marks[i];
		at += LENGTH_BYTES + len;
	}
	return AG_OK;
}
