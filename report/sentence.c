#define _GNU_SOURCE
#include "report/sentence.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is(const struct bmm__error *error, const char *kind)
{
    return strcmp(error->kind, kind) == 0;
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static bool is_realloc(const struct bmm__error *error)
{
    return strcmp(error->moment, "realloc") == 0;
}

static const char *call(const struct bmm__error *error)
{
    return is_realloc(error) ? "realloc" : error->free_kind;
}

const char *bmm__error_sentence(const struct bmm__error *error, char *text, size_t bytes)
{
    char block[128];
    snprintf(block, sizeof block, "a block of %" PRIu64 " byte%s (%s)", error->size, plural(error->size),
             error->alloc_kind);
    uint32_t changed = error->changed_count;
    if (is(error, "double-free"))
        snprintf(text, bytes, "%s of 0x%" PRIx64 ", %s that was freed before", call(error), error->address, block);
    else if (is(error, "invalid-free"))
        snprintf(text, bytes, "%s of 0x%" PRIx64 ", which is no block of this heap", call(error), error->address);
    else if (is(error, "interior-free"))
        snprintf(text, bytes, "%s of 0x%" PRIx64 ", %" PRIu64 " byte%s into %s", call(error), error->address,
                 error->address - error->block, plural(error->address - error->block), block);
    else if (is(error, "mismatched-free"))
        snprintf(text, bytes, "%s of %s at 0x%" PRIx64, call(error), block, error->address);
    else if (is(error, "sized-delete-mismatch") && error->given_align != 0 && error->given_align != error->align)
        snprintf(text, bytes,
                 "%s of %s at 0x%" PRIx64 " with alignment %" PRIu64 ", which was allocated with alignment %" PRIu64,
                 call(error), block, error->address, error->given_align, error->align);
    else if (is(error, "sized-delete-mismatch"))
        snprintf(text, bytes, "%s of %s at 0x%" PRIx64 " with size %" PRIu64, call(error), block, error->address,
                 error->given_size);
    else if (is(error, "heap-overflow"))
        snprintf(text, bytes, "%" PRIu32 " byte%s changed behind %s at 0x%" PRIx64, changed, plural(changed), block,
                 error->block);
    else if (is(error, "heap-underflow"))
        snprintf(text, bytes, "%" PRIu32 " byte%s changed before %s at 0x%" PRIx64, changed, plural(changed), block,
                 error->block);
    else if (is(error, "write-after-free"))
        snprintf(text, bytes, "%" PRIu32 " byte%s changed in %s at 0x%" PRIx64 " after it was freed", changed,
                 plural(changed), block, error->block);
    else
        snprintf(text, bytes, "0x%" PRIx64 ", %s", error->address, block);
    return text;
}

const char *bmm__changed_sentence(const struct bmm__error *error, const struct bmm__changed *changed, char *text,
                                  size_t bytes)
{
    char place[64] = "";
    int64_t behind = changed->offset - (int64_t)error->size;
    if (changed->offset < 0)
        snprintf(place, sizeof place, " (%" PRId64 " before the block)", -changed->offset);
    else if (behind >= 0 && !is(error, "write-after-free"))
        snprintf(place, sizeof place, " (%" PRId64 " behind the last byte)", behind + 1);
    snprintf(text, bytes, "offset %" PRId64 ": expected 0x%02x, found 0x%02x%s", changed->offset, changed->expected,
             changed->found, place);
    return text;
}

const char *bmm__signal_word(int signal, char *text, size_t bytes)
{
    const char *name = sigabbrev_np(signal);
    if (name != NULL)
        snprintf(text, bytes, "SIG%s", name);
    else
        snprintf(text, bytes, "signal %d", signal);
    return text;
}
