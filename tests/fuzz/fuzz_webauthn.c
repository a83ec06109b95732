/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a browser and an authenticator send. The first byte says what the rest
 * is: an attestation object (behind good client data, so that libfido2 gets what
 * our own reading lets through), an assertion's authenticator data, or client
 * data. Nothing random is ever a good assertion.
 */
#include <ceremony.h>

#include <aegis/id.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const origins[] = { "https://localhost" };
static const struct iam_fido_party party = { "localhost", origins, 1, false };
static const uint8_t challenge[IAM_FIDO_CHALLENGE];

static struct iam_bytes
client(const char *type, char text[512])
{
	char nonce[64];

	ag_base64url(challenge, sizeof(challenge), nonce);
	return (struct iam_bytes){ (uint8_t *)text, (size_t)snprintf(text, 512,
	    "{\"type\":\"%s\",\"challenge\":\"%s\",\"origin\":\"%s\"}", type,
	    nonce, origins[0]) };
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct iam_fido_key key = { .id_len = 1, .algorithm = -7,
		.key_len = 64 }; /* (0, 0) is on no curve */
	struct iam_fido_key out;
	struct iam_bytes in;
	char text[512];
	uint32_t count;

	if (size == 0)
		return 0;
	in = (struct iam_bytes){ data + 1, size - 1 };
	if (data[0] % 3 == 0) {
		if (iam_fido_register(&party, challenge,
		    client("webauthn.create", text), in, &out) == IAM_FIDO_OK &&
		    (out.id_len == 0 || out.attestation == NULL))
			abort();
	} else if (data[0] % 3 == 1) {
		if (iam_fido_assert(&party, challenge, &key,
		    client("webauthn.get", text), in,
		    (struct iam_bytes){ data, 1 }, &count) == IAM_FIDO_OK)
			abort();
	} else if (iam_fido_client_check(&party, "webauthn.get", challenge, in) ==
	    IAM_FIDO_OK && in.len < 32) {
		abort();
	}
	return 0;
}
