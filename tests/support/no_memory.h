#ifndef CX_NO_MEMORY_H
#define CX_NO_MEMORY_H

#include <stdbool.h>

/*
 * Stands between a program, with its libraries, and the allocation of memory: from when
 * no_memory_arm() is called, the n-th allocation of this thread fails, and all behind it where
 * `lasts`. For programs of tests only.
 */
void no_memory_arm(unsigned long n, bool lasts);
/* How many there were since, failed or not. */
unsigned long no_memory_disarm(void);

#endif
