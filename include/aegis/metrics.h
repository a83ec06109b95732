/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every process keeps its counters in a small file of run/metrics/ that it
 * maps; whoever shows them (GET /metrics, /healthz, aegis status) maps it too.
 * So a reading costs the writer nothing.
 */
#ifndef AEGIS_METRICS_H
#define AEGIS_METRICS_H

#include <aegis/err.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	AG_METRICS_MAX = 96,   /* per process, engine's own included */
	AG_METRIC_TENANTS_MAX = 16, /* of one metric, the row `other` included */
	AG_METRIC_TENANT = 64,
	AG_METRIC_NAME = 48,
	AG_METRIC_HELP = 80,
	AG_HISTOGRAM_BUCKETS = 16, /* upper bounds in µs: 50·2^i, last is +Inf */
};

struct ag_metric {
	char name[AG_METRIC_NAME];
	char help[AG_METRIC_HELP];
	char tenant[AG_METRIC_TENANT]; /* "": of no one tenant */
	uint32_t kind; /* as struct ag_metric_row */
	uint32_t unused;
	uint64_t value; /* counter, gauge; histogram: count */
	uint64_t sum_us;
	uint64_t buckets[AG_HISTOGRAM_BUCKETS]; /* what fell into each, not cumulative */
};

struct ag_metrics_block {
	char magic[8]; /* "AGMETR2" */
	char name[32]; /* fleet row */
	char role[16];
	uint32_t pid;
	uint32_t ready;         /* 0 or 1 */
	char detail[64];        /* why not ready, or degraded */
	uint64_t started_ms;    /* wall time */
	uint64_t beat_ms;       /* CLOCK_BOOTTIME of the last turn or tick (≤ 500 ms apart) */
	uint64_t queue;         /* messages waiting, as last seen */
	uint32_t count;
	uint32_t unused;
	struct ag_metric metrics[AG_METRICS_MAX];
	char error[128];        /* what went wrong last; "": nothing */
	uint64_t error_at_ms;   /* wall time */
};

/* Creates run_dir/metrics/<name> (0600) and maps it. The broker and the engine
 * use it; actors have ag_metric_*. */
ag_err ag_metrics_create(const char *run_dir, const char *name,
    const char *role, struct ag_metrics_block **out) AG_MUST;
void ag_metrics_close(struct ag_metrics_block **block);
/* Adds a metric; its index. AG_METRICS_MAX is a panic (our own table). */
unsigned ag_metrics_define(struct ag_metrics_block *block, const char *name,
    const char *help, unsigned kind);
/* The row of the same name for this tenant; made when it is first asked for.
 * Beyond AG_METRIC_TENANTS_MAX they share one, "other": what is shown is
 * bounded, and adds up. */
unsigned ag_metrics_of_tenant(struct ag_metrics_block *block, unsigned metric,
    const char *tenant);
void ag_metrics_observe(struct ag_metric *metric, uint64_t us);

/* A copy of every block in run_dir/metrics, sorted by name; caller frees the
 * array. A file that is not a block is skipped. */
ag_err ag_metrics_read(const char *run_dir, struct ag_metrics_block **blocks,
    size_t *count) AG_MUST;
/* Alive: ready and beaten within 2 s of CLOCK_BOOTTIME now. */
bool ag_metrics_alive(const struct ag_metrics_block *block);

#endif
