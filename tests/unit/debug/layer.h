/* For the tests of debug/: switches the layer on inside a test program that runs without it, with a recorder in a folder
 * of its own, and reads back what was recorded. Criterion runs every test in a process of its own. */
#ifndef LAYER_H
#define LAYER_H

#include "debug/guard.h"
#include "debug/options.h"
#include "debug/process.h"
#include "debug/stack.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void layer_open(const char *options)
{
    static char text[512];
    char folder[] = "/tmp/brainmm-test-XXXXXX";
    cr_assert_not_null(mkdtemp(folder));
    snprintf(text, sizeof text, "report=none,dir=%s,%s", folder, options);
    bmm__options_parse(&bmm__options, text);
    bmm__guard_open();
    bmm__recorder_prepare();
    cr_assert(bmm__process_settle());
    bmm__stack_open(bmm__options.depth_max);
    bmm__stack_start();
    cr_assert(bmm__recorder_is_open());
}

static inline void layer_close(void)
{
    char folder[600];
    snprintf(folder, sizeof folder, "rm -rf '%s'", bmm__options.directory);
    cr_expect_eq(system(folder), 0);
}

static inline const struct bmm_snapshot_chunk *layer_chunk(enum bmm_chunk_type type)
{
    const struct bmm_snapshot_header *header = bmm__recorder_header();
    const char *base = (const char *)header;
    const struct bmm_snapshot_chunk *chunks = (const void *)(base + header->chunks_offset);
    for (uint32_t i = 0; i < header->chunk_count; i++)
        if (chunks[i].type == (uint32_t)type)
            return &chunks[i];
    return NULL;
}

static inline const void *layer_data(enum bmm_chunk_type type)
{
    const struct bmm_snapshot_chunk *chunk = layer_chunk(type);
    return chunk != NULL ? (const char *)bmm__recorder_header() + chunk->offset : NULL;
}

/* The n-th error entered, NULL: there are fewer. */
static inline const struct bmm_snapshot_error *layer_error(unsigned n)
{
    const struct bmm_snapshot_error *errors = layer_data(BMM_CHUNK_ERRORS);
    return errors != NULL && errors[n].committed ? &errors[n] : NULL;
}

/* How many blocks of that many bytes the mirrors say are live. */
static inline unsigned layer_live(uint64_t size)
{
    unsigned count = 0;
    const struct bmm_snapshot_header *header = bmm__recorder_header();
    const char *base = (const char *)header;
    const struct bmm_snapshot_chunk *chunks = (const void *)(base + header->chunks_offset);
    for (uint32_t c = 0; c < header->chunk_count; c++) {
        const struct bmm_snapshot_span *spans = (const void *)(base + chunks[c].offset);
        for (size_t i = 0; chunks[c].type == BMM_CHUNK_SPANS && i < chunks[c].used / sizeof *spans; i++) {
            const struct bmm_snapshot_mirror *mirrors = (const void *)(base + spans[i].mirror_offset);
            for (uint32_t s = 0; spans[i].start != 0 && s < spans[i].slot_count; s++) {
                uint64_t detail = mirrors[s].detail;
                if (BMM_MIRROR_STATE(detail) == BMM_SLOT_LIVE && mirrors[s].size == size &&
                    BMM_MIRROR_CHECK(detail) == bmm_mirror_check(mirrors[s].stack, mirrors[s].size, detail))
                    count++;
            }
        }
    }
    return count;
}

#endif
