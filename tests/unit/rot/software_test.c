/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The software root of trust: what it makes, keeps, gives out and erases, and
 * when it refuses to start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <aegis/kit.h>
#include <aegis/seglog.h>
#include <aegis/master.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern const struct ag_actor ag_actor_software;

#define KEY_A "key_0190a0000000700080000000000000aa"
#define KEY_B "key_0190a0000000700080000000000000bb"

static uint8_t pk[32], sk[32];
static uint64_t corr;

/* One ask; the answer's type is checked unless 0. Borrowed until the next. */
static const struct ag_kit_sent *
ask_as(struct ag_kit *kit, enum ag_role from, uint16_t type, const void *body,
    uint16_t reply_type)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	const struct ag_kit_sent *sent;

	env.has_corr = true;
	env.corr = ++corr;
	ag_kit_deliver(kit, from, 0, type, &env, body);
	ag_kit_work(kit);
	do /* the event of a new master key is not what is waited for */
		sent = ag_kit_next(kit);
	while (sent != NULL && sent->type == AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	assert_int_equal(sent->env->corr, corr);
	if (reply_type != 0)
		assert_int_equal(sent->type, reply_type);
	return sent;
}

static const struct ag_kit_sent *
ask(struct ag_kit *kit, uint16_t type, const void *body, uint16_t reply_type)
{
	return ask_as(kit, AG_ROLE_KEYS, type, body, reply_type);
}

static const Ag__RotGenerateReply *
generate(struct ag_kit *kit, const char *id, uint32_t version, int spec)
{
	Ag__RotGenerateAsk a = AG__ROT_GENERATE_ASK__INIT;

	a.tenant = (char *)(uintptr_t)"default";
	a.key_id = (char *)(uintptr_t)id;
	a.version = version;
	a.key_spec = (Ag__KeySpec__V)spec;
	return ask(kit, AG_MSG_ROT_GENERATE_ASK, &a, AG_MSG_ROT_GENERATE_REPLY)->body;
}

static const struct ag_kit_sent *
ask_load(struct ag_kit *kit, const char *tenant, const char *id, uint32_t version)
{
	Ag__RotLoadAsk a = AG__ROT_LOAD_ASK__INIT;

	a.tenant = (char *)(uintptr_t)tenant;
	a.key_id = (char *)(uintptr_t)id;
	a.version = version;
	a.reply_key = (ProtobufCBinaryData){ sizeof(pk), pk };
	return ask(kit, AG_MSG_ROT_LOAD_ASK, &a, 0);
}

static size_t
load(struct ag_kit *kit, const char *id, uint32_t version, uint8_t *out)
{
	const struct ag_kit_sent *sent = ask_load(kit, "default", id, version);
	const Ag__RotLoadReply *r = sent->body;

	assert_int_equal(sent->type, AG_MSG_ROT_LOAD_REPLY);
	assert_int_equal(crypto_box_open_easy(out, r->material->box.data,
	    r->material->box.len, r->material->nonce.data, r->material->sender.data, sk), 0);
	return r->material->box.len - crypto_box_MACBYTES;
}

static const struct ag_kit_sent *
destroy(struct ag_kit *kit, const char *id, uint32_t version)
{
	Ag__RotDestroyAsk a = AG__ROT_DESTROY_ASK__INIT;

	a.tenant = (char *)(uintptr_t)"default";
	a.key_id = (char *)(uintptr_t)id;
	a.version = version;
	return ask(kit, AG_MSG_ROT_DESTROY_ASK, &a, 0);
}

static char *
path_in(const char *dir, const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static char *
new_dir(void)
{
	static char dir[64];

	snprintf(dir, sizeof(dir), "/tmp/aegis-rot-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return dir;
}

static size_t
read_file(const char *path, uint8_t *out, size_t size)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	assert_non_null(f);
	n = fread(out, 1, size, f);
	fclose(f);
	return n;
}

static void
remove_dir(const char *dir)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	assert_int_equal(system(command), 0);
}

/* Starts in a child: does it come up? (The kit panics when an actor does not.) */
static bool
starts(const char *dir, const char *config)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct ag_kit *kit;

		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(2);
		kit = ag_kit_new(&ag_actor_software, config, dir);
		_exit(kit != NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ------------------------------------------------------------------- tests */

static void
test_generates_every_spec(void **state)
{
	static const int specs[] = { AG__KEY_SPEC__V__EC_P256, AG__KEY_SPEC__V__ED25519,
		AG__KEY_SPEC__V__AES_256, AG__KEY_SPEC__V__RSA_2048, AG__KEY_SPEC__V__EC_P384,
		AG__KEY_SPEC__V__ED448, AG__KEY_SPEC__V__AES_128, AG__KEY_SPEC__V__HMAC_SHA256,
		AG__KEY_SPEC__V__HMAC_SHA384, AG__KEY_SPEC__V__HMAC_SHA512 };
	struct ag_kit *kit = ag_kit_new(&ag_actor_software, NULL, NULL);
	uint8_t material[4096];

	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		const Ag__RotGenerateReply *r = generate(kit, KEY_A, (uint32_t)i + 1, specs[i]);
		bool symmetric = specs[i] >= AG__KEY_SPEC__V__AES_128;

		assert_int_equal(r->has_public_key_der, !symmetric);
		assert_false(r->resident);
		assert_true(load(kit, KEY_A, (uint32_t)i + 1, material) >= 16);
	}
	ag_kit_free(&kit);
}

static void
test_generate_is_idempotent(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_software, NULL, NULL);
	uint8_t der[256], again[256];
	Ag__RotGenerateAsk a = AG__ROT_GENERATE_ASK__INIT;
	const Ag__RotGenerateReply *r = generate(kit, KEY_A, 1, AG__KEY_SPEC__V__EC_P256);
	size_t len = r->public_key_der.len;

	assert_in_range(len, 1, sizeof(der));
	memcpy(der, r->public_key_der.data, len);
	r = generate(kit, KEY_A, 1, AG__KEY_SPEC__V__EC_P256);
	memcpy(again, r->public_key_der.data, r->public_key_der.len);
	assert_int_equal(r->public_key_der.len, len);
	assert_memory_equal(der, again, len);
	/* A version whose earlier ones are on another node would tear the key apart. */
	a.tenant = (char *)(uintptr_t)"default";
	a.key_id = (char *)(uintptr_t)KEY_B;
	a.version = 2;
	a.key_spec = AG__KEY_SPEC__V__EC_P256;
	assert_int_equal(ask(kit, AG_MSG_ROT_GENERATE_ASK, &a, 0)->env->status,
	    AG_ITEM_NOT_FOUND);
	r = generate(kit, KEY_A, 2, AG__KEY_SPEC__V__EC_P256);
	assert_memory_not_equal(der, r->public_key_der.data, len);
	ag_kit_free(&kit);
}

static void
test_refuses_what_is_no_key(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_software, NULL, NULL);
	Ag__RotGenerateAsk a = AG__ROT_GENERATE_ASK__INIT;

	/* The purposes' own keys are not to be had as keys. */
	assert_int_equal(ask_load(kit, "system", "issuer", 1)->env->status, AG_INVALID_FIELD);
	assert_int_equal(ask_load(kit, "default", KEY_A, 1)->env->status, AG_ITEM_NOT_FOUND);
	a.tenant = (char *)(uintptr_t)"default";
	a.key_id = (char *)(uintptr_t)KEY_A;
	a.version = 1;
	a.key_spec = (Ag__KeySpec__V)99; /* of a newer shard */
	assert_int_equal(ask(kit, AG_MSG_ROT_GENERATE_ASK, &a, 0)->env->status,
	    AG_FEATURE_NOT_SUPPORTED);
	/* Another tenant's: the AAD and the row differ. */
	generate(kit, KEY_A, 1, AG__KEY_SPEC__V__AES_256);
	assert_int_equal(ask_load(kit, "other", KEY_A, 1)->env->status, AG_ITEM_NOT_FOUND);
	ag_kit_free(&kit);
}

static void
test_hostile_lengths(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_software, NULL, NULL);
	Ag__RotLoadAsk a = AG__ROT_LOAD_ASK__INIT;
	char *tenant = calloc(1, 100000);
	uint8_t zero[32] = { 0 };

	memset(tenant, 'x', 99999);
	assert_int_equal(ask_load(kit, tenant, KEY_A, 1)->env->status, AG_INVALID_FIELD);
	a.tenant = (char *)(uintptr_t)"default";
	a.key_id = (char *)(uintptr_t)KEY_A;
	a.version = 1;
	a.reply_key = (ProtobufCBinaryData){ 31, zero };
	assert_int_equal(ask(kit, AG_MSG_ROT_LOAD_ASK, &a, 0)->env->status, AG_INVALID_FIELD);
	/* A point of low order must not get it sealed to a key known to all. */
	generate(kit, KEY_A, 1, AG__KEY_SPEC__V__AES_256);
	a.reply_key.len = 32;
	assert_int_equal(ask(kit, AG_MSG_ROT_LOAD_ASK, &a, 0)->type, AG_MSG_ERROR_REPLY);
	free(tenant);
	ag_kit_free(&kit);
}

static void
test_keys_survive_a_restart(void **state)
{
	char dir[64];
	struct ag_kit *kit;
	uint8_t before[4096], after[4096];
	size_t len;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	generate(kit, KEY_A, 1, AG__KEY_SPEC__V__AES_256);
	len = load(kit, KEY_A, 1, before);
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	assert_int_equal(load(kit, KEY_A, 1, after), len);
	assert_memory_equal(before, after, len);
	ag_kit_free(&kit);
	remove_dir(dir);
}

static void
test_destroy_erases_the_slot(void **state)
{
	char dir[64];
	struct ag_kit *kit;
	uint8_t slots[4096], slot[64], after[4096], material[64];
	size_t n;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	generate(kit, KEY_A, 1, AG__KEY_SPEC__V__AES_256);
	n = read_file(path_in(dir, "rot/wrapping.keys"), slots, sizeof(slots));
	assert_true(n >= 4 * 64); /* proof, issuer, checkpoint, this */
	memcpy(slot, slots + 3 * 64, 64);
	assert_int_equal(slot[0], 1);
	assert_int_equal(destroy(kit, KEY_A, 1)->type, AG_MSG_DONE_REPLY);
	assert_int_equal(destroy(kit, KEY_A, 1)->type, AG_MSG_DONE_REPLY); /* again */
	n = read_file(path_in(dir, "rot/wrapping.keys"), after, sizeof(after));
	assert_null(memmem(after, n, slot + 16, 48));
	assert_int_equal(after[3 * 64], 0);
	assert_int_equal(ask_load(kit, "default", KEY_A, 1)->env->status, AG_ITEM_NOT_FOUND);
	/* The slot is used again, by another key. */
	generate(kit, KEY_B, 1, AG__KEY_SPEC__V__AES_256);
	assert_int_equal(load(kit, KEY_B, 1, material), 32);
	ag_kit_free(&kit);
	remove_dir(dir);
}

static void
test_nothing_plain_on_disk(void **state)
{
	char dir[64], command[256];
	struct ag_kit *kit;
	uint8_t material[64];
	char hex[65];

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	generate(kit, KEY_A, 1, AG__KEY_SPEC__V__AES_256);
	assert_int_equal(load(kit, KEY_A, 1, material), 32);
	ag_kit_free(&kit);
	ag_hex(material, 32, hex);
	snprintf(command, sizeof(command),
	    "! find '%s' -type f -exec od -An -v -tx1 {} \\; | tr -d ' \\n' | grep -q %s",
	    dir, hex);
	assert_int_equal(system(command), 0);
	remove_dir(dir);
}

/* The crash between erasing the slot and deleting the blob. */
static void
test_sweeps_what_a_crash_left(void **state)
{
	char dir[64];
	struct ag_kit *kit;
	uint8_t zeros[64] = { 0 }, slots[4096], stray[64];
	int fd;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	generate(kit, KEY_A, 1, AG__KEY_SPEC__V__AES_256);
	ag_kit_free(&kit);
	fd = open(path_in(dir, "rot/wrapping.keys"), O_RDWR);
	assert_int_equal(pwrite(fd, zeros, 64, 3 * 64), 64);
	memset(stray, 1, sizeof(stray));
	assert_int_equal(pwrite(fd, stray, 64, 5 * 64), 64);
	close(fd);
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	assert_int_equal(ask_load(kit, "default", KEY_A, 1)->env->status, AG_ITEM_NOT_FOUND);
	read_file(path_in(dir, "rot/wrapping.keys"), slots, sizeof(slots));
	assert_memory_equal(slots + 5 * 64, zeros, 64);
	ag_kit_free(&kit);
	remove_dir(dir);
}

/* Two slots exchanged: the AAD binds each to its key. */
static void
test_swapped_slots_do_not_open(void **state)
{
	char dir[64];
	struct ag_kit *kit;
	uint8_t slots[4096];
	int fd;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	generate(kit, KEY_A, 1, AG__KEY_SPEC__V__AES_256);
	generate(kit, KEY_B, 1, AG__KEY_SPEC__V__AES_256);
	read_file(path_in(dir, "rot/wrapping.keys"), slots, sizeof(slots));
	fd = open(path_in(dir, "rot/wrapping.keys"), O_RDWR);
	assert_int_equal(pwrite(fd, slots + 3 * 64, 64, 4 * 64), 64);
	assert_int_equal(pwrite(fd, slots + 4 * 64, 64, 3 * 64), 64);
	close(fd);
	assert_int_equal(ask_load(kit, "default", KEY_A, 1)->env->status, AG_CORRUPT);
	assert_int_equal(ask_load(kit, "default", KEY_B, 1)->env->status, AG_CORRUPT);
	ag_kit_free(&kit);
	remove_dir(dir);
}

static void
test_start_conditions(void **state)
{
	char dir[64], master[256];
	struct ag_kit *kit;
	struct stat st;
	int fd;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	ag_kit_free(&kit);
	strcpy(master, path_in(dir, "rot/master.key"));
	assert_int_equal(stat(master, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 32);
	assert_true(starts(dir, NULL));
	assert_int_equal(chmod(master, 0640), 0);
	assert_false(starts(dir, NULL));
	assert_int_equal(chmod(master, 0600), 0);
	assert_true(starts(dir, NULL));
	/* Another key; a short one; none: never a new one over existing keys. */
	fd = open(master, O_WRONLY);
	assert_int_equal(pwrite(fd, "xxxx", 4, 0), 4);
	assert_false(starts(dir, NULL));
	assert_int_equal(ftruncate(fd, 31), 0);
	close(fd);
	assert_false(starts(dir, NULL));
	assert_int_equal(unlink(master), 0);
	assert_false(starts(dir, NULL));
	assert_int_equal(access(master, F_OK), -1);
	remove_dir(dir);
}

static void
test_master_key_elsewhere(void **state)
{
	char dir[64], config[256], path[128];

	strcpy(dir, new_dir());
	snprintf(path, sizeof(path), "%s/elsewhere.key", dir);
	snprintf(config, sizeof(config),
	    "rot:\n  software:\n    master_key_file: %s\n", path);
	assert_true(starts(dir, config));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(access(path_in(dir, "rot/master.key"), F_OK), -1);
	assert_true(starts(dir, config));
	remove_dir(dir);
}

/* Under a passphrase: only who was given what opens it comes up. */
static void
test_master_key_locked(void **state)
{
	struct ag_master_lock lock = { .key = NULL }, other = { .key = NULL };
	uint8_t before[64], after[64];
	struct ag_kit *kit;
	char dir[64];

	ag_master_kdf_new(lock.kdf);
	assert_int_equal(ag_secret_copy("the key that a passphrase gives.", 32, &lock.key), AG_OK);
	other = lock;
	assert_int_equal(ag_secret_copy("the key of another passphrase...", 32, &other.key), AG_OK);
	strcpy(dir, new_dir());
	ag_kit_master_lock(&lock);
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	generate(kit, KEY_A, 1, AG__KEY_SPEC__V__AES_256);
	assert_int_equal(load(kit, KEY_A, 1, before), 32);
	ag_kit_free(&kit);
	ag_kit_master_lock(NULL);
	assert_false(starts(dir, NULL));
	ag_kit_master_lock(&other);
	assert_false(starts(dir, NULL));
	ag_kit_master_lock(&lock);
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	assert_int_equal(load(kit, KEY_A, 1, after), 32);
	assert_memory_equal(before, after, 32);
	ag_kit_free(&kit);
	ag_kit_master_lock(NULL);
	ag_master_lock_free(&lock);
	ag_master_lock_free(&other);
	remove_dir(dir);
}

/* A first start that died while it wrote the key: the next one is the first. */
static void
test_master_key_half_made(void **state)
{
	char dir[64];
	int fd;

	strcpy(dir, new_dir());
	assert_int_equal(mkdir(path_in(dir, "rot"), 0700), 0);
	fd = open(path_in(dir, "rot/master.key.new"), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "half", 4), 4);
	close(fd);
	assert_true(starts(dir, NULL));
	assert_int_equal(access(path_in(dir, "rot/master.key.new"), F_OK), -1);
	assert_true(starts(dir, NULL));
	remove_dir(dir);
}

static const Ag__RotKeysReply *
keys_of(struct ag_kit *kit, const char *purpose)
{
	Ag__RotKeysAsk keys = AG__ROT_KEYS_ASK__INIT;

	keys.purpose = (char *)(uintptr_t)purpose;
	return ask(kit, AG_MSG_ROT_KEYS_ASK, &keys, AG_MSG_ROT_KEYS_REPLY)->body;
}

static void
signs_with(struct ag_kit *kit, const char *purpose, char kid[32])
{
	Ag__RotSignAsk sign = AG__ROT_SIGN_ASK__INIT;
	const Ag__RotSignReply *s;

	sign.purpose = (char *)(uintptr_t)purpose;
	sign.message = (ProtobufCBinaryData){ 5, (uint8_t *)(uintptr_t)"hello" };
	s = ask(kit, AG_MSG_ROT_SIGN_ASK, &sign, AG_MSG_ROT_SIGN_REPLY)->body;
	snprintf(kid, 32, "%s", s->key_id);
}

static const Ag__RotKeysReply *
issuer_keys(struct ag_kit *kit)
{
	return keys_of(kit, "issuer");
}

static void
issuer_signs_with(struct ag_kit *kit, char kid[32])
{
	signs_with(kit, "issuer", kid);
}

/* Shown before it signs, valid until the overlap ends, the same after a
 * restart; then erased. */
static void
test_issuer_key_is_replaced(void **state)
{
	static const char config[] =
	    "auth: {keys: {rotate_every_s: 1h, overlap_s: 10m}}\n";
	const Ag__RotKeysReply *k;
	char dir[64], first[32], second[32], kid[32];
	struct ag_kit *kit;
	int64_t from, until;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, config, dir);
	issuer_signs_with(kit, first);
	ag_kit_advance(kit, 3539 * 1000);
	assert_int_equal(issuer_keys(kit)->n_keys, 1);
	ag_kit_advance(kit, 2 * 1000);
	k = issuer_keys(kit);
	assert_int_equal(k->n_keys, 2);
	assert_string_equal(k->keys[0]->key_id, first);
	assert_string_not_equal(k->keys[1]->key_id, first);
	strcpy(second, k->keys[1]->key_id);
	from = k->keys[1]->from_at;
	until = k->keys[0]->until_at;
	assert_true(from > ag_kit_now(kit));
	assert_int_equal(until, from + 600 * 1000);
	assert_false(k->keys[1]->has_until_at);
	issuer_signs_with(kit, kid);
	assert_string_equal(kid, first);
	ag_kit_advance(kit, 61 * 1000);
	issuer_signs_with(kit, kid);
	assert_string_equal(kid, second);
	ag_kit_free(&kit);
	/* The kit's clock starts anew: what is noted counts, not what was seen. */
	kit = ag_kit_new(&ag_actor_software, config, dir);
	k = issuer_keys(kit);
	assert_int_equal(k->n_keys, 2);
	assert_string_equal(k->keys[0]->key_id, first);
	assert_string_equal(k->keys[1]->key_id, second);
	assert_int_equal(k->keys[0]->until_at, until);
	assert_int_equal(k->keys[1]->from_at, from);
	ag_kit_advance(kit, until - ag_kit_now(kit) + 1000);
	k = issuer_keys(kit);
	assert_int_equal(k->n_keys, 1);
	assert_string_equal(k->keys[0]->key_id, second);
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_software, config, dir);
	k = issuer_keys(kit);
	assert_int_equal(k->n_keys, 1);
	assert_string_equal(k->keys[0]->key_id, second);
	ag_kit_free(&kit);
	remove_dir(dir);
}

static void
test_issuer_key_stays(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_software,
	    "auth: {keys: {rotate_every_s: 0}}\n", NULL);
	char first[32], kid[32];

	issuer_signs_with(kit, first);
	for (int i = 0; i < 3; i++) /* three times what is usual without the 0 */
		ag_kit_advance(kit, INT64_C(86400) * 30 * 1000);
	assert_int_equal(issuer_keys(kit)->n_keys, 1);
	issuer_signs_with(kit, kid);
	assert_string_equal(kid, first);
	ag_kit_free(&kit);
}

/* More keys than may overlap: the newest goes on signing. */
static void
test_issuer_keys_are_bounded(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_software,
	    "auth: {keys: {rotate_every_s: 1h, overlap_s: 30d}}\n", NULL);
	char last[32], kid[32];

	for (int i = 0; i < 20; i++)
		ag_kit_advance(kit, INT64_C(3600) * 1000);
	assert_int_equal(issuer_keys(kit)->n_keys, 8);
	strcpy(last, issuer_keys(kit)->keys[7]->key_id);
	issuer_signs_with(kit, kid);
	assert_string_equal(kid, last);
	ag_kit_free(&kit);
}

static bool
endorsed(const Ag__RotKey *key, const Ag__RotKey *by)
{
	const uint8_t *der = by->public_key_der.data;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &der, (long)by->public_key_der.len);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	char text[256];
	size_t len = ag_seg_key_text(text, sizeof(text), key->key_id,
	    &key->public_key_der, key->from_at);
	bool ok = key->has_endorsement && strcmp(key->endorsed_by, by->key_id) == 0 &&
	    EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) == 1 &&
	    EVP_DigestVerify(md, key->endorsement.data, key->endorsement.len,
	        (const uint8_t *)text, len) == 1;

	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
	return ok;
}

/* Every one is shown for ever and signed for by the one before, also after a
 * restart; only the newest can still sign; their number is bounded. */
static void
test_checkpoint_key_is_replaced(void **state)
{
	static const char config[] =
	    "audit: {checkpoint: {key_rotate_every_s: 1h}}\n";
	const Ag__RotKeysReply *k;
	char dir[64], first[32], kid[32];
	struct ag_kit *kit;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, config, dir);
	signs_with(kit, "checkpoint", first);
	ag_kit_advance(kit, 3541 * 1000);
	k = keys_of(kit, "checkpoint");
	assert_int_equal(k->n_keys, 2);
	assert_string_equal(k->keys[0]->key_id, first);
	assert_false(k->keys[0]->has_endorsement);
	assert_true(endorsed(k->keys[1], k->keys[0]));
	signs_with(kit, "checkpoint", kid);
	assert_string_equal(kid, first); /* not before its time */
	ag_kit_advance(kit, 61 * 1000);
	signs_with(kit, "checkpoint", kid);
	assert_string_not_equal(kid, first);
	ag_kit_advance(kit, 3600 * 1000); /* a second time */
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_software, config, dir);
	k = keys_of(kit, "checkpoint");
	assert_int_equal(k->n_keys, 3);
	assert_string_equal(k->keys[0]->key_id, first);
	assert_string_equal(k->keys[1]->key_id, kid);
	assert_true(endorsed(k->keys[1], k->keys[0]));
	assert_true(endorsed(k->keys[2], k->keys[1]));
	assert_false(endorsed(k->keys[2], k->keys[0]));
	for (unsigned i = 0; i < 100; i++)
		ag_kit_advance(kit, 3 * 3600 * 1000);
	k = keys_of(kit, "checkpoint");
	assert_int_equal(k->n_keys, 64);
	for (unsigned i = 1; i < 64; i++)
		assert_true(endorsed(k->keys[i], k->keys[i - 1]));
	strcpy(first, k->keys[63]->key_id);
	signs_with(kit, "checkpoint", kid);
	assert_string_equal(kid, first);
	ag_kit_free(&kit);
	remove_dir(dir);
}

static void
test_signs_for_its_purposes(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_software, NULL, NULL);
	Ag__RotSignAsk sign = AG__ROT_SIGN_ASK__INIT;
	Ag__RotKeysAsk keys = AG__ROT_KEYS_ASK__INIT;
	const Ag__RotKeysReply *k;
	const Ag__RotSignReply *s;
	const uint8_t *der;
	uint8_t digest[32];
	char hex[65], key_id[32];
	EVP_PKEY *pkey;
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	keys.purpose = (char *)(uintptr_t)"issuer";
	k = ask(kit, AG_MSG_ROT_KEYS_ASK, &keys, AG_MSG_ROT_KEYS_REPLY)->body;
	assert_int_equal(k->n_keys, 1);
	der = k->keys[0]->public_key_der.data;
	ag_sha256(der, k->keys[0]->public_key_der.len, digest);
	ag_hex(digest, 32, hex);
	assert_memory_equal(k->keys[0]->key_id, hex, 16);
	assert_int_equal(strlen(k->keys[0]->key_id), 16);
	strcpy(key_id, k->keys[0]->key_id);
	assert_true(k->keys[0]->from_at > 0);
	pkey = d2i_PUBKEY(NULL, &der, (long)k->keys[0]->public_key_der.len);
	assert_non_null(pkey);
	sign.purpose = keys.purpose;
	sign.message = (ProtobufCBinaryData){ 5, (uint8_t *)(uintptr_t)"hello" };
	s = ask(kit, AG_MSG_ROT_SIGN_ASK, &sign, AG_MSG_ROT_SIGN_REPLY)->body;
	assert_string_equal(s->key_id, key_id);
	assert_int_equal(EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestVerify(md, s->signature.data, s->signature.len,
	    sign.message.data, 5), 1);
	sign.purpose = (char *)(uintptr_t)"checkpoint";
	s = ask(kit, AG_MSG_ROT_SIGN_ASK, &sign, AG_MSG_ROT_SIGN_REPLY)->body;
	assert_string_not_equal(s->key_id, key_id);
	sign.purpose = (char *)(uintptr_t)"anything";
	assert_int_equal(ask(kit, AG_MSG_ROT_SIGN_ASK, &sign, 0)->env->status,
	    AG_INVALID_FIELD);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
	ag_kit_free(&kit);
}

/* The fleet's own secret: the same after a restart, and of that purpose only. */
static void
test_gives_the_secret_of_its_purpose(void **state)
{
	char dir[] = "/tmp/aegis-rot-XXXXXX";
	Ag__RotSecretAsk a = AG__ROT_SECRET_ASK__INIT;
	uint8_t first[64], again[64], other[64];
	const Ag__RotSecretReply *r;
	struct ag_kit *kit;

	assert_non_null(mkdtemp(dir));
	a.reply_key = (ProtobufCBinaryData){ sizeof(pk), pk };
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *out = i == 0 ? first : again;

		kit = ag_kit_new(&ag_actor_software, NULL, dir);
		a.purpose = (char *)(uintptr_t)"redaction";
		r = ask_as(kit, AG_ROLE_AUDIT, AG_MSG_ROT_SECRET_ASK, &a,
		    AG_MSG_ROT_SECRET_REPLY)->body;
		assert_int_equal(r->material->box.len, 32 + crypto_box_MACBYTES);
		assert_int_equal(crypto_box_open_easy(out, r->material->box.data,
		    r->material->box.len, r->material->nonce.data,
		    r->material->sender.data, sk), 0);
		a.purpose = (char *)(uintptr_t)"checkpoint";
		assert_int_equal(ask_as(kit, AG_ROLE_AUDIT,
		    AG_MSG_ROT_SECRET_ASK, &a, 0)->env->status, AG_INVALID_FIELD);
		a.purpose = (char *)(uintptr_t)"redaction";
		a.reply_key.len = 31;
		assert_int_equal(ask_as(kit, AG_ROLE_AUDIT,
		    AG_MSG_ROT_SECRET_ASK, &a, 0)->env->status, AG_INVALID_FIELD);
		a.reply_key.len = 32;
		/* Another's is not given out, whichever way round. */
		assert_int_equal(ask_as(kit, AG_ROLE_IAM,
		    AG_MSG_ROT_SECRET_ASK, &a, 0)->env->status, AG_INVALID_FIELD);
		a.purpose = (char *)(uintptr_t)"totp";
		assert_int_equal(ask_as(kit, AG_ROLE_AUDIT,
		    AG_MSG_ROT_SECRET_ASK, &a, 0)->env->status, AG_INVALID_FIELD);
		r = ask_as(kit, AG_ROLE_IAM, AG_MSG_ROT_SECRET_ASK, &a,
		    AG_MSG_ROT_SECRET_REPLY)->body;
		assert_int_equal(crypto_box_open_easy(other, r->material->box.data,
		    r->material->box.len, r->material->nonce.data,
		    r->material->sender.data, sk), 0);
		assert_memory_not_equal(out, other, 32);
		ag_kit_free(&kit);
	}
	assert_memory_equal(first, again, 32);
	remove_dir(dir);
}

/* ------------------------------------------------------------------- rekey */

enum { KEYS = 300 }; /* more than two turns take */

static void
make_keys(struct ag_kit *kit, uint8_t materials[][64])
{
	for (uint32_t i = 0; i < KEYS; i++) {
		generate(kit, KEY_A, i + 1, AG__KEY_SPEC__V__AES_256);
		assert_int_equal(load(kit, KEY_A, i + 1, materials[i]), 32);
	}
}

static void
same_keys(struct ag_kit *kit, uint8_t materials[][64])
{
	uint8_t got[64];

	for (uint32_t i = 0; i < KEYS; i++) {
		assert_int_equal(load(kit, KEY_A, i + 1, got), 32);
		assert_memory_equal(got, materials[i], 32);
	}
}

/* Runs it to its end; false: it said something else than "running". */
static bool
run_rekey(struct ag_kit *kit, const char *word, unsigned turns_max)
{
	ag_kit_tell(kit, word);
	while (turns_max-- > 0 && strncmp(ag_kit_said(kit), "rekey running", 13) == 0)
		ag_kit_advance(kit, 1);
	return strncmp(ag_kit_said(kit), "rekey done", 10) == 0;
}

static bool
rekey_event(struct ag_kit *kit, char event_id[64])
{
	const struct ag_kit_sent *sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
	const Ag__OutcomeEvent *o;

	if (sent == NULL)
		return false;
	o = sent->body;
	assert_string_equal(o->operation, "rot.rekey");
	assert_true(ag_id_valid(o->event_id, "evt"));
	strcpy(event_id, o->event_id);
	return true;
}

static void
test_rekey(void **state)
{
	static uint8_t materials[KEYS][64];
	uint8_t master[64], slots[64], now[64];
	char dir[64], event_id[64];
	struct ag_kit *kit;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	make_keys(kit, materials);
	while (ag_kit_next(kit) != NULL)
		;
	assert_int_equal(read_file(path_in(dir, "rot/master.key"), master, 64), 32);
	assert_int_equal(read_file(path_in(dir, "rot/wrapping.keys"), slots, 64), 64);
	assert_true(run_rekey(kit, "rekey start", 100));
	assert_true(rekey_event(kit, event_id));
	assert_int_equal(read_file(path_in(dir, "rot/master.key"), now, 64), 32);
	assert_memory_not_equal(master, now, 32);
	assert_int_equal(access(path_in(dir, "rot/master.key.next"), F_OK), -1);
	assert_int_equal(access(path_in(dir, "rot/master.key.old"), F_OK), -1);
	assert_int_equal(access(path_in(dir, "rot/wrapping.keys.next"), F_OK), -1);
	assert_int_equal(access(path_in(dir, "rot/wrapping.keys.old"), F_OK), -1);
	same_keys(kit, materials);
	generate(kit, KEY_B, 1, AG__KEY_SPEC__V__AES_256);
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	same_keys(kit, materials);
	assert_false(rekey_event(kit, event_id)); /* once is enough */
	/* There is nothing to resume, and another is another. */
	assert_false(run_rekey(kit, "rekey resume", 100));
	assert_string_equal(ag_kit_said(kit), "rekey refused none");
	assert_true(run_rekey(kit, "rekey start", 100));
	same_keys(kit, materials);
	ag_kit_free(&kit);
	remove_dir(dir);
}

/* Made, destroyed, and a slot used again, all while it runs. */
static void
test_rekey_among_changes(void **state)
{
	static uint8_t materials[KEYS][64];
	uint8_t fresh[64], got[64];
	char dir[64];
	struct ag_kit *kit;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	make_keys(kit, materials);
	ag_kit_tell(kit, "rekey start");
	ag_kit_advance(kit, 1); /* the first are carried, the last are not */
	ag_kit_tell(kit, "rekey start");
	assert_string_equal(ag_kit_said(kit), "rekey refused busy");
	assert_int_equal(destroy(kit, KEY_A, 1)->type, AG_MSG_DONE_REPLY);
	assert_int_equal(destroy(kit, KEY_A, KEYS)->type, AG_MSG_DONE_REPLY);
	generate(kit, KEY_B, 1, AG__KEY_SPEC__V__AES_256);
	assert_int_equal(load(kit, KEY_B, 1, fresh), 32);
	for (int i = 0; i < 100 && strncmp(ag_kit_said(kit), "rekey done", 10) != 0; i++)
		ag_kit_advance(kit, 1);
	assert_string_equal(ag_kit_said(kit), "rekey done 301");
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	assert_int_equal(load(kit, KEY_B, 1, got), 32);
	assert_memory_equal(fresh, got, 32);
	assert_int_equal(ask_load(kit, "default", KEY_A, 1)->env->status, AG_ITEM_NOT_FOUND);
	assert_int_equal(ask_load(kit, "default", KEY_A, KEYS)->env->status,
	    AG_ITEM_NOT_FOUND);
	assert_int_equal(load(kit, KEY_A, 2, got), 32);
	assert_memory_equal(got, materials[1], 32);
	ag_kit_free(&kit);
	remove_dir(dir);
}

static char saved[64];

/* The state as a kill -9 leaves it: a copy of the files at that instant. */
static void
save(const char *dir)
{
	char command[256];

	strcpy(saved, "/tmp/aegis-rot-saved-XXXXXX");
	assert_non_null(mkdtemp(saved));
	snprintf(command, sizeof(command), "cp -a '%s/.' '%s'", dir, saved);
	assert_int_equal(system(command), 0);
}

/* After every turn: the files are copied, and the copy starts, serves all keys,
 * is resumed, and serves them again. */
static void
test_rekey_dies_after_each_turn(void **state)
{
	static uint8_t materials[KEYS][64];
	char dir[64];
	struct ag_kit *kit, *other;
	bool done = false;
	unsigned deaths = 0;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	make_keys(kit, materials);
	ag_kit_tell(kit, "rekey start");
	while (!done) {
		done = strncmp(ag_kit_said(kit), "rekey done", 10) == 0;
		save(dir);
		other = ag_kit_new(&ag_actor_software, NULL, saved);
		same_keys(other, materials);
		/* Changes before somebody resumes it go to the old file only. */
		assert_int_equal(destroy(other, KEY_A, KEYS)->type, AG_MSG_DONE_REPLY);
		generate(other, KEY_B, 1, AG__KEY_SPEC__V__AES_256);
		assert_false(!done && run_rekey(other, "rekey start", 100));
		assert_int_equal(run_rekey(other, "rekey resume", 100), !done);
		generate(other, KEY_A, KEYS, AG__KEY_SPEC__V__AES_256);
		assert_int_equal(load(other, KEY_A, KEYS, materials[KEYS - 1]), 32);
		ag_kit_free(&other);
		other = ag_kit_new(&ag_actor_software, NULL, saved);
		same_keys(other, materials);
		ag_kit_free(&other);
		remove_dir(saved);
		assert_int_equal(load(kit, KEY_A, KEYS, materials[KEYS - 1]), 32);
		deaths++;
		ag_kit_advance(kit, 1);
	}
	assert_in_range(deaths, 5, 20);
	ag_kit_free(&kit);
	remove_dir(dir);
}

/* The first byte of the slot of KEY_A's version 1: is there a key in it? */
static int
first_slot(const char *dir, const char *file)
{
	uint8_t slots[4 * 64];

	assert_int_equal(read_file(path_in(dir, file), slots, sizeof(slots)),
	    sizeof(slots));
	return slots[3 * 64];
}

/* Found by reading: what a rekey that did not end had carried over stayed there,
 * whatever was destroyed since, and a resume made it live again. */
static void
test_destroyed_after_half_a_rekey(void **state)
{
	static uint8_t materials[KEYS][64];
	char dir[64], command[512];
	struct ag_kit *kit;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	make_keys(kit, materials);
	ag_kit_tell(kit, "rekey start");
	ag_kit_advance(kit, 1); /* the first are carried */
	save(dir);
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_software, NULL, saved);
	assert_int_equal(first_slot(saved, "rot/wrapping.keys.next"), 1);
	assert_int_equal(destroy(kit, KEY_A, 1)->type, AG_MSG_DONE_REPLY);
	assert_int_equal(first_slot(saved, "rot/wrapping.keys.next"), 0);
	assert_int_equal(first_slot(saved, "rot/wrapping.keys"), 0);
	ag_kit_free(&kit);
	/* Left by an older Aegis, which erased it in one of the files. */
	snprintf(command, sizeof(command),
	    "cp '%s/rot/wrapping.keys.next' '%s/rot/wrapping.keys.next'", dir, saved);
	assert_int_equal(system(command), 0);
	kit = ag_kit_new(&ag_actor_software, NULL, saved);
	assert_int_equal(first_slot(saved, "rot/wrapping.keys.next"), 0);
	assert_int_equal(system(command), 0); /* or while it runs */
	assert_true(run_rekey(kit, "rekey resume", 100));
	assert_int_equal(first_slot(saved, "rot/wrapping.keys"), 0);
	assert_int_equal(load(kit, KEY_A, 2, materials[0]), 32);
	assert_memory_equal(materials[0], materials[1], 32);
	ag_kit_free(&kit);
	remove_dir(saved);
	remove_dir(dir);
}

/* The instants between the renames, which no turn lies between. */
static void
test_rekey_dies_between_the_renames(void **state)
{
	static uint8_t materials[KEYS][64];
	char dir[64], half[64], event_id[64], command[512];
	struct ag_kit *kit;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	make_keys(kit, materials);
	ag_kit_tell(kit, "rekey start");
	save(dir);
	while (strncmp(ag_kit_said(kit), "rekey done", 10) != 0) {
		remove_dir(saved);
		save(dir); /* the last of these has the whole next file */
		ag_kit_advance(kit, 1);
	}
	strcpy(half, saved);
	ag_kit_free(&kit);
	/* After the second name was made, before the rename. */
	snprintf(command, sizeof(command), "cd '%s/rot' && ln wrapping.keys wrapping.keys.old",
	    half);
	assert_int_equal(system(command), 0);
	kit = ag_kit_new(&ag_actor_software, NULL, half);
	same_keys(kit, materials);
	ag_kit_free(&kit);
	assert_int_equal(access(path_in(half, "rot/wrapping.keys.old"), F_OK), -1);
	/* After the slots' rename, before the key's. */
	snprintf(command, sizeof(command), "cd '%s/rot' && ln wrapping.keys wrapping.keys.old && "
	    "mv wrapping.keys.next wrapping.keys && ln master.key master.key.old", half);
	assert_int_equal(system(command), 0);
	kit = ag_kit_new(&ag_actor_software, NULL, half);
	assert_true(rekey_event(kit, event_id)); /* nobody had said it */
	same_keys(kit, materials);
	assert_int_equal(access(path_in(half, "rot/wrapping.keys.old"), F_OK), -1);
	assert_int_equal(access(path_in(half, "rot/master.key.old"), F_OK), -1);
	assert_int_equal(access(path_in(half, "rot/master.key.next"), F_OK), -1);
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_software, NULL, half);
	same_keys(kit, materials);
	ag_kit_free(&kit);
	remove_dir(half);
	remove_dir(dir);
}

/* A wrapping key that does not open: nothing is switched. */
static void
test_rekey_of_a_damaged_slot(void **state)
{
	uint8_t master[64], now[64];
	char dir[64];
	struct ag_kit *kit;
	int fd;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	generate(kit, KEY_A, 1, AG__KEY_SPEC__V__AES_256);
	generate(kit, KEY_B, 1, AG__KEY_SPEC__V__AES_256);
	read_file(path_in(dir, "rot/master.key"), master, 64);
	fd = open(path_in(dir, "rot/wrapping.keys"), O_RDWR);
	assert_int_equal(pwrite(fd, "bent", 4, 4 * 64 + 20), 4);
	close(fd);
	assert_false(run_rekey(kit, "rekey start", 100));
	assert_string_equal(ag_kit_said(kit), "rekey failed");
	read_file(path_in(dir, "rot/master.key"), now, 64);
	assert_memory_equal(master, now, 32);
	/* What had been carried over goes with what is destroyed. */
	assert_int_equal(first_slot(dir, "rot/wrapping.keys.next"), 1);
	assert_int_equal(destroy(kit, KEY_A, 1)->type, AG_MSG_DONE_REPLY);
	assert_int_equal(first_slot(dir, "rot/wrapping.keys.next"), 0);
	ag_kit_tell(kit, "something else"); /* hostile: a word that nobody knows */
	ag_kit_free(&kit);
	remove_dir(dir);
}

static Ag__RotShredReply
shred(struct ag_kit *kit, const char *tenant, unsigned max)
{
	Ag__RotShredAsk a = AG__ROT_SHRED_ASK__INIT;
	const struct ag_kit_sent *sent;

	a.tenant = (char *)(uintptr_t)tenant;
	a.max = max;
	sent = ask(kit, AG_MSG_ROT_SHRED_ASK, &a, 0);
	assert_int_equal(sent->type, AG_MSG_ROT_SHRED_REPLY);
	return *(const Ag__RotShredReply *)sent->body;
}

static unsigned
slots_used(const char *dir)
{
	uint8_t slots[8192];
	size_t n = read_file(path_in(dir, "rot/wrapping.keys"), slots, sizeof(slots));
	unsigned used = 0;

	for (size_t i = 64; i + 64 <= n; i += 64)
		used += slots[i] != 0;
	return used;
}

/* From the first ask on nothing opens; a crash in between loses nothing of it. */
static void
test_a_tenant_is_shredded(void **state)
{
	char dir[64];
	struct ag_kit *kit;
	Ag__RotShredReply r;
	Ag__RotShredAsk bad = AG__ROT_SHRED_ASK__INIT;
	unsigned house;
	Ag__RotGenerateAsk a = AG__ROT_GENERATE_ASK__INIT;

	strcpy(dir, new_dir());
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	house = slots_used(dir);
	for (uint32_t i = 1; i <= 5; i++)
		generate(kit, KEY_A, i, AG__KEY_SPEC__V__AES_256);
	assert_int_equal(slots_used(dir), house + 5);
	r = shred(kit, "defaul", 64); /* the beginning of a name is another name */
	assert_int_equal(r.erased + r.left, 0);
	assert_int_equal(ask_load(kit, "default", KEY_A, 1)->type, AG_MSG_ROT_LOAD_REPLY);
	r = shred(kit, "default", 2);
	assert_int_equal(r.erased, 2);
	assert_int_equal(r.left, 3);
	for (uint32_t i = 1; i <= 5; i++)
		assert_int_equal(ask_load(kit, "default", KEY_A, i)->env->status,
		    AG_ITEM_NOT_FOUND);
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_software, NULL, dir);
	assert_int_equal(ask_load(kit, "default", KEY_A, 5)->env->status, AG_ITEM_NOT_FOUND);
	r = shred(kit, "default", 64);
	assert_int_equal(r.erased, 5);
	assert_int_equal(r.left, 0);
	assert_int_equal(slots_used(dir), house);
	r = shred(kit, "default", 64);
	assert_int_equal(r.erased, 5);
	/* Nor is anything made for it again. */
	a.tenant = (char *)(uintptr_t)"default";
	a.key_id = (char *)(uintptr_t)KEY_A;
	a.version = 9;
	a.key_spec = AG__KEY_SPEC__V__AES_256;
	assert_int_equal(ask(kit, AG_MSG_ROT_GENERATE_ASK, &a, 0)->env->status,
	    AG_ITEM_NOT_FOUND);
	bad.tenant = (char *)(uintptr_t)"system";
	bad.max = 1;
	assert_int_equal(ask(kit, AG_MSG_ROT_SHRED_ASK, &bad, 0)->env->status,
	    AG_INVALID_FIELD);
	ag_kit_free(&kit);
	remove_dir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_generates_every_spec),
		cmocka_unit_test(test_generate_is_idempotent),
		cmocka_unit_test(test_refuses_what_is_no_key),
		cmocka_unit_test(test_hostile_lengths),
		cmocka_unit_test(test_keys_survive_a_restart),
		cmocka_unit_test(test_destroy_erases_the_slot),
		cmocka_unit_test(test_nothing_plain_on_disk),
		cmocka_unit_test(test_sweeps_what_a_crash_left),
		cmocka_unit_test(test_swapped_slots_do_not_open),
		cmocka_unit_test(test_start_conditions),
		cmocka_unit_test(test_master_key_elsewhere),
		cmocka_unit_test(test_master_key_locked),
		cmocka_unit_test(test_master_key_half_made),
		cmocka_unit_test(test_signs_for_its_purposes),
		cmocka_unit_test(test_issuer_key_is_replaced),
		cmocka_unit_test(test_issuer_key_stays),
		cmocka_unit_test(test_issuer_keys_are_bounded),
		cmocka_unit_test(test_checkpoint_key_is_replaced),
		cmocka_unit_test(test_rekey),
		cmocka_unit_test(test_rekey_among_changes),
		cmocka_unit_test(test_rekey_dies_after_each_turn),
		cmocka_unit_test(test_destroyed_after_half_a_rekey),
		cmocka_unit_test(test_rekey_dies_between_the_renames),
		cmocka_unit_test(test_rekey_of_a_damaged_slot),
		cmocka_unit_test(test_gives_the_secret_of_its_purpose),
		cmocka_unit_test(test_a_tenant_is_shredded),
	};

	if (ag_secret_init() != AG_OK)
		return 1;
	crypto_box_keypair(pk, sk);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
