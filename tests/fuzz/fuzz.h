/* What each fuzz_*.c defines, for libFuzzer or for replay.c. */
#ifndef BMM_TESTS_FUZZ_H
#define BMM_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes inputs into the folder $BMM_FUZZ_SEEDS, if that is set; those named seed_… are accepted, and lead on from there. */
int LLVMFuzzerInitialize(int *argument_count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);
extern bool fuzz_is_accepted; /* the last input was */

#endif
