#ifndef CX_FUZZ_H
#define CX_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * A fuzz target is a file tests/fuzz/fuzz_NAME.c with this function, and inputs
 * in tests/fuzz/corpus/NAME. With --enable-fuzzers (CC=clang) it is linked with
 * libFuzzer: run it as fuzz_NAME SCRATCH-FOLDER tests/fuzz/corpus/NAME. Without,
 * it replays its corpus in "make check". An input that crashed it is kept there.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for any input, built with NDEBUG or not. */
#define FUZZ_CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

#endif
