/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slow work (making an RSA key) on one worker thread, so that the loop never
 * waits. A job is handed over whole and handed back whole.
 */
#include "ctx.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct job {
	struct job *next;
	ag_err (*work)(void *job);
	void *arg;
	ag_err result;
	ag_then *then;
	struct ag_trip *trip;
};

struct worker {
	pthread_t thread;
	bool threaded;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job *todo, *todo_last, *done, *done_last;
	unsigned count;
	bool stop;
	int fd;
};

static void
append(struct job **first, struct job **last, struct job *job)
{
	job->next = NULL;
	if (*first == NULL)
		*first = job;
	else
		(*last)->next = job;
	*last = job;
}

static void
drop(struct job *first)
{
	while (first != NULL) {
		struct job *job = first;

		first = job->next;
		free(job);
	}
}

static void *
loop(void *arg)
{
	struct worker *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct job *job = w->todo;

		if (job == NULL) {
			pthread_cond_wait(&w->wake, &w->lock);
			continue;
		}
		w->todo = job->next;
		pthread_mutex_unlock(&w->lock);
		job->result = job->work(job->arg);
		pthread_mutex_lock(&w->lock);
		append(&w->done, &w->done_last, job);
		eventfd_write(w->fd, 1);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void
on_done(evutil_socket_t fd, short what, void *arg)
{
	struct ag_ctx *ctx = arg;
	eventfd_t n;

	(void)what;
	eventfd_read(fd, &n);
	work_done(ctx);
}

/* As if there had never been one: the next job tries again. */
static ag_err
no_worker(struct ag_ctx *ctx)
{
	if (ctx->work_event != NULL)
		event_free(ctx->work_event);
	ctx->work_event = NULL;
	work_stop(ctx);
	return AG_IO;
}

/* The thread is made by the first job: most actors never have one. */
ag_err
work_start(struct ag_ctx *ctx)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return AG_NO_MEMORY;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ctx->worker = w;
	if (w->fd < 0)
		return no_worker(ctx);
	if (ctx->base == NULL)
		return AG_OK; /* the kit runs jobs itself */
	ctx->work_event = event_new(ctx->base, w->fd, EV_READ | EV_PERSIST,
	    on_done, ctx);
	if (ctx->work_event == NULL || event_add(ctx->work_event, NULL) != 0 ||
	    pthread_create(&w->thread, NULL, loop, w) != 0)
		return no_worker(ctx);
	w->threaded = true;
	return AG_OK;
}

void
work_stop(struct ag_ctx *ctx)
{
	struct worker *w = ctx->worker;

	if (w == NULL)
		return;
	if (w->threaded) {
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
	}
	if (w->fd >= 0)
		close(w->fd);
	drop(w->todo);
	drop(w->done);
	free(w);
	ctx->worker = NULL;
}

static void
hand_over(struct ag_ctx *ctx, struct job *job)
{
	ag_err err = AG_OK;

	ctx->turned = true;
	ctx->worker->count--;
	if (job->trip != NULL) {
		job->trip->waits--;
		err = trip_enter(ctx, job->trip);
	}
	if (job->result != AG_OK)
		ctx->status_refusal.err = job->result;
	/* Even for a trip that cannot be restored: `then` frees the job. */
	err = job->then(ctx->state, ctx, err == AG_OK ? job->result : err, NULL,
	    job->arg);
	if (ctx->trip != NULL)
		trip_leave(ctx, err);
	ag_arena_wipe(ctx->arena);
	free(job);
}

void
work_done(struct ag_ctx *ctx)
{
	struct worker *w = ctx->worker;

	for (;;) {
		struct job *job;

		pthread_mutex_lock(&w->lock);
		job = w->done;
		if (job != NULL)
			w->done = job->next;
		pthread_mutex_unlock(&w->lock);
		if (job == NULL)
			return;
		hand_over(ctx, job);
	}
}

bool
work_run_one(struct ag_ctx *ctx)
{
	struct worker *w = ctx->worker;
	struct job *job = w == NULL ? NULL : w->todo;

	if (job == NULL)
		return false;
	w->todo = job->next;
	job->result = job->work(job->arg);
	hand_over(ctx, job);
	return true;
}

ag_err
ag_work(struct ag_ctx *ctx, ag_err (*work)(void *job), void *arg, ag_then *then)
{
	struct job *job;
	ag_err err;

	if (ctx->worker == NULL && (err = work_start(ctx)) != AG_OK)
		return err;
	if (ctx->worker->count >= WORK_MAX)
		return AG_FULL;
	if (ctx->trip != NULL && (err = trip_keep(ctx, ctx->trip)) != AG_OK)
		return err;
	job = calloc(1, sizeof(*job));
	if (job == NULL)
		return AG_NO_MEMORY;
	job->work = work;
	job->arg = arg;
	job->then = then;
	job->trip = ctx->trip;
	if (job->trip != NULL)
		job->trip->waits++;
	ctx->worker->count++;
	pthread_mutex_lock(&ctx->worker->lock);
	append(&ctx->worker->todo, &ctx->worker->todo_last, job);
	pthread_cond_signal(&ctx->worker->wake);
	pthread_mutex_unlock(&ctx->worker->lock);
	return AG_PENDING;
}
