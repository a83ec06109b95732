/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts under a key that two sides share: the body of a webhook, the button of
 * a message, the click on it.
 */
#ifndef AEGIS_SIGNED_H
#define AEGIS_SIGNED_H

#include <aegis/id.h>
#include <aegis/secret.h>

enum {
	AG_SIGNED_HEX = 65,     /* HMAC-SHA256 in hex, and a NUL */
	AG_CLICK_TEXT = 160,    /* a button's value, and a NUL */
	AG_CLICK_SECRET_MIN = 16, /* bytes; Slack's signing secrets have 32 */
};

/* HMAC-SHA256 over head and then body, in lower-case hex. False: no memory. */
bool ag_signed_hex(struct ag_secret *key, const char *head, const void *body,
    size_t len, char hex[AG_SIGNED_HEX]) AG_MUST;

/* What a button stands for: one decision about one approval, until a time. */
struct ag_click {
	char approval[AG_ID_SIZE];
	bool yes;
	int64_t until; /* ms; whole seconds are kept */
};
bool ag_click_write(struct ag_secret *key, const struct ag_click *click,
    char out[AG_CLICK_TEXT]) AG_MUST;
/* False: it was not written with this key, whatever it is. Whether its time is
 * over is not looked at. */
bool ag_click_read(struct ag_secret *key, const char *text,
    struct ag_click *out) AG_MUST;

#endif
