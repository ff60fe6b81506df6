/* A program that was large and is idle since: a gibibyte of small blocks, freed, and one block a second from then on. */
#define _GNU_SOURCE
#include "tests/plain.h"
#include "tests/plain/resident.h"

#include "core/client.h"
#include "core/os.h"

#include <unistd.h>

#define BLOCK_BYTES 64
#define BLOCK_COUNT (((size_t)1 << 30) / BLOCK_BYTES)
#define CALLS 20
#ifdef BMM_EMULATED
#define RESIDENT_MAX ((size_t)64 << 20) /* slices end by the clock, and an emulated processor does less until then */
#else
#define RESIDENT_MAX ((size_t)20 << 20)
#endif

/* Where the processor is emulated, what is resident is the emulator, too, which keeps a table of a gibibyte. */
static size_t kept(void)
{
#ifdef BMM_EMULATED
    return bmm__load_relaxed(&bmm__dirty_bytes);
#else
    return resident();
#endif
}

PLAIN_TEST(one_block_a_second_gives_a_gibibyte_back)
{
    size_t table_bytes = BLOCK_COUNT * sizeof(char *);
    char **blocks = bmm__os_map(table_bytes, BMM__GRANULE); /* not malloc: it has memory of its own to keep */
    PLAIN_CHECK(blocks != NULL);
    for (size_t i = 0; i < BLOCK_COUNT; i++)
        memset(blocks[i] = bmm__core_alloc(BLOCK_BYTES, 16, false), 1, BLOCK_BYTES);
    unsigned slow = 0;
    for (size_t i = 0; i < BLOCK_COUNT; i++)
        bmm__core_free(blocks[i]);
    bmm__os_release(blocks, table_bytes);
    for (int i = 0; i < CALLS; i++) {
        sleep(1);
        double start = thread_ms();
        char *block = bmm__core_alloc(BLOCK_BYTES, 16, false);
        double middle = thread_ms();
        bmm__core_free(block);
        double end = thread_ms();
        slow += (middle - start >= 2) + (end - middle >= 2);
    }
    printf("resident: %zu KiB; calls of 2 ms: %u\n", kept() >> 10, slow);
    PLAIN_CHECK(kept() < RESIDENT_MAX);
    PLAIN_CHECK(slow <= 1); /* a page of the kernel's own, or the host's */
}
