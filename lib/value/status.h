#ifndef CX_STATUS_H
#define CX_STATUS_H

/*
 * What a function that can fail returns. "Don't know" (CX_ETEMP) is a value
 * of its own and is never folded into "no" (CX_NOTFOUND): the first defers
 * mail, the second may refuse it.
 */
enum status {
	CX_OK = 0,
	CX_NOTFOUND, /* certain: there is no such thing */
	CX_ETEMP,    /* don't know; it may work later */
	CX_EINVAL,   /* the input is malformed */
	CX_ETOOLONG, /* the input is over a limit */
	CX_EEXIST,   /* there is more than one, or it is there already */
	CX_EFULL,    /* the memory given by the caller is used up */
	CX_ENOMEM,   /* the system has no memory */
	CX_EFORMAT,  /* stored data are damaged or of an unknown format */
	CX_ECONF,    /* the configuration is wrong */
	CX_EIO,	     /* the system refused; errno was logged or put in the errbuf */
};

/* A constant, lower-case English phrase for a person. Never NULL. */
const char *status_text(enum status);

#endif
