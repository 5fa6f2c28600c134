#ifndef CX_ADDRESS_KEY_H
#define CX_ADDRESS_KEY_H

#include "value/address.h"

/*
 * How keys are made, for the parts of this folder that make some: "type:" and the
 * parts one after the other, or, where that is over ADDRESS_KEY_TEXT_MAX bytes,
 * "type#" and the SHA-256 of it in hexadecimal. `type` is a short constant or the
 * type of an address.
 */
void key_of_parts(const char *type, const struct span *parts, size_t count,
    struct key *out);

#endif
