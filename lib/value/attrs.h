#ifndef CX_ATTRS_H
#define CX_ATTRS_H

/* Short names for the compiler attributes that prototypes carry. */
#define CX_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define CX_MUST_CHECK	     __attribute__((warn_unused_result))
#define CX_NORETURN	     __attribute__((noreturn))

#endif
