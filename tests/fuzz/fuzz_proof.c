/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody brings to `aegis audit verify`: a proof (first byte even) or
 * kept checkpoints (odd), as the bytes of a file. The key is always the same
 * one, so that the seeds are properly signed and what is bent in them is reached
 * behind the signature. Whoever is believed was signed.
 */
#include "walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *key;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t seed[32] = { 1, 2, 3 }; /* of the seeds, too */

	(void)argc;
	(void)argv;
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	if (key == NULL || freopen("/dev/null", "w", stdout) == NULL)
		abort();
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verify v = { .key_count = 1 };
	const char *message = NULL;
	char path[64];
	int fd;

	if (size < 1 || size > 65536)
		return 0;
	fd = memfd_create("fuzz", 0);
	if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	v.keys[0] = key;
	if (data[0] % 2 == 0) {
		ag_err err = proof_check(&v, path, "default");

		if (err != AG_OK && v.what[0] == '\0')
			abort(); /* refused, and nobody knows why */
	} else if (!kept_read(&v, path, "default", &message) &&
	    (message == NULL || message[0] == '\0')) {
		abort();
	}
	for (size_t i = 0; i < v.chain_count; i++) {
		const struct head *kept = &v.chains[i]->kept;

		if (kept->size != 0 && !verify_head_signed(&v,
		    v.chains[i]->tenant, kept))
			abort();
		free(v.chains[i]->leaves);
		free(v.chains[i]);
	}
	free(v.chains);
	close(fd);
	return 0;
}
