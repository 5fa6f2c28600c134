#ifndef CX_CONF_CHECK_H
#define CX_CONF_CHECK_H

#include "value/buf.h"
#include "value/errbuf.h"
#include "value/status.h"

/*
 * Validators for the values of coexist.conf. Each looks at one value that is not empty,
 * appends to `out` the form in which it is kept (an absolute path, a canonical domain), and says
 * CX_OK; or fills the errbuf with what is wrong (not where), and says CX_ECONF.
 * `folder` is that of the configuration file: relative paths start there.
 */
typedef enum status conf_check(const char *value, const char *folder, struct buf *out,
    struct errbuf *);

conf_check check_path;
conf_check check_listener;
conf_check check_unix_listener;
conf_check check_inet_listener;
conf_check check_domain;
/* A domain, or "*." and a domain. */
conf_check check_domain_pattern;
conf_check check_dn;
conf_check check_filter;
conf_check check_uris;
conf_check check_attribute;
conf_check check_delimiters;
conf_check check_organization;
conf_check check_postmaster;
conf_check check_server;
conf_check check_transport;
conf_check check_hop;
conf_check check_user;
/* The title of a directory section: it names the directory in logs and commands. */
conf_check check_title;

#endif
