/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master key's file (include/aegis/master.h says what is in it): read,
 * written whole or not at all, locked with a passphrase or not.
 */
#include "engine.h"

#include <aegis/master.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MAGIC_BYTES = 8,
	SALT_BYTES = crypto_pwhash_SALTBYTES,
	NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
	TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
	HEAD_BYTES = MAGIC_BYTES + AG_MASTER_KDF_BYTES,
	LOCKED_BYTES = HEAD_BYTES + NONCE_BYTES + AG_MASTER_BYTES + TAG_BYTES,
	KDF_ARGON2ID = 1,
	PASSES = 3,
	KIB = 256 * 1024,
	/* What a file may ask for: less is no lock, more is an attack on us. */
	PASSES_MIN = 1, PASSES_MAX = 16,
	KIB_MIN = 8 * 1024, KIB_MAX = 1024 * 1024,
	PATH_BYTES = 4096 + 16,
};

_Static_assert(AG_MASTER_KDF_BYTES == 1 + 4 + 4 + SALT_BYTES, "kdf");
_Static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == AG_MASTER_BYTES, "key");

static const uint8_t magic[MAGIC_BYTES] = "AEGISMK1";

static void
put_be32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t
get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ------------------------------------------------------------ passphrases */

void
ag_master_kdf_new(uint8_t kdf[AG_MASTER_KDF_BYTES])
{
	kdf[0] = KDF_ARGON2ID;
	put_be32(kdf + 1, PASSES);
	put_be32(kdf + 5, KIB);
	randombytes_buf(kdf + 9, SALT_BYTES);
}

ag_err
ag_master_lock_open(struct ag_master_lock *lock, struct ag_secret *passphrase)
{
	uint32_t passes = get_be32(lock->kdf + 1), kib = get_be32(lock->kdf + 5);
	ag_err err;

	if (lock->kdf[0] != KDF_ARGON2ID || passes < PASSES_MIN ||
	    passes > PASSES_MAX || kib < KIB_MIN || kib > KIB_MAX)
		return AG_CORRUPT;
	ag_secret_free(&lock->key);
	if ((err = ag_secret_new(AG_MASTER_BYTES, &lock->key)) != AG_OK)
		return err;
	if (crypto_pwhash(ag_secret_bytes(lock->key), AG_MASTER_BYTES,
	    (const char *)ag_secret_bytes(passphrase), ag_secret_len(passphrase),
	    lock->kdf + 9, passes, (size_t)kib * 1024, crypto_pwhash_ALG_ARGON2ID13) == 0)
		return AG_OK;
	ag_secret_free(&lock->key);
	return AG_NO_MEMORY;
}

void
ag_master_lock_free(struct ag_master_lock *lock)
{
	ag_secret_free(&lock->key);
}

/* ---------------------------------------------------------------- reading */

/* Root also reads what is the root of trust's alone: its file, in a folder of its
 * own (process.uid_base). */
static bool
is_ours(const char *path, const struct stat *file)
{
	char folder[PATH_MAX];
	struct stat st;
	char *slash;

	if (file->st_uid == geteuid())
		return true;
	if (geteuid() != 0 ||
	    snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder) ||
	    (slash = strrchr(folder, '/')) == NULL || slash == folder)
		return false;
	*slash = '\0';
	return stat(folder, &st) == 0 && st.st_uid == file->st_uid &&
	    (st.st_mode & 07777) == 0700;
}

/* The file's bytes: AG_MASTER_BYTES or LOCKED_BYTES of them. */
static ag_err
read_file(const char *path, uint8_t bytes[LOCKED_BYTES], size_t *len, const char **why)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return AG_ITEM_NOT_FOUND;
	*why = NULL;
	if (fd < 0)
		*why = strerror(errno);
	else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		*why = "it is no regular file";
	else if ((st.st_mode & 077) != 0 || !is_ours(path, &st))
		*why = "only its owner, who is us, may have any right on it: chmod 600";
	else if (st.st_size != AG_MASTER_BYTES && st.st_size != LOCKED_BYTES)
		*why = "it is not 32 bytes long, nor one under a passphrase";
	else if ((n = read(fd, bytes, LOCKED_BYTES)) != st.st_size)
		*why = "it cannot be read";
	else if (n == LOCKED_BYTES && memcmp(bytes, magic, MAGIC_BYTES) != 0)
		*why = "it is no master key";
	else
		*len = (size_t)n;
	if (fd >= 0)
		close(fd);
	return *why == NULL ? AG_OK : AG_USAGE;
}

ag_err
ag_master_look(const char *path, bool *locked, uint8_t kdf[AG_MASTER_KDF_BYTES],
    const char **why)
{
	uint8_t bytes[LOCKED_BYTES];
	size_t len = 0;
	ag_err err = read_file(path, bytes, &len, why);

	if (err == AG_OK) {
		*locked = len == LOCKED_BYTES;
		if (*locked)
			memcpy(kdf, bytes + MAGIC_BYTES, AG_MASTER_KDF_BYTES);
	}
	ag_wipe(bytes, sizeof(bytes));
	return err;
}

static ag_err
unlock(const uint8_t bytes[LOCKED_BYTES], const struct ag_master_lock *lock,
    struct ag_secret *out)
{
	const uint8_t *nonce = bytes + HEAD_BYTES;

	if (lock == NULL || lock->key == NULL ||
	    memcmp(lock->kdf, bytes + MAGIC_BYTES, AG_MASTER_KDF_BYTES) != 0 ||
	    crypto_aead_xchacha20poly1305_ietf_decrypt(ag_secret_bytes(out), NULL, NULL,
	        nonce + NONCE_BYTES, AG_MASTER_BYTES + TAG_BYTES, bytes, HEAD_BYTES,
	        nonce, ag_secret_bytes(lock->key)) != 0)
		return AG_UNAUTHENTICATED;
	return AG_OK;
}

ag_err
ag_master_read(const char *path, const struct ag_master_lock *lock,
    struct ag_secret **out, const char **why)
{
	uint8_t bytes[LOCKED_BYTES];
	size_t len = 0;
	ag_err err;

	*out = NULL;
	*why = NULL;
	if ((err = read_file(path, bytes, &len, why)) != AG_OK ||
	    (err = ag_secret_new(AG_MASTER_BYTES, out)) != AG_OK)
		goto out;
	if (len == LOCKED_BYTES)
		err = unlock(bytes, lock, *out);
	else
		memcpy(ag_secret_bytes(*out), bytes, AG_MASTER_BYTES);
	if (err != AG_OK) {
		*why = "it is under a passphrase, and this is not the one";
		ag_secret_free(out);
	}
out:
	ag_wipe(bytes, sizeof(bytes));
	return err;
}

/* ---------------------------------------------------------------- writing */

ag_err
ag_dir_sync(const char *path)
{
	char dir[PATH_BYTES];
	char *slash;
	int fd, rc;

	if (snprintf(dir, sizeof(dir), "%s", path) >= (int)sizeof(dir))
		return AG_IO;
	if ((slash = strrchr(dir, '/')) == NULL)
		strcpy(dir, ".");
	else
		slash[slash == dir] = '\0'; /* "/file" is in "/" */
	if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return AG_IO;
	rc = fsync(fd);
	close(fd);
	return rc == 0 ? AG_OK : AG_IO;
}

ag_err
ag_file_erase(const char *path)
{
	static const uint8_t zeros[4096];
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	bool ok;

	if (fd < 0)
		return errno == ENOENT ? AG_OK : AG_IO;
	ok = fstat(fd, &st) == 0;
	for (off_t at = 0; ok && at < st.st_size; at += (off_t)sizeof(zeros)) {
		off_t left = st.st_size - at;
		size_t n = left < (off_t)sizeof(zeros) ? (size_t)left : sizeof(zeros);

		ok = pwrite(fd, zeros, n, at) == (ssize_t)n;
	}
	ok = ok && fdatasync(fd) == 0;
	ok = close(fd) == 0 && ok;
	return ok && unlink(path) == 0 ? ag_dir_sync(path) : AG_IO;
}

static size_t
image(const struct ag_master_lock *lock, struct ag_secret *master,
    uint8_t bytes[LOCKED_BYTES])
{
	uint8_t *nonce = bytes + HEAD_BYTES;

	if (lock == NULL || lock->key == NULL) {
		memcpy(bytes, ag_secret_bytes(master), AG_MASTER_BYTES);
		return AG_MASTER_BYTES;
	}
	memcpy(bytes, magic, MAGIC_BYTES);
	memcpy(bytes + MAGIC_BYTES, lock->kdf, AG_MASTER_KDF_BYTES);
	randombytes_buf(nonce, NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + NONCE_BYTES, NULL,
	    ag_secret_bytes(master), AG_MASTER_BYTES, bytes, HEAD_BYTES, NULL, nonce,
	    ag_secret_bytes(lock->key));
	return LOCKED_BYTES;
}

static ag_err
put_new(const char *made, const struct ag_master_lock *lock, struct ag_secret *master)
{
	uint8_t bytes[LOCKED_BYTES];
	size_t len = image(lock, master, bytes);
	bool ok;
	int fd;

	unlink(made); /* of one that did not get further */
	fd = open(made, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ok = fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, bytes, len) == (ssize_t)len &&
	    fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	ag_wipe(bytes, sizeof(bytes));
	return ok ? AG_OK : AG_IO;
}

/* A key file cut short by a crash could not be told from a damaged one, and
 * would be refused for ever: so it gets its name when it is whole. */
ag_err
ag_master_write(const char *path, const struct ag_master_lock *lock,
    struct ag_secret *master)
{
	char made[PATH_BYTES];
	bool ok;
	int saved;

	if (snprintf(made, sizeof(made), "%s.new", path) >= (int)sizeof(made))
		return AG_IO;
	ok = put_new(made, lock, master) == AG_OK && link(made, path) == 0;
	saved = errno;
	unlink(made);
	errno = saved;
	return ok ? ag_dir_sync(path) : AG_IO;
}

/* The second name of what is being replaced, or false: too long. */
static bool
old_name(const char *path, char old[PATH_BYTES])
{
	return snprintf(old, PATH_BYTES, "%s.old", path) < PATH_BYTES;
}

ag_err
ag_file_forget(const char *path)
{
	char old[PATH_BYTES];
	struct stat a, b;

	if (!old_name(path, old))
		return AG_IO;
	if (lstat(old, &b) != 0)
		return errno == ENOENT ? AG_OK : AG_IO;
	if (lstat(path, &a) != 0)
		return AG_IO;
	if (a.st_ino == b.st_ino && a.st_dev == b.st_dev)
		return unlink(old) == 0 ? AG_OK : AG_IO;
	return ag_file_erase(old);
}

ag_err
ag_file_supersede(const char *made, const char *path)
{
	char old[PATH_BYTES];

	/* A second name keeps the old bytes in reach until they are overwritten. */
	if (!old_name(path, old) || ag_file_forget(path) != AG_OK ||
	    link(path, old) != 0 || rename(made, path) != 0 ||
	    ag_dir_sync(path) != AG_OK)
		return AG_IO;
	if (ag_file_erase(old) != AG_OK)
		ag_log_plain(AG_WARN, "OLD-NOT-ERASED", "file=%s", old);
	return AG_OK;
}

ag_err
ag_master_replace(const char *path, const struct ag_master_lock *lock,
    struct ag_secret *master)
{
	char made[PATH_BYTES];

	if (snprintf(made, sizeof(made), "%s.new", path) >= (int)sizeof(made))
		return AG_IO;
	if (put_new(made, lock, master) == AG_OK && ag_file_supersede(made, path) == AG_OK)
		return AG_OK;
	unlink(made);
	return AG_IO;
}

/* --------------------------------------------------------------- deriving */

ag_err
ag_master_derive(struct ag_secret *master, const char *label, const uint8_t *salt,
    size_t salt_len, uint8_t *out, size_t out_len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
		    (char *)(uintptr_t)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
		    ag_secret_bytes(master), ag_secret_len(master)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO,
		    (char *)(uintptr_t)label, strlen(label)),
		salt_len == 0 ? OSSL_PARAM_construct_end() : /* no salt is no parameter */
		    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT,
		    (uint8_t *)(uintptr_t)salt, salt_len),
		OSSL_PARAM_construct_end(),
	};
	bool ok = ctx != NULL && EVP_KDF_derive(ctx, out, out_len, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? AG_OK : AG_GENERAL_FAILURE;
}
