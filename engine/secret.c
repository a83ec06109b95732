/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key bytes of this process: the locked region, the sealing of what travels,
 * and the MAC over grants. (ag_seal and ag_unseal are ctx.c's, over these.)
 */
#include "engine.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(AG_SEAL_KEY_BYTES == crypto_box_PUBLICKEYBYTES, "X25519");
_Static_assert(AG_SEAL_NONCE_BYTES == crypto_box_NONCEBYTES, "XSalsa20");
_Static_assert(AG_SEAL_TAG_BYTES == crypto_box_MACBYTES, "Poly1305");

enum { REGION_PIECE_BYTES = 32 }; /* smallest piece of the buddy allocator */

struct ag_secret {
	size_t len;
	uint8_t bytes[];
};

/* ---------------------------------------------------------- the region */

ag_err
ag_secret_init(void)
{
	int got;

	if (sodium_init() < 0)
		return AG_IO;
	if (CRYPTO_secure_malloc_initialized())
		return AG_OK;
	errno = 0;
	got = CRYPTO_secure_malloc_init(AG_SECRET_REGION_BYTES,
	    REGION_PIECE_BYTES);
	if (got == 1)
		return AG_OK;
	if (got == 2) /* there, but not locked: that is no region for secrets */
		CRYPTO_secure_malloc_done();
	if (errno == 0)
		errno = ENOMEM;
	return AG_IO;
}

size_t
ag_secret_used(void)
{
	return CRYPTO_secure_malloc_initialized() ? CRYPTO_secure_used() : 0;
}

ag_err
ag_secret_new(size_t len, struct ag_secret **out)
{
	struct ag_secret *s;

	*out = NULL;
	/* Without the region OpenSSL would fall back to the ordinary heap. */
	if (!CRYPTO_secure_malloc_initialized())
		ag_panic("a secret before ag_secret_init");
	if (len > AG_SECRET_REGION_BYTES)
		return AG_FULL;
	s = OPENSSL_secure_zalloc(sizeof(*s) + len);
	if (s == NULL)
		return AG_FULL;
	s->len = len;
	*out = s;
	return AG_OK;
}

ag_err
ag_secret_copy(const void *bytes, size_t len, struct ag_secret **out)
{
	ag_err err = ag_secret_new(len, out);

	if (err == AG_OK && len > 0)
		memcpy((*out)->bytes, bytes, len);
	return err;
}

static const char *
read_private(int fd, char *text, size_t *len)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return "not a file";
	if ((st.st_mode & 077) != 0)
		return "others may read it; 0600 is wanted";
	if ((n = read(fd, text, AG_SECRET_FILE_MAX)) <= 0)
		return "empty";
	*len = (size_t)n;
	while (*len > 0 && (text[*len - 1] == '\n' || text[*len - 1] == '\r'))
		(*len)--;
	return *len == 0 ? "empty" : NULL;
}

const char *
ag_secret_read(const char *path, struct ag_secret **out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[AG_SECRET_FILE_MAX];
	const char *why;
	size_t len = 0;

	if (fd < 0)
		return "unreadable";
	why = read_private(fd, text, &len);
	if (why == NULL && ag_secret_copy(text, len, out) != AG_OK)
		why = "no locked memory left";
	ag_wipe(text, sizeof(text));
	close(fd);
	return why;
}

void
ag_secret_free(struct ag_secret **secret)
{
	if (*secret == NULL)
		return;
	OPENSSL_secure_clear_free(*secret, sizeof(**secret) + (*secret)->len);
	*secret = NULL;
}

uint8_t *
ag_secret_bytes(struct ag_secret *secret)
{
	return secret->bytes;
}

size_t
ag_secret_len(const struct ag_secret *secret)
{
	return secret->len;
}

bool
ag_secret_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void
ag_wipe(void *p, size_t len)
{
	OPENSSL_cleanse(p, len);
}

/* -------------------------------------------------------------- sealing */

struct peer {
	uint8_t pk[AG_SEAL_KEY_BYTES];
	uint8_t shared[crypto_box_BEFORENMBYTES];
	uint64_t used_at; /* in uses of the sealer */
};

/* Lives in the locked region as one piece. */
struct ag_sealer {
	uint8_t sk[crypto_box_SECRETKEYBYTES];
	uint64_t uses;
	unsigned count;
	struct peer peers[AG_SEAL_PEERS_MAX];
};

ag_err
ag_seal_boot(uint8_t pk[AG_SEAL_KEY_BYTES], struct ag_secret **sk)
{
	ag_err err = ag_secret_new(crypto_box_SECRETKEYBYTES, sk);

	if (err == AG_OK)
		crypto_box_keypair(pk, (*sk)->bytes);
	return err;
}

ag_err
ag_sealer_new(const struct ag_secret *sk, struct ag_sealer **out)
{
	struct ag_sealer *s;

	*out = NULL;
	if (sk->len != crypto_box_SECRETKEYBYTES)
		return AG_BAD_MESSAGE;
	if (!CRYPTO_secure_malloc_initialized())
		ag_panic("a sealer before ag_secret_init");
	if ((s = OPENSSL_secure_zalloc(sizeof(*s))) == NULL)
		return AG_FULL;
	memcpy(s->sk, sk->bytes, sizeof(s->sk));
	*out = s;
	return AG_OK;
}

void
ag_sealer_free(struct ag_sealer **sealer)
{
	OPENSSL_secure_clear_free(*sealer, sizeof(**sealer));
	*sealer = NULL;
}

/* The key shared with a peer; the first time costs a scalar multiplication.
 * NULL: a point of low order, which would make the key known to all. */
static const uint8_t *
shared_key(struct ag_sealer *s, const uint8_t pk[AG_SEAL_KEY_BYTES])
{
	uint8_t shared[crypto_box_BEFORENMBYTES];
	struct peer *p, *oldest = s->peers;

	s->uses++;
	for (p = s->peers; p < s->peers + s->count; p++) {
		if (memcmp(p->pk, pk, sizeof(p->pk)) == 0) {
			p->used_at = s->uses;
			return p->shared;
		}
		if (p->used_at < oldest->used_at)
			oldest = p;
	}
	if (crypto_box_beforenm(shared, pk, s->sk) != 0)
		return NULL;
	if (s->count < AG_SEAL_PEERS_MAX)
		oldest = &s->peers[s->count++];
	memcpy(oldest->pk, pk, sizeof(oldest->pk));
	memcpy(oldest->shared, shared, sizeof(oldest->shared));
	oldest->used_at = s->uses;
	ag_wipe(shared, sizeof(shared));
	return oldest->shared;
}

ag_err
ag_seal_raw(struct ag_sealer *sealer, const uint8_t to[AG_SEAL_KEY_BYTES],
    const void *plain, size_t len, uint8_t nonce[AG_SEAL_NONCE_BYTES],
    uint8_t *box)
{
	const uint8_t *key = shared_key(sealer, to);

	if (key == NULL)
		return AG_BAD_MESSAGE;
	/* 192 bits at random do not repeat in the life of a boot key. */
	ag_random(nonce, AG_SEAL_NONCE_BYTES);
	if (crypto_box_easy_afternm(box, plain, len, nonce, key) != 0)
		return AG_BAD_MESSAGE;
	return AG_OK;
}

ag_err
ag_unseal_into(struct ag_sealer *sealer, const uint8_t from[AG_SEAL_KEY_BYTES],
    const uint8_t nonce[AG_SEAL_NONCE_BYTES], const uint8_t *box,
    size_t box_len, uint8_t *out)
{
	const uint8_t *key;

	if (box_len < AG_SEAL_TAG_BYTES ||
	    (key = shared_key(sealer, from)) == NULL ||
	    crypto_box_open_easy_afternm(out, box, box_len, nonce, key) != 0)
		return AG_BAD_MESSAGE;
	return AG_OK;
}

ag_err
ag_unseal_raw(struct ag_sealer *sealer, const uint8_t from[AG_SEAL_KEY_BYTES],
    const uint8_t nonce[AG_SEAL_NONCE_BYTES], const uint8_t *box,
    size_t box_len, struct ag_secret **out)
{
	ag_err err;

	*out = NULL;
	if (box_len < AG_SEAL_TAG_BYTES)
		return AG_BAD_MESSAGE;
	if ((err = ag_secret_new(box_len - AG_SEAL_TAG_BYTES, out)) != AG_OK)
		return err;
	err = ag_unseal_into(sealer, from, nonce, box, box_len, (*out)->bytes);
	if (err != AG_OK)
		ag_secret_free(out);
	return err;
}

/* ------------------------------------------------------------------ MAC */

struct ag_mac {
	EVP_MAC *algorithm;
	EVP_MAC_CTX *keyed; /* begun anew, with the same key, for each use */
};

ag_err
ag_mac_new(const uint8_t *key, size_t key_len, struct ag_mac **out)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	struct ag_mac *mac = calloc(1, sizeof(*mac));

	*out = NULL;
	if (mac == NULL)
		return AG_NO_MEMORY;
	mac->algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (mac->algorithm != NULL)
		mac->keyed = EVP_MAC_CTX_new(mac->algorithm);
	if (mac->keyed == NULL ||
	    EVP_MAC_init(mac->keyed, key, key_len, params) != 1) {
		ag_mac_free(&mac);
		return AG_NO_MEMORY;
	}
	*out = mac;
	return AG_OK;
}

void
ag_mac_free(struct ag_mac **mac)
{
	if (*mac == NULL)
		return;
	EVP_MAC_CTX_free((*mac)->keyed);
	EVP_MAC_free((*mac)->algorithm);
	free(*mac);
	*mac = NULL;
}

ag_err
ag_mac_sign(struct ag_mac *mac, const void *bytes, size_t len,
    uint8_t out[AG_MAC_BYTES])
{
	size_t got = 0;

	if (EVP_MAC_init(mac->keyed, NULL, 0, NULL) != 1 ||
	    EVP_MAC_update(mac->keyed, bytes, len) != 1 ||
	    EVP_MAC_final(mac->keyed, out, &got, AG_MAC_BYTES) != 1 ||
	    got != AG_MAC_BYTES)
		return AG_GENERAL_FAILURE;
	return AG_OK;
}

bool
ag_mac_verify(struct ag_mac *mac, const void *bytes, size_t len,
    const uint8_t *given, size_t given_len)
{
	uint8_t want[AG_MAC_BYTES];

	return given_len == sizeof(want) &&
	    ag_mac_sign(mac, bytes, len, want) == AG_OK &&
	    ag_secret_equal(want, given, sizeof(want));
}
