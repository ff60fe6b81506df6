#include "report/words.h"

#include "brainmm/snapshot.h"

#include <stddef.h>

#define WORD(table, index) \
    ((index) < sizeof(table) / sizeof *(table) && (table)[index] != NULL ? (table)[index] : "unknown")

const char *bmm__word_mode(uint32_t mode)
{
    static const char *const words[] = { [BMM_MODE_OFF] = "off", [BMM_MODE_LEAK] = "leak", [BMM_MODE_CHECK] = "check" };
    return WORD(words, mode);
}

const char *bmm__word_alloc_kind(uint32_t kind)
{
    static const char *const words[BMM_KIND_COUNT] = {
        [BMM_KIND_MALLOC] = "malloc",
        [BMM_KIND_ALIGNED] = "aligned",
        [BMM_KIND_NEW] = "new",
        [BMM_KIND_NEW_ARRAY] = "new[]",
        [BMM_KIND_NEW_ALIGNED] = "new-aligned",
        [BMM_KIND_NEW_ARRAY_ALIGNED] = "new[]-aligned",
        [BMM_KIND_BMM] = "bmm",
        [BMM_KIND_PAGES] = "pages",
        [BMM_KIND_MEMORY_BLOCK] = "memory-block",
    };
    return WORD(words, kind);
}

const char *bmm__word_free_kind(uint32_t kind)
{
    static const char *const words[BMM_KIND_COUNT] = {
        [BMM_KIND_MALLOC] = "free",
        [BMM_KIND_ALIGNED] = "free",
        [BMM_KIND_NEW] = "delete",
        [BMM_KIND_NEW_ARRAY] = "delete[]",
        [BMM_KIND_NEW_ALIGNED] = "delete-aligned",
        [BMM_KIND_NEW_ARRAY_ALIGNED] = "delete[]-aligned",
        [BMM_KIND_BMM] = "bmm_free",
        [BMM_KIND_PAGES] = "bmm_pages_free",
        [BMM_KIND_MEMORY_BLOCK] = "bmm_memory_block_free",
    };
    return WORD(words, kind);
}

const char *bmm__word_error(uint32_t kind)
{
    static const char *const words[] = {
        [BMM_ERROR_DOUBLE_FREE] = "double-free",
        [BMM_ERROR_INVALID_FREE] = "invalid-free",
        [BMM_ERROR_INTERIOR_FREE] = "interior-free",
        [BMM_ERROR_MISMATCHED_FREE] = "mismatched-free",
        [BMM_ERROR_SIZED_DELETE_MISMATCH] = "sized-delete-mismatch",
        [BMM_ERROR_HEAP_OVERFLOW] = "heap-overflow",
        [BMM_ERROR_HEAP_UNDERFLOW] = "heap-underflow",
        [BMM_ERROR_WRITE_AFTER_FREE] = "write-after-free",
    };
    return WORD(words, kind);
}

const char *bmm__word_moment(uint32_t moment)
{
    static const char *const words[] = {
        [BMM_MOMENT_FREE] = "free", [BMM_MOMENT_REALLOC] = "realloc", [BMM_MOMENT_QUARANTINE] = "quarantine",
        [BMM_MOMENT_EXIT] = "exit", [BMM_MOMENT_DEMAND] = "demand",
    };
    return WORD(words, moment);
}
