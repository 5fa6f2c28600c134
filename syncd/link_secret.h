#ifndef CX_LINK_SECRET_H
#define CX_LINK_SECRET_H

#include <ldap.h>
#include <stdbool.h>

/*
 * Keeps the password where it belongs. libldap copies it into the request, GnuTLS through its
 * stack, and neither clears what it leaves behind. Private to the link's parts.
 */

/*
 * The process leaves no core dump from now on, and nobody but root may look into its
 * memory. Once more after a change of user, which takes it back.
 */
void link_no_core(void);

/* From here on, what is written to the connection is cleared from memory once it is sent. */
void link_wipe_begin(LDAP *);
void link_wipe_end(LDAP *);
/*
 * Clears what calls left on this thread's stack. After the bind, and last thing in the thread: what
 * a vector register still holds of the request, the dynamic linker saves there when a
 * function is called for the first time.
 */
void link_wipe_stack(void);

/*
 * Nobody can listen on the way to `uri`: a local socket, or a loopback address. Names are not
 * looked up; of them only "localhost" is taken at its word.
 */
bool link_is_local(const char *uri);

#endif
