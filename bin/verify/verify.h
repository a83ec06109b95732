/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aegis audit verify: checks an audit log's files with nothing but the public
 * key. Reads; never writes there.
 */
#ifndef AEGIS_VERIFY_H
#define AEGIS_VERIFY_H

/* --dir DIR --public-key FILE [--tenant T] [--checkpoint FILE]
 * [--write-checkpoint FILE]; or --proof FILE --public-key FILE [--tenant T].
 * Exit status: 0 sound, 1 broken, 2 bad input. */
int ag_cmd_audit_verify(int argc, char **argv);

#endif
