/* Reading the elements. Each function copies an element before it looks at it: what was proved of the copy stays
 * true even if the file is written meanwhile. */
#include "report/snapshot_read.h"

#include <string.h>

/* Bytes of the chunk that may hold elements: `used`, or all where the element says itself if it counts. */
static uint64_t element_bytes(const struct bmm_snapshot_chunk *chunk)
{
    return chunk->used > 0 ? chunk->used : chunk->bytes;
}

/* Steps to the next chunk of the type that has `need` bytes left; NULL at the end. Where is set to the element. */
static const unsigned char *next(const struct bmm__snapshot *s, struct bmm__cursor *c, enum bmm_chunk_type type,
                                 uint64_t need, uint64_t *left)
{
    for (; c->chunk < s->header.chunk_count; c->chunk++, c->offset = 0) {
        const struct bmm_snapshot_chunk *chunk = &s->chunks[c->chunk];
        uint64_t bytes = element_bytes(chunk);
        if (chunk->type != (uint32_t)type || c->offset > bytes || bytes - c->offset < need)
            continue;
        *left = bytes - c->offset;
        return s->bytes + chunk->offset + c->offset;
    }
    return NULL;
}

/* The next string of a chunk of strings; the last one may lack its NUL. */
static bool next_string(const struct bmm__snapshot *s, struct bmm__cursor *c, enum bmm_chunk_type type,
                        const char **text, size_t *bytes)
{
    uint64_t left;
    const unsigned char *at;
    while ((at = next(s, c, type, 1, &left)) != NULL) {
        if (s->chunks[c->chunk].used == 0) { /* strings do not say themselves that they count */
            c->offset = left;
            continue;
        }
        *text = (const char *)at;
        *bytes = strnlen(*text, left);
        c->offset += *bytes + 1;
        return true;
    }
    return false;
}

bool bmm__snapshot_next_argument(const struct bmm__snapshot *s, struct bmm__cursor *c, const char **text, size_t *bytes)
{
    return next_string(s, c, BMM_CHUNK_COMMAND, text, bytes);
}

bool bmm__snapshot_next_note(const struct bmm__snapshot *s, struct bmm__cursor *c, const char **text, size_t *bytes)
{
    while (next_string(s, c, BMM_CHUNK_NOTES, text, bytes))
        if (*bytes > 0)
            return true;
    return false;
}

static bool next_fixed(const struct bmm__snapshot *s, struct bmm__cursor *c, enum bmm_chunk_type type, void *element,
                       size_t bytes)
{
    uint64_t left;
    const unsigned char *at = next(s, c, type, bytes, &left);
    if (at == NULL)
        return false;
    memcpy(element, at, bytes);
    c->offset += bytes;
    return true;
}

bool bmm__snapshot_next_error(const struct bmm__snapshot *s, struct bmm__cursor *c, struct bmm_snapshot_error *error)
{
    while (next_fixed(s, c, BMM_CHUNK_ERRORS, error, sizeof *error))
        if (error->committed == 1)
            return true;
    return false;
}

bool bmm__snapshot_next_thread(const struct bmm__snapshot *s, struct bmm__cursor *c, struct bmm_snapshot_thread *thread)
{
    while (next_fixed(s, c, BMM_CHUNK_THREADS, thread, sizeof *thread))
        if (thread->tid != 0)
            return true;
    return false;
}

bool bmm__snapshot_next_expected(const struct bmm__snapshot *s, struct bmm__cursor *c,
                                 struct bmm_snapshot_expected *expected)
{
    while (next_fixed(s, c, BMM_CHUNK_EXPECTED, expected, sizeof *expected))
        if (expected->is_on == 1 && memchr(expected->pattern, 0, sizeof expected->pattern) != NULL)
            return true;
    return false;
}

bool bmm__snapshot_next_type(const struct bmm__snapshot *s, struct bmm__cursor *c, struct bmm_snapshot_type *type)
{
    while (next_fixed(s, c, BMM_CHUNK_TYPES, type, sizeof *type))
        if (type->blocks != 0)
            return true;
    return false;
}

const struct bmm_snapshot_mirror *bmm__snapshot_mirror(const struct bmm__snapshot *s,
                                                       const struct bmm_snapshot_span *span)
{
    uint64_t bytes = (uint64_t)span->slot_count * sizeof(struct bmm_snapshot_mirror);
    if (span->mirror_offset % 8 != 0 || span->mirror_offset < s->header.header_bytes ||
        span->mirror_offset > s->header.file_bytes || bytes > s->header.file_bytes - span->mirror_offset)
        return NULL;
    return (const struct bmm_snapshot_mirror *)(const void *)(s->bytes + span->mirror_offset);
}

bool bmm__snapshot_next_span(const struct bmm__snapshot *s, struct bmm__cursor *c, struct bmm_snapshot_span *span)
{
    while (next_fixed(s, c, BMM_CHUNK_SPANS, span, sizeof *span))
        if (span->start != 0 && bmm__snapshot_mirror(s, span) != NULL)
            return true;
    return false;
}

/* Packed records begin with their length. A length that cannot be ends the chunk, of which only what is said to be used counts: the
 * process may still write. */
static const unsigned char *next_packed(const struct bmm__snapshot *s, struct bmm__cursor *c, enum bmm_chunk_type type,
                                        uint64_t head_bytes, uint32_t *bytes)
{
    uint64_t left;
    const unsigned char *at;
    while ((at = next(s, c, type, head_bytes + 1, &left)) != NULL) {
        memcpy(bytes, at, sizeof *bytes);
        if (s->chunks[c->chunk].used == 0 || *bytes <= head_bytes || *bytes % 8 != 0 || *bytes > left) {
            c->offset += left;
            continue;
        }
        c->offset += *bytes;
        return at;
    }
    return NULL;
}

bool bmm__snapshot_next_module(const struct bmm__snapshot *s, struct bmm__cursor *c, struct bmm__module_record *module)
{
    const unsigned char *at;
    uint32_t bytes;
    size_t head = offsetof(struct bmm_snapshot_module, path);
    while ((at = next_packed(s, c, BMM_CHUNK_MODULES, head, &bytes)) != NULL) {
        struct bmm_snapshot_module known;
        memcpy(&known, at, head);
        *module = (struct bmm__module_record){ .start = known.start,
                                               .end = known.end,
                                               .bias = known.bias,
                                               .epoch = known.epoch,
                                               .build_id_bytes = known.build_id_bytes,
                                               .path = (const char *)at + head };
        memcpy(module->build_id, known.build_id, sizeof module->build_id);
        if (module->start < module->end && module->build_id_bytes <= sizeof module->build_id &&
            memchr(module->path, 0, bytes - head) != NULL)
            return true;
    }
    return false;
}

bool bmm__snapshot_next_unchecked(const struct bmm__snapshot *s, struct bmm__cursor *c,
                                  struct bmm__unchecked_record *record)
{
    const unsigned char *at;
    uint32_t bytes;
    size_t head = offsetof(struct bmm_snapshot_unchecked, text);
    while ((at = next_packed(s, c, BMM_CHUNK_UNCHECKED, head, &bytes)) != NULL) {
        memcpy(&record->pid, at + offsetof(struct bmm_snapshot_unchecked, pid), sizeof record->pid);
        record->reason = (const char *)at + head;
        const char *end = memchr(record->reason, 0, bytes - head);
        if (end == NULL)
            continue;
        size_t left = bytes - head - (size_t)(end + 1 - record->reason);
        record->path = left > 0 && memchr(end + 1, 0, left) != NULL ? end + 1 : end;
        return true;
    }
    return false;
}

uint64_t bmm__snapshot_site(const struct bmm__snapshot *s, uint32_t site)
{
    uint32_t number = site >> BMM_SITE_BITS;
    uint64_t place = site & ((1u << BMM_SITE_BITS) - 1);
    if (number == 0)
        return place;
    uint64_t mebibyte = number < s->code_count ? s->code[number] : 0;
    return mebibyte != 0 ? mebibyte | place : 0;
}

const struct bmm__stack_range *bmm__snapshot_stack_range(const struct bmm__snapshot *s, uint32_t id)
{
    uint32_t low = 0, high = s->range_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct bmm__stack_range *range = &s->ranges[middle];
        if (id < range->first)
            high = middle;
        else if (id - range->first >= range->count)
            low = middle + 1;
        else
            return range;
    }
    return NULL;
}
