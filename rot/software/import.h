/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import of key material: an RSA-4096 key pair for each import, in memory only,
 * for an hour and one success; and opening what was wrapped under it. Both are
 * done by the worker, never in the loop.
 *
 *   RSAES_OAEP_SHA_256        OAEP(material), MGF1 and label hash SHA-256
 *   RSA_AES_KEY_WRAP_SHA_256  OAEP(AES key) and behind it AES-KWP(material)
 *                             under that key (PKCS #11 v3.0 §2.1.21)
 *   material: the raw bytes of a symmetric key; a PKCS #8 PrivateKeyInfo in DER
 */
#ifndef SOFTWARE_IMPORT_H
#define SOFTWARE_IMPORT_H

#include "make.h"

enum {
	IMPORTERS_MAX = 64,
	IMPORTERS_OF_TENANT_MAX = 16,
	IMPORTER_TTL_MS = 3600 * 1000,
	IMPORTER_TRIES_MAX = 5,      /* then it is no oracle any more */
	IMPORTER_MODULUS_BYTES = 512,
	IMPORT_BYTES_MAX = 16384,    /* of material */
};

struct importer {
	char id[AG_ID_SIZE]; /* empty: free */
	char tenant[AG_NAME_MAX + 1];
	Ag__WrappingAlgorithm__V algorithm;
	EVP_PKEY *pkey;
	int64_t expires_at;
	unsigned tries;
	bool busy;
};

struct importers {
	struct importer rows[IMPORTERS_MAX];
};

/* Takes *material (it may, it must not). AG_OK: it is kept. */
typedef ag_err importer_keep(void *state, struct ag_ctx *ctx,
    const Ag__RotGenerateAsk *ask, struct ag_secret **material);

/* Answers a ROT_IMPORTER_ASK. importers lives as long as the process. */
ag_err importer_make(struct importers *importers, struct ag_ctx *ctx,
    const Ag__RotImporterAsk *ask) AG_MUST;
/* Opens ask->wrapped, checks that it is of the spec, hands it to keep. What is
 * wrong with it is refused precisely, but for what does not open. AG_PENDING. */
ag_err importer_open(struct importers *importers, struct ag_ctx *ctx,
    const Ag__RotGenerateAsk *ask, const struct make_spec *spec,
    importer_keep *keep) AG_MUST;
void importers_fini(struct importers *importers);

#endif
