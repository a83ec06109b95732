/* SPDX-License-Identifier: Apache-2.0 */
/* An event about a request for approval as a message for people. */
#ifndef SINKS_MESSAGE_H
#define SINKS_MESSAGE_H

#include "encode.h"

#include <aegis/signed.h>

#include <stdlib.h>
#include <string.h>

enum message_kind {
	MESSAGE_NONE, /* about something else */
	MESSAGE_ASKED, MESSAGE_REMINDED, MESSAGE_DECIDED, MESSAGE_EXPIRED,
};

enum message_kind message_kind(const Ag__Event *event);
/* The message as Slack's incoming webhooks take it, malloc'd; with a key, what
 * waits has buttons. NULL: no memory. */
char *message_json(const Ag__Event *event, struct ag_secret *click);

#endif
