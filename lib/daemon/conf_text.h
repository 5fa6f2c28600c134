#ifndef CX_CONF_TEXT_H
#define CX_CONF_TEXT_H

#include <stddef.h>

#include "value/errbuf.h"
#include "value/status.h"

/*
 * Goes over the text of a configuration before libconfuse does, and makes it harmless:
 * comments become blanks (libconfuse 3.3 counts the line of each one twice), and what
 * libconfuse would take in silence and an administrator would be surprised by is
 * refused: ${VAR} from the environment, backslashes that vanish from a quoted DN, strings
 * that go on over lines, "+=", stray characters, NULs.
 *
 * CX_OK; CX_ECONF with the line and what is wrong.
 */
enum status conf_text_clean(char *text, size_t len, int *line, struct errbuf *);

#endif
