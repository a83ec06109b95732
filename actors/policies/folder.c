/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of policies is read: bounded, and nothing outside of it. */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAY(problem, ...) \
	(void)snprintf((problem), FOLDER_PROBLEM, __VA_ARGS__)

static bool
ends(const char *name, size_t len, const char *ending)
{
	size_t n = strlen(ending);

	return len > n && memcmp(name + len - n, ending, n) == 0;
}

/* The length of the document's name in a file's; 0: it is none of ours. */
static size_t
stem(const char *file, bool *signature)
{
	size_t len = strlen(file);

	*signature = ends(file, len, FOLDER_ENDING FOLDER_SIGNATURE);
	if (*signature)
		len -= strlen(FOLDER_SIGNATURE);
	return ends(file, len, FOLDER_ENDING) ? len - strlen(FOLDER_ENDING) : 0;
}

/* ------------------------------------------------------------------- print */

/* What an entry looks like from outside. */
struct look {
	uint64_t inode, size, changed_s, changed_ns, mode;
	uint8_t name[32];
};

static int
by_look(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct look));
}

static bool
add_look(int dir, const char *name, struct look *looks, size_t *count)
{
	struct look *look = &looks[*count];
	struct stat st;
	bool signature;

	if (stem(name, &signature) == 0)
		return true;
	if (*count == 2 * AG_RULES_DOCS_MAX)
		return false;
	memset(look, 0, sizeof(*look));
	ag_sha256(name, strlen(name), look->name);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		look->inode = (uint64_t)st.st_ino;
		look->size = (uint64_t)st.st_size;
		look->changed_s = (uint64_t)st.st_mtim.tv_sec;
		look->changed_ns = (uint64_t)st.st_mtim.tv_nsec;
		look->mode = st.st_mode;
	}
	(*count)++;
	return true;
}

/* Calls visit with each name, until it says false; false: too many, or visit
 * said so, or it cannot be read. */
static bool
each(const char *path, bool (*visit)(int dir, const char *name, void *arg),
    void *arg, char problem[FOLDER_PROBLEM])
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t count = 0;
	bool good = dir != NULL;

	if (dir == NULL)
		SAY(problem, "%s: %s", path, strerror(errno));
	while (good && (entry = readdir(dir)) != NULL) {
		if (++count > FOLDER_ENTRIES_MAX) {
			SAY(problem, "%s: more than %d files", path,
			    FOLDER_ENTRIES_MAX);
			good = false;
		} else {
			good = visit(dirfd(dir), entry->d_name, arg);
		}
	}
	if (dir != NULL)
		(void)closedir(dir);
	return good;
}

struct looking {
	struct look looks[2 * AG_RULES_DOCS_MAX];
	size_t count;
};

static bool
look_at(int dir, const char *name, void *arg)
{
	struct looking *l = arg;

	return add_look(dir, name, l->looks, &l->count);
}

bool
folder_print(const char *path, uint8_t out[32], char problem[FOLDER_PROBLEM])
{
	struct looking l = { .count = 0 };

	SAY(problem, "%s: more than %d documents", path, AG_RULES_DOCS_MAX);
	if (!each(path, look_at, &l, problem))
		return false;
	problem[0] = '\0';
	qsort(l.looks, l.count, sizeof(l.looks[0]), by_look);
	ag_sha256(l.looks, l.count * sizeof(l.looks[0]), out);
	return true;
}

/* -------------------------------------------------------------------- read */

static struct folder_doc *
doc_named(struct folder *folder, const char *name)
{
	size_t i = 0;

	while (i < folder->count && strcmp(folder->docs[i].name, name) < 0)
		i++;
	if (i < folder->count && strcmp(folder->docs[i].name, name) == 0)
		return &folder->docs[i];
	if (folder->count == AG_RULES_DOCS_MAX)
		return NULL;
	memmove(&folder->docs[i + 1], &folder->docs[i],
	    (folder->count - i) * sizeof(folder->docs[0]));
	folder->count++;
	memset(&folder->docs[i], 0, sizeof(folder->docs[i]));
	snprintf(folder->docs[i].name, sizeof(folder->docs[i].name), "%s", name);
	return &folder->docs[i];
}

/* A file's bytes with a NUL behind them; NULL, and why in errno. */
static char *
slurp(int dir, const char *name, size_t max, size_t *len)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
	    O_NOCTTY);
	char *text = NULL;
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return NULL;
	*len = 0;
	errno = 0;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		errno = EINVAL;
	else if ((text = malloc(max + 2)) != NULL)
		while (*len <= max &&
		    (n = read(fd, text + *len, max + 1 - *len)) > 0)
			*len += (size_t)n;
	if (text != NULL && (n < 0 || *len > max)) {
		errno = n < 0 ? errno : EFBIG;
		free(text);
		text = NULL;
	}
	if (text != NULL)
		text[*len] = '\0';
	(void)close(fd);
	return text;
}

static const char *
why_not(int error)
{
	return error == ELOOP ? "a link; only files of this folder are read" :
	    error == EINVAL ? "not a file" :
	    error == EFBIG ? "too long" : strerror(error);
}

struct reading {
	struct folder *folder;
	const char *path;
	char *problem;
};

static bool
take_text(struct reading *r, int dir, const char *file, struct folder_doc *doc)
{
	doc->text = slurp(dir, file, AG_RULES_TEXT_MAX, &doc->len);
	if (doc->text == NULL) {
		SAY(r->problem, "%s: %s", file, why_not(errno));
		return false;
	}
	if (strlen(doc->text) != doc->len) {
		SAY(r->problem, "%s: a NUL in it", file);
		return false;
	}
	r->folder->bytes += doc->len;
	if (r->folder->bytes <= AG_RULES_TENANT_BYTES_MAX)
		return true;
	SAY(r->problem, "%s: more than %d bytes in all", r->path,
	    AG_RULES_TENANT_BYTES_MAX);
	return false;
}

static bool
take_signature(struct reading *r, int dir, const char *file,
    struct folder_doc *doc)
{
	size_t len;

	doc->signature = slurp(dir, file, AG_SIGNED_TEXT_SIZE, &len);
	if (doc->signature == NULL) {
		SAY(r->problem, "%s: %s", file, why_not(errno));
		return false;
	}
	doc->signature[strcspn(doc->signature, "\r\n")] = '\0';
	return true;
}

static bool
take(int dir, const char *file, void *arg)
{
	struct reading *r = arg;
	struct folder_doc *doc;
	char name[AG_NAME_MAX + 1];
	bool signature;
	size_t len = stem(file, &signature);

	if (len == 0)
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)len, file);
	if (len > AG_NAME_MAX || !ag_name_valid(name)) {
		SAY(r->problem, "%.80s: a document's name is "
		    "[a-z0-9][a-z0-9._-]{0,62}", file);
		return false;
	}
	if ((doc = doc_named(r->folder, name)) == NULL) {
		SAY(r->problem, "%s: more than %d documents", r->path,
		    AG_RULES_DOCS_MAX);
		return false;
	}
	return signature ? take_signature(r, dir, file, doc) :
	    take_text(r, dir, file, doc);
}

struct folder *
folder_read(const char *path, char problem[FOLDER_PROBLEM])
{
	struct folder *folder = calloc(1, sizeof(*folder));
	struct reading r = { folder, path, problem };

	problem[0] = '\0';
	if (folder == NULL)
		SAY(problem, "%s: no memory", path);
	else if (!each(path, take, &r, problem))
		folder_free(&folder);
	if (folder != NULL && folder->count == 0) {
		/* Like a disk that is not mounted: nothing is to end by that. */
		SAY(problem, "%s: no <name>" FOLDER_ENDING " in it", path);
		folder_free(&folder);
	}
	return folder;
}

void
folder_free(struct folder **folder)
{
	struct folder *f = *folder;

	*folder = NULL;
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->count; i++) {
		free(f->docs[i].text);
		free(f->docs[i].signature);
	}
	free(f);
}
