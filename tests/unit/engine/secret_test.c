/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int
init(void **state)
{
	return ag_secret_init() == AG_OK && ag_secret_init() == AG_OK ? 0 : -1;
}

static void
secrets_live_in_the_region(void **state)
{
	struct ag_secret *s = NULL, *big = NULL;
	size_t before = ag_secret_used();

	assert_int_equal(ag_secret_copy("0123456789", 10, &s), AG_OK);
	assert_true(ag_secret_used() > before);
	assert_int_equal(ag_secret_len(s), 10);
	assert_memory_equal(ag_secret_bytes(s), "0123456789", 10);
	assert_true(ag_secret_equal(ag_secret_bytes(s), "0123456789", 10));
	assert_false(ag_secret_equal(ag_secret_bytes(s), "0123456788", 10));
	assert_int_equal(ag_secret_new(AG_SECRET_REGION_BYTES, &big), AG_FULL);
	assert_null(big);
	assert_int_equal(ag_secret_new(SIZE_MAX, &big), AG_FULL);
	ag_secret_free(&s);
	assert_null(s);
	ag_secret_free(&s);
	assert_int_equal(ag_secret_used(), before);
	assert_int_equal(ag_secret_new(64, &s), AG_OK);
	for (int i = 0; i < 64; i++)
		assert_int_equal(ag_secret_bytes(s)[i], 0);
	ag_secret_free(&s);
}

static void
not_locked_is_an_error(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		const struct rlimit none = { 65536, 65536 };

		/* Root may lock past the limit: be nobody. */
		if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 ||
		    (getuid() == 0 && setuid(65534) != 0))
			_exit(2);
		execl("/proc/self/exe", "secret_test", "unlocked", (char *)NULL);
		_exit(3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
		skip(); /* nobody cannot reach this program's folder */
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
seals_to_one_peer(void **state)
{
	uint8_t pk[3][32], nonce[24], box[5 + AG_SEAL_TAG_BYTES];
	struct ag_sealer *sealer[3];
	struct ag_secret *sk, *plain;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(ag_seal_boot(pk[i], &sk), AG_OK);
		assert_int_equal(ag_sealer_new(sk, &sealer[i]), AG_OK);
		ag_secret_free(&sk);
	}
	assert_int_equal(ag_seal_raw(sealer[0], pk[1], "hello", 5, nonce, box),
	    AG_OK);
	assert_int_equal(ag_unseal_raw(sealer[1], pk[0], nonce, box, sizeof(box),
	    &plain), AG_OK);
	assert_int_equal(ag_secret_len(plain), 5);
	assert_memory_equal(ag_secret_bytes(plain), "hello", 5);
	ag_secret_free(&plain);
	/* not for the third, not from the third, not changed, not cut */
	assert_int_equal(ag_unseal_raw(sealer[2], pk[0], nonce, box, sizeof(box),
	    &plain), AG_BAD_MESSAGE);
	assert_null(plain);
	assert_int_equal(ag_unseal_raw(sealer[1], pk[2], nonce, box, sizeof(box),
	    &plain), AG_BAD_MESSAGE);
	for (size_t i = 0; i < sizeof(box); i++) {
		box[i] ^= 1;
		assert_int_equal(ag_unseal_raw(sealer[1], pk[0], nonce, box,
		    sizeof(box), &plain), AG_BAD_MESSAGE);
		box[i] ^= 1;
		assert_int_equal(ag_unseal_raw(sealer[1], pk[0], nonce, box, i,
		    &plain), AG_BAD_MESSAGE);
	}
	memset(pk[2], 0, 32); /* a point of low order */
	assert_int_equal(ag_seal_raw(sealer[0], pk[2], "hello", 5, nonce, box),
	    AG_BAD_MESSAGE);
	for (int i = 0; i < 3; i++)
		ag_sealer_free(&sealer[i]);
}

static void
more_peers_than_it_remembers(void **state)
{
	enum { PEERS = AG_SEAL_PEERS_MAX + 10 };
	static struct ag_sealer *peers[PEERS];
	static uint8_t pk[PEERS][32];
	struct ag_secret *sk, *plain;
	uint8_t nonce[24], box[1 + AG_SEAL_TAG_BYTES];

	for (int i = 0; i < PEERS; i++) {
		assert_int_equal(ag_seal_boot(pk[i], &sk), AG_OK);
		assert_int_equal(ag_sealer_new(sk, &peers[i]), AG_OK);
		ag_secret_free(&sk);
	}
	for (int turn = 0; turn < 2; turn++)
		for (int i = 1; i < PEERS; i++) {
			assert_int_equal(ag_seal_raw(peers[0], pk[i], "x", 1,
			    nonce, box), AG_OK);
			assert_int_equal(ag_unseal_raw(peers[i], pk[0], nonce,
			    box, sizeof(box), &plain), AG_OK);
			ag_secret_free(&plain);
		}
	for (int i = 0; i < PEERS; i++)
		ag_sealer_free(&peers[i]);
}

/* RFC 4231, test cases 1 and 2; each twice, as the context is used again. */
static void
mac_vectors(void **state)
{
	uint8_t key[20], out[32];
	struct ag_mac *mac;
	char hex[65];

	memset(key, 0x0b, sizeof(key));
	assert_int_equal(ag_mac_new(key, sizeof(key), &mac), AG_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ag_mac_sign(mac, "Hi There", 8, out), AG_OK);
		ag_hex(out, 32, hex);
		assert_string_equal(hex, "b0344c61d8db38535ca8afceaf0bf12b"
		    "881dc200c9833da726e9376c2e32cff7");
	}
	assert_true(ag_mac_verify(mac, "Hi There", 8, out, 32));
	assert_false(ag_mac_verify(mac, "Hi there", 8, out, 32));
	assert_false(ag_mac_verify(mac, "Hi There", 8, out, 31));
	assert_false(ag_mac_verify(mac, "Hi There", 8, NULL, 0));
	out[31] ^= 1;
	assert_false(ag_mac_verify(mac, "Hi There", 8, out, 32));
	ag_mac_free(&mac);
	assert_int_equal(ag_mac_new((const uint8_t *)"Jefe", 4, &mac), AG_OK);
	assert_int_equal(ag_mac_sign(mac, "what do ya want for nothing?", 28, out),
	    AG_OK);
	ag_hex(out, 32, hex);
	assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c7"
	    "5a003f089d2739839dec58b964ec3843");
	ag_mac_free(&mac);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_live_in_the_region),
		cmocka_unit_test(not_locked_is_an_error),
		cmocka_unit_test(seals_to_one_peer),
		cmocka_unit_test(more_peers_than_it_remembers),
		cmocka_unit_test(mac_vectors),
	};

	if (argc > 1) /* started by not_locked_is_an_error */
		return ag_secret_init() == AG_IO ? 0 : 1;
	return cmocka_run_group_tests_name("secret", tests, init, NULL);
}
