#ifndef CX_CONF_FILES_H
#define CX_CONF_FILES_H

#include "daemon/conf.h"

/*
 * Whether this process can read what `program` ("coexist-syncd", ...) reads by this configuration,
 * now and at each reload: the configuration itself, and
 *   syncd: LDIF files, password files (which others must not be able to read), TLS files;
 *   milter, policyd: secrets, where SRS is enabled or `secret_file` is set. The default
 *   one is wanted only by SRS.
 * CX_OK; CX_ECONF with "FILE: what is wrong".
 */
enum status conf_files_check(const struct conf *, const char *program, struct errbuf *);

#endif
