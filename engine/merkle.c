/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle: the RFC 6962 tree, kept as peaks. Pure functions.
 */
#include <aegis/id.h>
#include <aegis/merkle.h>

#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

static _Thread_local EVP_MD_CTX *leaf_ctx;
static EVP_MD *sha256;

static void
fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

void
ag_merkle_leaf(const void *event, size_t len, uint8_t out[AG_HASH_BYTES])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static const uint8_t zero;

	pthread_once(&once, fetch);
	if (leaf_ctx == NULL)
		leaf_ctx = EVP_MD_CTX_new();
	if (sha256 == NULL || leaf_ctx == NULL ||
	    EVP_DigestInit_ex2(leaf_ctx, sha256, NULL) != 1 ||
	    EVP_DigestUpdate(leaf_ctx, &zero, 1) != 1 ||
	    EVP_DigestUpdate(leaf_ctx, event, len) != 1 ||
	    EVP_DigestFinal_ex(leaf_ctx, out, NULL) != 1)
		ag_panic("SHA-256 failed");
}

void
ag_merkle_node(const uint8_t left[AG_HASH_BYTES],
    const uint8_t right[AG_HASH_BYTES], uint8_t out[AG_HASH_BYTES])
{
	uint8_t both[1 + 2 * AG_HASH_BYTES];

	both[0] = 1;
	memcpy(both + 1, left, AG_HASH_BYTES);
	memcpy(both + 1 + AG_HASH_BYTES, right, AG_HASH_BYTES);
	ag_sha256(both, sizeof(both), out);
}

void
ag_merkle_add_subtree(struct ag_merkle *tree, unsigned level,
    const uint8_t root[AG_HASH_BYTES])
{
	uint8_t hash[AG_HASH_BYTES];
	unsigned i = level;

	if ((tree->size & ((UINT64_C(1) << level) - 1)) != 0)
		ag_panic("subtree of level %u is not aligned", level);
	memcpy(hash, root, AG_HASH_BYTES);
	/* Adding one is a carry: every set bit merges its peak. */
	for (; tree->size >> i & 1; i++)
		ag_merkle_node(tree->peaks[i], hash, hash);
	memcpy(tree->peaks[i], hash, AG_HASH_BYTES);
	tree->size += UINT64_C(1) << level;
}

void
ag_merkle_add(struct ag_merkle *tree, const uint8_t leaf[AG_HASH_BYTES])
{
	ag_merkle_add_subtree(tree, 0, leaf);
}

void
ag_merkle_root(const struct ag_merkle *tree, uint8_t out[AG_HASH_BYTES])
{
	bool have = false;

	if (tree->size == 0) {
		ag_sha256("", 0, out);
		return;
	}
	for (unsigned i = 0; i < AG_MERKLE_DEPTH_MAX; i++) {
		if (!(tree->size >> i & 1))
			continue;
		if (have)
			ag_merkle_node(tree->peaks[i], out, out);
		else
			memcpy(out, tree->peaks[i], AG_HASH_BYTES);
		have = true;
	}
}

bool
ag_merkle_proof_ok(const uint8_t leaf[AG_HASH_BYTES], uint64_t index,
    uint64_t size, uint8_t (*path)[AG_HASH_BYTES], size_t path_len,
    const uint8_t root[AG_HASH_BYTES])
{
	uint64_t fn = index, sn = size - 1;
	uint8_t r[AG_HASH_BYTES];

	if (index >= size)
		return false;
	memcpy(r, leaf, AG_HASH_BYTES);
	for (size_t i = 0; i < path_len; i++) {
		if (sn == 0)
			return false;
		if ((fn & 1) || fn == sn) {
			ag_merkle_node(path[i], r, r);
			while (!(fn & 1) && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			ag_merkle_node(r, path[i], r);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && memcmp(r, root, AG_HASH_BYTES) == 0;
}

bool
ag_merkle_consistent(uint64_t first, const uint8_t first_root[AG_HASH_BYTES],
    uint64_t second, const uint8_t second_root[AG_HASH_BYTES],
    const uint8_t (*path)[AG_HASH_BYTES], size_t path_len)
{
	uint64_t fn = first - 1, sn = second - 1;
	uint8_t fr[AG_HASH_BYTES], sr[AG_HASH_BYTES];
	size_t i = 0;

	if (first == 0 || first > second)
		return false;
	if (first == second)
		return path_len == 0 &&
		    memcmp(first_root, second_root, AG_HASH_BYTES) == 0;
	for (; fn & 1; fn >>= 1)
		sn >>= 1;
	/* The older tree is whole in the newer one, or its last part is given. */
	if (fn != 0 && path_len == 0)
		return false;
	memcpy(fr, fn == 0 ? first_root : path[i++], AG_HASH_BYTES);
	memcpy(sr, fr, AG_HASH_BYTES);
	for (; i < path_len; i++, fn >>= 1, sn >>= 1) {
		if (sn == 0)
			return false;
		if (!(fn & 1) && fn != sn) {
			ag_merkle_node(sr, path[i], sr);
			continue;
		}
		ag_merkle_node(path[i], fr, fr);
		ag_merkle_node(path[i], sr, sr);
		for (; !(fn & 1) && fn != 0; fn >>= 1)
			sn >>= 1;
	}
	return sn == 0 && memcmp(fr, first_root, AG_HASH_BYTES) == 0 &&
	    memcmp(sr, second_root, AG_HASH_BYTES) == 0;
}
