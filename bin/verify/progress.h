/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person sees while something takes long: one line on standard error
 * that is written over, if that is a terminal; else nothing.
 */
#ifndef AEGIS_VERIFY_PROGRESS_H
#define AEGIS_VERIFY_PROGRESS_H

/* "120000 events"; a few times a second, however often it is called. */
void progress(const char *what, unsigned long long n);
/* The same for who writes rows meanwhile: where they go to a terminal, they are
 * progress enough. */
void progress_beside(const char *what, unsigned long long n);
/* The line is gone; call it before anything else is written. */
void progress_end(void);

#endif
