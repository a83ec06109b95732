/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segread: reads the audit log's segments, mapped. Believes nothing in them:
 * every length is checked against the file before it is used.
 */
#include "engine.h"
#include "seglog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCHES_AHEAD_MAX = 1 << 20, DROP_BYTES = 1 << 20,
	DROP_AGAIN = 4 << 20 };

struct ag_segs {
	char dir[AG_SEG_PATH_MAX - 32];
	uint64_t *firsts;
	size_t count, cap;
	uint64_t segment; /* 0: none is open */
	const uint8_t *map, *old_map; /* what was handed out stays for one more */
	size_t map_len, old_len;
	size_t dropped; /* pages before it were given back */
	uint64_t offset, pos;
	char why[128];
};

/* ------------------------------------------------------ hashes and texts */

void
ag_seg_hash(enum ag_seg_kind kind, const char *tenant, const void *body,
    size_t len, uint8_t out[AG_HASH_BYTES])
{
	size_t tenant_len = strlen(tenant), n = 1 + tenant_len + 1 + len;
	uint8_t *all = malloc(n);

	if (all == NULL)
		ag_panic("no memory for %zu bytes", n);
	all[0] = (uint8_t)kind;
	memcpy(all + 1, tenant, tenant_len + 1);
	if (len > 0)
		memcpy(all + 2 + tenant_len, body, len);
	ag_sha256(all, n, out);
	free(all);
}

void
ag_seg_link(const uint8_t prev[AG_HASH_BYTES], const void *event, size_t len,
    uint8_t out[AG_HASH_BYTES])
{
	uint8_t *all = malloc(AG_HASH_BYTES + 4 + len);

	if (all == NULL)
		ag_panic("no memory for %zu bytes", len);
	memcpy(all, prev, AG_HASH_BYTES);
	seg_put(all + AG_HASH_BYTES, len, 4);
	memcpy(all + AG_HASH_BYTES + 4, event, len);
	ag_sha256(all, AG_HASH_BYTES + 4 + len, out);
	free(all);
}

size_t
ag_seg_checkpoint_text(char *out, size_t size, const char *tenant,
    uint64_t tree_size, const uint8_t root[AG_HASH_BYTES], int64_t created_at)
{
	char hex[2 * AG_HASH_BYTES + 1];
	int n;

	ag_hex(root, AG_HASH_BYTES, hex);
	n = snprintf(out, size, "aegis audit checkpoint v1\n%s\n%llu\n%s\n%lld\n",
	    tenant, (unsigned long long)tree_size, hex, (long long)created_at);
	return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}

size_t
ag_seg_recovered_text(char *out, size_t size, uint64_t segment, uint64_t offset,
    uint64_t bytes, const uint8_t digest[AG_HASH_BYTES], uint64_t pos,
    int64_t created_at)
{
	char hex[2 * AG_HASH_BYTES + 1];
	int n;

	ag_hex(digest, AG_HASH_BYTES, hex);
	n = snprintf(out, size,
	    "aegis audit recovered v1\n%016llx\n%llu\n%llu\n%s\n%llu\n%lld\n",
	    (unsigned long long)segment, (unsigned long long)offset,
	    (unsigned long long)bytes, hex, (unsigned long long)pos,
	    (long long)created_at);
	return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}

/* ------------------------------------------------------------- the folder */

ag_err
ag_segs_open(const char *dir, struct ag_segs **out)
{
	struct ag_segs *segs;

	if (strlen(dir) >= sizeof(segs->dir))
		return AG_USAGE;
	segs = calloc(1, sizeof(*segs));
	if (segs == NULL)
		return AG_NO_MEMORY;
	strcpy(segs->dir, dir);
	*out = segs;
	return AG_OK;
}

static void
unmap(const uint8_t *map, size_t len)
{
	if (map != NULL)
		munmap((void *)map, len);
}

/* What was read is page cache, not this process's memory. A fault maps a whole
 * large page again, so what lies shortly before goes with it once more. */
static void
drop_pages(struct ag_segs *segs)
{
	size_t from = segs->dropped > DROP_AGAIN ? segs->dropped - DROP_AGAIN : 0;

	if (segs->offset < segs->dropped + DROP_BYTES)
		return;
	segs->dropped += DROP_BYTES;
	madvise((void *)(segs->map + from), segs->dropped - from, MADV_DONTNEED);
}

void
ag_segs_close(struct ag_segs **segs)
{
	if (*segs == NULL)
		return;
	unmap((*segs)->map, (*segs)->map_len);
	unmap((*segs)->old_map, (*segs)->old_len);
	free((*segs)->firsts);
	free(*segs);
	*segs = NULL;
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* "0000000000000001.seg" → 1; 0: not a segment's name. */
static uint64_t
name_first(const char *name)
{
	uint8_t bytes[8];
	char hex[17];
	uint64_t first = 0;

	if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0)
		return 0;
	memcpy(hex, name, 16);
	hex[16] = '\0';
	if (!ag_hex_parse(hex, bytes, sizeof(bytes)))
		return 0;
	for (unsigned i = 0; i < 8; i++)
		first = first << 8 | bytes[i];
	return first;
}

static ag_err
list(struct ag_segs *segs)
{
	struct dirent *entry;
	DIR *dir = opendir(segs->dir);
	ag_err err = AG_OK;

	segs->count = 0;
	if (dir == NULL)
		return errno == ENOENT ? AG_OK : AG_IO;
	while ((entry = readdir(dir)) != NULL) {
		uint64_t first = name_first(entry->d_name);

		if (first == 0)
			continue;
		if (segs->count == segs->cap) {
			size_t cap = segs->cap ? 2 * segs->cap : 16;
			uint64_t *p = realloc(segs->firsts, cap * sizeof(*p));

			if (p == NULL) {
				err = AG_NO_MEMORY;
				break;
			}
			segs->firsts = p;
			segs->cap = cap;
		}
		segs->firsts[segs->count++] = first;
	}
	closedir(dir);
	if (segs->count > 0)
		qsort(segs->firsts, segs->count, sizeof(*segs->firsts), by_number);
	return err;
}

ag_err
ag_segs_list(struct ag_segs *segs, const uint64_t **firsts, size_t *count)
{
	ag_err err = list(segs);

	*firsts = segs->firsts;
	*count = segs->count;
	return err;
}

static ag_err AG_PRINTF(2, 3)
corrupt(struct ag_segs *segs, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(segs->why, sizeof(segs->why), fmt, ap);
	va_end(ap);
	return AG_CORRUPT;
}

static ag_err
map_segment(struct ag_segs *segs, uint64_t first)
{
	char path[AG_SEG_PATH_MAX];
	struct stat st;
	void *map;
	int fd;

	snprintf(path, sizeof(path), "%s/%016llx.seg", segs->dir,
	    (unsigned long long)first);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? AG_ITEM_NOT_FOUND : AG_IO;
	if (fstat(fd, &st) != 0) {
		close(fd);
		return AG_IO;
	}
	if (st.st_size < AG_SEG_HEADER_BYTES) {
		close(fd);
		return corrupt(segs, "segment %016llx is cut short",
		    (unsigned long long)first);
	}
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return AG_IO;
	unmap(segs->old_map, segs->old_len);
	segs->old_map = segs->map;
	segs->old_len = segs->map_len;
	segs->dropped = 0;
	segs->map = map;
	segs->map_len = (size_t)st.st_size;
	segs->segment = first;
	segs->offset = AG_SEG_HEADER_BYTES;
	segs->pos = first;
	return AG_OK;
}

static ag_err
check_segment(struct ag_segs *segs)
{
	unsigned long long first = segs->segment;

	if (memcmp(segs->map, SEG_MAGIC, sizeof(SEG_MAGIC)) != 0)
		return corrupt(segs, "segment %016llx is not a segment", first);
	if (seg_get(segs->map + 8, 8) != segs->segment)
		return corrupt(segs, "segment %016llx has another's name", first);
	if (seg_get(segs->map + 16, 8) != segs->map_len)
		return corrupt(segs, "segment %016llx was %llu bytes long, is %zu",
		    first, (unsigned long long)seg_get(segs->map + 16, 8),
		    segs->map_len);
	return AG_OK;
}

/* ---------------------------------------------------------------- places */

ag_err
ag_segs_find(struct ag_segs *segs, uint64_t pos)
{
	ag_err err = list(segs);
	size_t i;

	if (err != AG_OK)
		return err;
	if (segs->count == 0)
		return AG_ITEM_NOT_FOUND;
	for (i = segs->count; i > 1 && segs->firsts[i - 1] > pos; i--)
		;
	return map_segment(segs, segs->firsts[i - 1]);
}

ag_err
ag_segs_seek(struct ag_segs *segs, uint64_t segment, uint64_t offset,
    uint64_t pos)
{
	ag_err err = AG_OK;

	if (segs->segment != segment)
		err = map_segment(segs, segment);
	if (err != AG_OK)
		return err;
	if (offset < AG_SEG_HEADER_BYTES || offset > segs->map_len ||
	    offset % SEG_ALIGN != 0)
		return AG_ITEM_NOT_FOUND;
	segs->offset = offset;
	segs->pos = pos;
	segs->dropped = offset / DROP_BYTES * DROP_BYTES;
	return AG_OK;
}

void
ag_segs_where(const struct ag_segs *segs, uint64_t *segment, uint64_t *offset,
    uint64_t *pos)
{
	*segment = segs->segment;
	*offset = segs->offset;
	*pos = segs->pos;
}

const char *
ag_segs_why(const struct ag_segs *segs)
{
	return segs->why;
}

/* --------------------------------------------------------------- records */

static bool
all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] != 0)
			return false;
	}
	return true;
}

/* The record at offset, if there is a well-formed one. */
static bool
parse(const struct ag_segs *segs, uint64_t offset, struct ag_seg_record *out,
    size_t *cost)
{
	const uint8_t *p = segs->map + offset;
	size_t left = segs->map_len - offset, tenant_len, used;

	if (left < AG_SEG_RECORD_BYTES || seg_get(p + AT_MARK, 2) != SEG_MARK)
		return false;
	out->body_len = (size_t)seg_get(p + AT_LENGTH, 4);
	tenant_len = p[AT_TENANT_LEN];
	if (p[AT_KIND] < AG_SEG_EVENT || p[AT_KIND] > AG_SEG_KEY ||
	    tenant_len > AG_SEG_TENANT_MAX || out->body_len > AG_SEG_BODY_MAX ||
	    !all_zero(p + AT_ZERO, 4) || !all_zero(p + AT_ZERO_TOO, 8))
		return false;
	used = AG_SEG_RECORD_BYTES + tenant_len + out->body_len;
	*cost = seg_aligned(used);
	if (*cost > left || !all_zero(p + used, *cost - used))
		return false;
	out->kind = p[AT_KIND];
	out->batch = (uint32_t)seg_get(p + AT_BATCH, 4);
	out->at = (int64_t)seg_get(p + AT_TIME, 8);
	out->hash = p + AT_HASH;
	memcpy(out->tenant, p + AG_SEG_RECORD_BYTES, tenant_len);
	out->tenant[tenant_len] = '\0';
	out->body = p + AG_SEG_RECORD_BYTES + tenant_len;
	out->segment = segs->segment;
	out->offset = offset;
	out->pos = segs->pos;
	return strlen(out->tenant) == tenant_len;
}

/* At the zeros: a crash between two steps of rolling leaves no END. */
static ag_err
at_end(struct ag_segs *segs)
{
	ag_err err = list(segs);

	if (err != AG_OK)
		return err;
	if (segs->count == 0 || segs->firsts[segs->count - 1] <= segs->segment)
		return AG_ITEM_NOT_FOUND;
	for (size_t i = 0; i < segs->count; i++) {
		if (segs->firsts[i] <= segs->segment)
			continue;
		if (segs->firsts[i] == segs->pos)
			return map_segment(segs, segs->pos);
		break;
	}
	return corrupt(segs, "records are missing before the next segment");
}

/* Is what is left at most an END, some of it not written? Its bytes are known
 * but for the batch, and the segment it names is there before it. */
static bool
is_torn_end(struct ag_segs *segs)
{
	uint8_t whole[AG_SEG_RECORD_BYTES] = { 0 };
	const uint8_t *p;
	size_t len;

	p = ag_segs_rest(segs, &len);
	if (p == NULL || len > sizeof(whole))
		return false;
	whole[AT_KIND] = AG_SEG_END;
	seg_put(whole + AT_MARK, SEG_MARK, 2);
	ag_seg_hash(AG_SEG_END, "", "", 0, whole + AT_HASH);
	for (size_t i = 0; i < len; i++) {
		bool batch = i >= AT_BATCH && i < AT_BATCH + 4;

		if (p[i] != 0 && p[i] != whole[i] && !batch)
			return false;
	}
	return true;
}

ag_err
ag_segs_next(struct ag_segs *segs, struct ag_seg_record *out)
{
	size_t cost, left;
	ag_err err;

	for (;;) {
		if (segs->segment == 0 && (err = ag_segs_find(segs, 0)) != AG_OK)
			return err;
		if (segs->offset == AG_SEG_HEADER_BYTES &&
		    (err = check_segment(segs)) != AG_OK)
			return err;
		left = segs->map_len - segs->offset;
		if (left > AG_SEG_RECORD_BYTES)
			left = AG_SEG_RECORD_BYTES;
		if (all_zero(segs->map + segs->offset, left)) {
			if ((err = at_end(segs)) != AG_OK)
				return err;
			continue;
		}
		if (!parse(segs, segs->offset, out, &cost)) {
			if (is_torn_end(segs) && at_end(segs) == AG_OK)
				continue;
			return corrupt(segs, "the record's frame is damaged");
		}
		if (out->kind != AG_SEG_END)
			break;
		/* The next is named by its first event: not this one again. */
		if (segs->pos <= segs->segment)
			return corrupt(segs, "the segment ends in itself");
		if ((err = map_segment(segs, segs->pos)) == AG_ITEM_NOT_FOUND)
			return corrupt(segs, "the next segment is missing");
		if (err != AG_OK)
			return err;
	}
	drop_pages(segs);
	segs->offset += cost;
	if (out->kind == AG_SEG_EVENT)
		segs->pos++;
	return AG_OK;
}

/* ---------------------------------------------------------- after a crash */

const uint8_t *
ag_segs_rest(struct ag_segs *segs, size_t *len)
{
	*len = 0;
	if (segs->map == NULL || segs->offset > segs->map_len)
		return NULL;
	*len = segs->map_len - segs->offset;
	while (*len > 0 && segs->map[segs->offset + *len - 1] == 0)
		--*len;
	return segs->map + segs->offset;
}

bool
ag_segs_released_after(struct ag_segs *segs, uint32_t batch)
{
	struct ag_seg_record record;
	uint32_t own = batch + 1;
	size_t rest, cost;
	uint64_t at;

	ag_segs_rest(segs, &rest);
	if (rest < AG_SEG_RECORD_BYTES)
		return false;
	/* The damaged record may still say that it is of the last good batch. */
	if (seg_get(segs->map + segs->offset + AT_BATCH, 4) == batch)
		own = batch;
	for (at = segs->offset + SEG_ALIGN; at < segs->offset + rest; at += SEG_ALIGN) {
		if (parse(segs, at, &record, &cost) && record.batch > own &&
		    record.batch - own < BATCHES_AHEAD_MAX)
			return true;
	}
	return false;
}
