/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's counters in a file that it maps. The file is made under another
 * name and renamed, so a reader sees the old block or the new, never half.
 */
#include "engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char magic[8] = "AGMETR2";

static const char others[] = "other";

enum {
	BEAT_MS_MAX = 2000,
	BLOCKS_MAX = 1024, /* read at once: more than any fleet has */
};

/* strncpy that always ends, over memory that is zero. */
static void
put_text(char *out, size_t size, const char *text)
{
	memcpy(out, text, strnlen(text, size - 1));
}

static ag_err
map_new(const char *path, struct ag_metrics_block **out)
{
	/* For the group, too, where processes have uids of their own: planes
	 * show everybody's. The umask takes it away where they have not. */
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
	    0640);
	void *p = MAP_FAILED;

	if (fd < 0)
		return AG_IO;
	/* Allocated now: a full disk must be an error here, not a SIGBUS later. */
	if (posix_fallocate(fd, 0, sizeof(**out)) == 0)
		p = mmap(NULL, sizeof(**out), PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, 0);
	close(fd);
	if (p == MAP_FAILED) {
		unlink(path);
		return AG_IO;
	}
	*out = p;
	return AG_OK;
}

ag_err
ag_metrics_create(const char *run_dir, const char *name, const char *role,
    struct ag_metrics_block **out)
{
	char path[4096], fresh[4096];
	struct ag_metrics_block *block;
	struct timespec now;
	ag_err err;

	*out = NULL;
	if (snprintf(path, sizeof(path), "%s/metrics", run_dir) >=
	    (int)sizeof(path))
		return AG_IO;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return AG_IO;
	if (snprintf(path, sizeof(path), "%s/metrics/%s", run_dir, name) >=
	    (int)sizeof(path) ||
	    snprintf(fresh, sizeof(fresh), "%s/metrics/.%s", run_dir, name) >=
	    (int)sizeof(fresh))
		return AG_IO;
	if ((err = map_new(fresh, &block)) != AG_OK)
		return err;
	memset(block, 0, sizeof(*block));
	memcpy(block->magic, magic, sizeof(magic));
	put_text(block->name, sizeof(block->name), name);
	put_text(block->role, sizeof(block->role), role);
	block->pid = (uint32_t)getpid();
	clock_gettime(CLOCK_REALTIME, &now);
	block->started_ms = (uint64_t)now.tv_sec * 1000 +
	    (uint64_t)now.tv_nsec / 1000000;
	if (rename(fresh, path) != 0) {
		munmap(block, sizeof(*block));
		unlink(fresh);
		return AG_IO;
	}
	*out = block;
	return AG_OK;
}

void
ag_metrics_close(struct ag_metrics_block **block)
{
	if (*block == NULL)
		return;
	(*block)->ready = 0;
	munmap(*block, sizeof(**block));
	*block = NULL;
}

unsigned
ag_metrics_define(struct ag_metrics_block *block, const char *name,
    const char *help, unsigned kind)
{
	struct ag_metric *m = block->metrics + block->count;

	if (block->count >= AG_METRICS_MAX)
		ag_panic("metric %s: the block has room for %d", name,
		    AG_METRICS_MAX);
	put_text(m->name, AG_METRIC_NAME, name);
	put_text(m->help, AG_METRIC_HELP, help);
	m->kind = kind;
	return block->count++;
}

unsigned
ag_metrics_of_tenant(struct ag_metrics_block *block, unsigned metric,
    const char *tenant)
{
	const struct ag_metric *model = &block->metrics[metric];
	unsigned known = 0, made;

	for (unsigned i = 0; i < block->count; i++) {
		const struct ag_metric *m = &block->metrics[i];

		if (m->tenant[0] == '\0' || strcmp(m->name, model->name) != 0)
			continue;
		if (strcmp(m->tenant, tenant) == 0)
			return i;
		known++;
	}
	if (strcmp(tenant, others) != 0 &&
	    (known >= AG_METRIC_TENANTS_MAX - 1 ||
	    block->count >= AG_METRICS_MAX - 1))
		return ag_metrics_of_tenant(block, metric, others);
	if (block->count >= AG_METRICS_MAX)
		return metric; /* counted as of no one tenant */
	/* Whole before it is counted: others read while we write. */
	made = block->count;
	put_text(block->metrics[made].tenant, AG_METRIC_TENANT, tenant);
	ag_metrics_define(block, model->name, model->help, model->kind);
	return made;
}

void
ag_metrics_observe(struct ag_metric *metric, uint64_t us)
{
	unsigned i = 0;

	/* ceil(log2(us / 50)): the first bucket whose bound is not below us. */
	if (us > 50)
		i = 64u - (unsigned)__builtin_clzll((us - 1) / 50);
	if (i >= AG_HISTOGRAM_BUCKETS)
		i = AG_HISTOGRAM_BUCKETS - 1;
	metric->buckets[i]++;
	metric->sum_us += us;
	metric->value++;
}

static bool
read_block(int dir, const char *name, struct ag_metrics_block *out)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, out, sizeof(*out));
	close(fd);
	if (n != (ssize_t)sizeof(*out) ||
	    memcmp(out->magic, magic, sizeof(magic)) != 0)
		return false;
	/* The file is another process's: bound what it says. */
	out->name[sizeof(out->name) - 1] = '\0';
	out->role[sizeof(out->role) - 1] = '\0';
	out->detail[sizeof(out->detail) - 1] = '\0';
	out->error[sizeof(out->error) - 1] = '\0';
	if (out->count > AG_METRICS_MAX)
		out->count = AG_METRICS_MAX;
	for (unsigned i = 0; i < out->count; i++) {
		out->metrics[i].name[AG_METRIC_NAME - 1] = '\0';
		out->metrics[i].help[AG_METRIC_HELP - 1] = '\0';
		out->metrics[i].tenant[AG_METRIC_TENANT - 1] = '\0';
	}
	return true;
}

static int
by_name(const void *a, const void *b)
{
	const struct ag_metrics_block *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Reads every block of the directory into *blocks, which grows by doubling. */
static ag_err
read_all(DIR *dir, struct ag_metrics_block **blocks, size_t *count)
{
	size_t room = 0;
	struct dirent *entry;
	void *more;

	while ((entry = readdir(dir)) != NULL && *count < BLOCKS_MAX) {
		if (entry->d_name[0] == '.')
			continue;
		if (*count == room) {
			room = room == 0 ? 16 : room * 2;
			more = realloc(*blocks, room * sizeof(**blocks));
			if (more == NULL)
				return AG_NO_MEMORY;
			*blocks = more;
		}
		if (read_block(dirfd(dir), entry->d_name, *blocks + *count))
			(*count)++;
	}
	return AG_OK;
}

ag_err
ag_metrics_read(const char *run_dir, struct ag_metrics_block **blocks,
    size_t *count)
{
	char path[4096];
	DIR *dir;
	ag_err err;

	*blocks = NULL;
	*count = 0;
	if (snprintf(path, sizeof(path), "%s/metrics", run_dir) >=
	    (int)sizeof(path))
		return AG_IO;
	if ((dir = opendir(path)) == NULL)
		return errno == ENOENT ? AG_OK : AG_IO;
	err = read_all(dir, blocks, count);
	closedir(dir);
	if (err != AG_OK) {
		free(*blocks);
		*blocks = NULL;
		*count = 0;
		return err;
	}
	if (*count > 0)
		qsort(*blocks, *count, sizeof(**blocks), by_name);
	return AG_OK;
}

bool
ag_metrics_alive(const struct ag_metrics_block *block)
{
	struct timespec now;
	uint64_t now_ms;

	clock_gettime(CLOCK_BOOTTIME, &now);
	now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	return block->ready == 1 && now_ms <= block->beat_ms + BEAT_MS_MAX;
}
