/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is refused, one place after the other. The linker wraps what
 * iam's files and the policies' call (meson.build).
 */
#ifndef IAM_MEMORY_H
#define IAM_MEMORY_H

#include "iam_fleet.h"

static unsigned fail_at, asked; /* the fail_at-th is refused; 0: none */

static bool
refused(void)
{
	return fail_at != 0 && ++asked == fail_at;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
void *__real_ag_alloc(struct ag_ctx *ctx, size_t size);
void *__wrap_ag_alloc(struct ag_ctx *ctx, size_t size);
uint8_t *__real_ag_pack(struct ag_ctx *ctx, const void *msg, size_t *len);
uint8_t *__wrap_ag_pack(struct ag_ctx *ctx, const void *msg, size_t *len);
void *__real_ag_unpack(struct ag_ctx *ctx,
    const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len);
void *__wrap_ag_unpack(struct ag_ctx *ctx,
    const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len);

void *
__wrap_malloc(size_t size)
{
	return refused() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return refused() ? NULL : __real_calloc(n, size);
}

void *
__wrap_reallocarray(void *old, size_t n, size_t size)
{
	return refused() ? NULL : __real_reallocarray(old, n, size);
}

char *
__wrap_strdup(const char *text)
{
	return refused() ? NULL : __real_strdup(text);
}

void *
__wrap_ag_alloc(struct ag_ctx *ctx, size_t size)
{
	return refused() ? NULL : __real_ag_alloc(ctx, size);
}

uint8_t *
__wrap_ag_pack(struct ag_ctx *ctx, const void *msg, size_t *len)
{
	return refused() ? NULL : __real_ag_pack(ctx, msg, len);
}

void *
__wrap_ag_unpack(struct ag_ctx *ctx, const ProtobufCMessageDescriptor *type,
    const uint8_t *bytes, size_t len)
{
	return refused() ? NULL : __real_ag_unpack(ctx, type, bytes, len);
}

#endif
