/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment of the audit log from somebody else. First byte even: the rest is
 * the file behind its header, as it is. Odd: the rest is cut into bodies, and
 * records with good frames and hashes are made of them, so that what is inside
 * is reached, too.
 */
#include "walk.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 256 << 10 };

static char dir[] = "/tmp/aegis-fuzz-audit-XXXXXX";
static char path[64];
static EVP_PKEY *key;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
clean(void)
{
	unlink(path);
	rmdir(dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (mkdtemp(dir) == NULL)
		abort();
	strcpy(path, dir);
	strcat(path, "/0000000000000001.seg");
	key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	atexit(clean);
	return 0;
}

static void
put(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* kind (1), tenant (1), body length (2), body … */
static size_t
records(const uint8_t *data, size_t size, uint8_t *out)
{
	uint8_t prev[2][AG_HASH_BYTES] = { { 0 } };
	size_t at = 0;

	while (size >= 4) {
		size_t len = (size_t)data[2] | (size_t)data[3] << 8, cost;
		uint8_t kind = (uint8_t)(1 + data[0] % 5), *p = out + at;
		unsigned t = data[1] & 1;
		const char *tenant = t ? "t" : "u";

		data += 4;
		size -= 4;
		if (len > size)
			len = size;
		cost = (AG_SEG_RECORD_BYTES + 1 + len + 7) & ~(size_t)7;
		if (at + cost > FILE_MAX)
			break;
		memset(p, 0, cost);
		put(p, len, 4);
		p[4] = kind;
		p[5] = 1;
		put(p + 6, 0x5ea1, 2);
		put(p + 8, 1, 4);
		if (kind == AG_SEG_EVENT) {
			ag_seg_link(prev[t], data, len, prev[t]);
			memcpy(p + 32, prev[t], AG_HASH_BYTES);
		} else {
			ag_seg_hash(kind, tenant, data, len, p + 32);
		}
		p[AG_SEG_RECORD_BYTES] = (uint8_t)tenant[0];
		memcpy(p + AG_SEG_RECORD_BYTES + 1, data, len);
		at += cost;
		data += len;
		size -= len;
	}
	return at;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t file[AG_SEG_HEADER_BYTES + FILE_MAX + 64];
	struct verify v = { .key_count = 1, .certain = true };
	size_t len;
	int fd;

	if (size < 1 || size > FILE_MAX)
		return 0;
	memset(file, 0, AG_SEG_HEADER_BYTES);
	memcpy(file, "AGSEG1\n", 8);
	if (data[0] & 1) {
		len = records(data + 1, size - 1, file + AG_SEG_HEADER_BYTES);
	} else {
		len = size - 1;
		memcpy(file + AG_SEG_HEADER_BYTES, data + 1, len);
	}
	len += AG_SEG_HEADER_BYTES;
	memset(file + len, 0, 64); /* room behind the last record */
	len += 64;
	put(file + 8, 1, 8);
	put(file + 16, len, 8);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, file, len) != (ssize_t)len)
		abort();
	close(fd);
	v.keys[0] = key;
	if (ag_segs_open(dir, &v.segs) != AG_OK)
		abort();
	if (verify_walk(&v) == AG_OK && v.events == 0)
		abort(); /* sound, and empty: that must not be */
	ag_segs_close(&v.segs);
	for (size_t i = 0; i < v.chain_count; i++) {
		free(v.chains[i]->leaves);
		free(v.chains[i]);
	}
	free(v.chains);
	return 0;
}
