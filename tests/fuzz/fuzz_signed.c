/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of policies: what can be read keeps within its bounds and is what
 * was written; and nobody has signed it.
 */
#include "signed.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ag_signer signer;
	struct ag_signed_want want = { .tenant = "default", .name = "base",
		.text = "", .now = 1 };
	char *text = malloc(size + 1);
	struct ag_signed said;

	if (signer.key == NULL)
		signer.key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	memcpy(text, data, size);
	text[size] = '\0';
	if (ag_signed_read(text, &said)) {
		char again[AG_SIGNED_TEXT_SIZE];
		size_t part = (size_t)(strrchr(text, '.') - text);

		/* Whoever has the key says the same with the same bytes. */
		if (!ag_signed_make(&said, signer.key, again) ||
		    strncmp(again, text, part + 1) != 0)
			abort();
		memcpy(signer.id, said.signer, sizeof(signer.id));
		if (ag_signed_check(text, &signer, 1, &want, &said) ==
		    AG_SIGNED_OK)
			abort();
	}
	(void)ag_signed_public(text, size, said.signer);
	free(text);
	return 0;
}
