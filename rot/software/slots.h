/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wrapping.keys: a file of slots of 64 bytes, each a wrapping key under the
 * master key; slot 0 proves which master key that is.
 *
 *   slot  state(1: used) 0 0 0 ‖ nonce(12) ‖ wrapping key(32) ‖ tag(16),
 *         AES-256-GCM under the master key
 */
#ifndef SOFTWARE_SLOTS_H
#define SOFTWARE_SLOTS_H

#include <aegis/aegis.h>

enum {
	SLOT_BYTES = 64,
	SLOTS_MAX = 1 << 22,
	SLOTS_KEY_BYTES = 32,
	SLOTS_NONCE_BYTES = 12,
	SLOTS_TAG_BYTES = 16,
};

struct slots {
	int fd; /* -1: none */
	struct ag_secret *master;
};

struct slots_box {
	const uint8_t *key, *nonce, *aad;
	size_t aad_len;
};

uint8_t *slots_put_be32(uint8_t *p, uint32_t v); /* behind it */
uint32_t slots_get_be32(const uint8_t *p);
/* AES-256-GCM; AG_CORRUPT: it does not open, and out is wiped. */
ag_err slots_gcm(const struct slots_box *b, bool seal, const uint8_t *in, size_t len,
    uint8_t *out, uint8_t tag[SLOTS_TAG_BYTES]) AG_MUST;

/* Both are durable when they return. */
ag_err slots_zero(const struct slots *s, uint32_t slot) AG_MUST;
ag_err slots_seal(const struct slots *s, uint32_t slot, const uint8_t *key,
    const uint8_t *aad, size_t aad_len) AG_MUST;
/* The same, durable when the caller has synced. */
ag_err slots_seal_later(const struct slots *s, uint32_t slot, const uint8_t *key,
    const uint8_t *aad, size_t aad_len) AG_MUST;
/* AG_CORRUPT: empty, or not sealed for this. */
ag_err slots_open(const struct slots *s, uint32_t slot, const uint8_t *aad,
    size_t aad_len, uint8_t *key) AG_MUST;
/* Slot 0: written, and looked at. */
ag_err slots_prove(const struct slots *s) AG_MUST;
bool slots_proved(const struct slots *s);
void slots_close(struct slots *s);

#endif
