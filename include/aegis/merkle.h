/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Merkle tree of the audit log (RFC 6962 §2.1): a leaf is
 * SHA-256(0x00 ‖ event bytes), a node SHA-256(0x01 ‖ left ‖ right). Kept as
 * its peaks: the roots of the complete subtrees that the leaves so far make,
 * so that appending costs one hash on average and no memory to speak of.
 */
#ifndef AEGIS_MERKLE_H
#define AEGIS_MERKLE_H

#include <aegis/err.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AG_HASH_BYTES = 32, AG_MERKLE_DEPTH_MAX = 64 };

struct ag_merkle {
	uint64_t size; /* leaves; bit i set: peaks[i] is a subtree of 2^i */
	uint8_t peaks[AG_MERKLE_DEPTH_MAX][AG_HASH_BYTES];
};

void ag_merkle_leaf(const void *event, size_t len, uint8_t out[AG_HASH_BYTES]);
void ag_merkle_node(const uint8_t left[AG_HASH_BYTES],
    const uint8_t right[AG_HASH_BYTES], uint8_t out[AG_HASH_BYTES]);
void ag_merkle_add(struct ag_merkle *tree, const uint8_t leaf[AG_HASH_BYTES]);
/* Appends a complete subtree of 2^level leaves; size must be a multiple. */
void ag_merkle_add_subtree(struct ag_merkle *tree, unsigned level,
    const uint8_t root[AG_HASH_BYTES]);
/* The root over `size` leaves; SHA-256 of nothing for an empty tree. */
void ag_merkle_root(const struct ag_merkle *tree, uint8_t out[AG_HASH_BYTES]);

/*
 * Verifies an inclusion proof (RFC 9162 §2.1.3.2): leaf `index` of `size`.
 */
bool ag_merkle_proof_ok(const uint8_t leaf[AG_HASH_BYTES], uint64_t index,
    uint64_t size, uint8_t (*path)[AG_HASH_BYTES], size_t path_len,
    const uint8_t root[AG_HASH_BYTES]);
/*
 * Verifies a consistency proof (RFC 9162 §2.1.4.2): the tree of `second`
 * leaves begins with the one of `first`. Equal sizes: an empty path.
 */
bool ag_merkle_consistent(uint64_t first, const uint8_t first_root[AG_HASH_BYTES],
    uint64_t second, const uint8_t second_root[AG_HASH_BYTES],
    const uint8_t (*path)[AG_HASH_BYTES], size_t path_len);

#endif
