/* Opening a snapshot: maps the file and proves S1, S2 and S5 and the numbers of every element once; S5 not again of words that were
 * there when it was proved before. */
#include "report/arena.h"
#include "report/snapshot_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LEASE_TRIES 100u

/* O_NONBLOCK: a FIFO of that name must not hold us up. But then nor does a lease (process_alive.h), which another one may have for
 * an instant. */
static int open_for_reading(const char *path)
{
    int file;
    for (unsigned i = 0; (file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0 && errno == EWOULDBLOCK; i++) {
        if (i == LEASE_TRIES)
            return -1;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return file;
}

static bool map_file(struct bmm__snapshot *s, const char *path, struct bmm__why *why)
{
    int file = open_for_reading(path);
    if (file < 0)
        return bmm__fail(why, "%s: %s", path, strerror(errno));
    struct stat status;
    bool is_good = true;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        is_good = bmm__fail(why, "%s: not a regular file", path);
    } else if (status.st_size < (off_t)BMM_SNAPSHOT_HEADER_BYTES) {
        is_good = bmm__fail(why, "%s: not a snapshot: only %lld bytes", path, (long long)status.st_size);
    } else {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, file, 0);
        if (bytes == MAP_FAILED)
            is_good = bmm__fail(why, "%s: cannot map: %s", path, strerror(errno));
        else
            s->bytes = bytes;
        s->mapped_bytes = (uint64_t)status.st_size;
    }
    close(file);
    return is_good;
}

static bool check_header(struct bmm__snapshot *s, const char *path, struct bmm__why *why)
{
    /* Of a process that runs, the count first: what else is said then is as new. */
    const struct bmm_snapshot_header *live = (const void *)s->bytes;
    uint32_t chunk_count = __atomic_load_n(&live->chunk_count, __ATOMIC_ACQUIRE);
    memcpy(&s->header, live, sizeof s->header);
    s->header.chunk_count = chunk_count;
    const struct bmm_snapshot_header *header = &s->header;
    if (memcmp(header->magic, BMM_SNAPSHOT_MAGIC, sizeof header->magic) != 0)
        return bmm__fail(why, "%s: not a snapshot: no BrainMM magic at its start (S1)", path);
    if (header->byte_order != BMM_SNAPSHOT_BYTE_ORDER)
        return bmm__fail(why, "%s: snapshot of a machine with another byte order (S1)", path);
    if (header->version >> 16 != BMM_SNAPSHOT_VERSION >> 16)
        return bmm__fail(why, "%s: snapshot format %u, this viewer reads %u (S1)", path, header->version >> 16,
                         BMM_SNAPSHOT_VERSION >> 16);
    if (header->header_bytes != BMM_SNAPSHOT_HEADER_BYTES)
        return bmm__fail(why, "%s: header of %u bytes instead of %u (S1)", path, header->header_bytes,
                         BMM_SNAPSHOT_HEADER_BYTES);
    if (header->state < BMM_SNAPSHOT_RUNNING || header->state > BMM_SNAPSHOT_EXECED)
        return bmm__fail(why, "%s: unknown state %u (S1)", path, header->state);
    return true;
}

static bool check_chunks(struct bmm__snapshot *s, const char *path, struct bmm__why *why)
{
    const struct bmm_snapshot_header *header = &s->header;
    if (header->file_bytes > s->mapped_bytes)
        return bmm__fail(why, "%s: cut short: %llu of %llu bytes (S2)", path, (unsigned long long)s->mapped_bytes,
                         (unsigned long long)header->file_bytes);
    if (header->chunk_count > header->chunk_capacity)
        return bmm__fail(why, "%s: %u chunks in a directory of %u (S2)", path, header->chunk_count,
                         header->chunk_capacity);
    uint64_t directory_bytes = (uint64_t)header->chunk_count * sizeof *s->chunks;
    if (header->chunks_offset < header->header_bytes || header->chunks_offset > header->file_bytes ||
        directory_bytes > header->file_bytes - header->chunks_offset)
        return bmm__fail(why, "%s: chunk directory outside the file (S2)", path);
    s->chunks = bmm__must_zero(header->chunk_count, sizeof *s->chunks);
    memcpy(s->chunks, s->bytes + header->chunks_offset, directory_bytes);
    for (uint32_t i = 0; i < header->chunk_count; i++) {
        const struct bmm_snapshot_chunk *chunk = &s->chunks[i];
        if (chunk->offset > header->file_bytes || chunk->bytes > header->file_bytes - chunk->offset ||
            chunk->used > chunk->bytes || chunk->offset % 16 != 0)
            return bmm__fail(why, "%s: chunk %u (type %u) lies outside the file (S2)", path, i, chunk->type);
    }
    return true;
}

/* Files of processes that were killed may end in the middle of a store; files that were finished may not. */
static bool damaged(struct bmm__snapshot *s)
{
    s->damaged_count++;
    return s->header.state != BMM_SNAPSHOT_EXITED;
}

static int by_first(const void *left, const void *right)
{
    const struct bmm__stack_range *a = left, *b = right;
    return (a->first > b->first) - (a->first < b->first);
}

/* Of the first frame of a run. Without a branch, since there may be a million. */
static inline unsigned is_wrong_parent(const uint32_t *word, uint32_t id)
{
    uint32_t site = word[0], before = word[-1];
    return (unsigned)((int32_t)site > 0) & (unsigned)((int32_t)before < 0) &
           (unsigned)((before & ~BMM_STACK_HEAD) >= id);
}

/* From the id that comes `from` after the range's first one on. */
static bool has_wrong_parent(const struct bmm__stack_range *range, uint32_t from)
{
    enum { TOGETHER = 16 }; /* a number that is known: then it is done by vectors */
    unsigned found = 0;
    uint32_t k = from;
    for (; k < range->count && range->count - k >= TOGETHER; k += TOGETHER)
        for (uint32_t i = 0; i < TOGETHER; i++)
            found |= is_wrong_parent(range->words + k + i, range->first + k + i);
    for (; k < range->count; k++)
        found |= is_wrong_parent(range->words + k, range->first + k);
    return found != 0;
}

/* Words are written once, of a process that runs mostly in order: as far as there is one each, known as far as `from`. */
static uint32_t count_written(const struct bmm__stack_range *range, uint32_t from)
{
    uint32_t k = from;
    while (k < range->count && __atomic_load_n(&range->words[k], __ATOMIC_RELAXED) != 0)
        k++;
    return k;
}

/* The first word of the range of which S5 is not known; never that of its start, which has none before it. */
static uint32_t unproved_from(const struct bmm__stack_range *range, const struct bmm__snapshot *earlier)
{
    for (uint32_t i = 0; earlier != NULL && earlier->damaged_count == 0 && i < earlier->range_count; i++) {
        const struct bmm__stack_range *known = &earlier->ranges[i];
        if (known->count != 0 && known->first == range->first && known->written != 0 && known->written <= range->count)
            return known->written;
    }
    return 1;
}

static bool check_stacks(struct bmm__snapshot *s, const char *path, const struct bmm__snapshot *earlier,
                         struct bmm__why *why)
{
    uint64_t bytes = 0;
    s->ranges = bmm__must_zero(s->header.chunk_count, sizeof *s->ranges);
    for (uint32_t i = 0; i < s->header.chunk_count; i++) {
        const struct bmm_snapshot_chunk *chunk = &s->chunks[i];
        if (chunk->type == BMM_CHUNK_CODE) {
            s->code = (const void *)(s->bytes + chunk->offset);
            s->code_count = chunk->bytes / sizeof *s->code;
        }
        if (chunk->type != BMM_CHUNK_STACKS)
            continue;
        uint64_t count = (chunk->used > 0 ? chunk->used : chunk->bytes) / sizeof(uint32_t);
        bytes += count * sizeof(uint32_t); /* each chunk has no more than the file, and chunks are few */
        if (bytes > s->header.file_bytes)
            return bmm__fail(why, "%s: its stacks are larger than the file (S2)", path);
        if (chunk->first > UINT32_MAX || count > UINT32_MAX - chunk->first)
            return bmm__fail(why, "%s: stack ids of chunk %u do not fit 32 bits (S2)", path, i);
        s->ranges[s->range_count++] = (struct bmm__stack_range){ .first = (uint32_t)chunk->first,
                                                                 .count = (uint32_t)count,
                                                                 .words = (const void *)(s->bytes + chunk->offset) };
    }
    qsort(s->ranges, s->range_count, sizeof *s->ranges, by_first);
    for (uint32_t i = 0; i < s->range_count; i++) {
        struct bmm__stack_range *range = &s->ranges[i];
        if (i > 0 && range->first < range[-1].first + range[-1].count)
            return bmm__fail(why, "%s: two chunks hold the same stack ids (S2)", path);
        uint32_t from = unproved_from(range, earlier);
        /* before they are looked at */
        range->written = s->header.state == BMM_SNAPSHOT_RUNNING ? count_written(range, from) : range->count;
        if (!has_wrong_parent(range, from))
            continue;
        for (uint32_t k = from; k < range->count; k++)
            if (is_wrong_parent(range->words + k, range->first + k) && !damaged(s))
                return bmm__fail(why, "%s: stack %u has parent %u (S5)", path, range->first + k,
                                 range->words[k - 1] & ~BMM_STACK_HEAD);
    }
    return true;
}

static bool check_spans(struct bmm__snapshot *s, const char *path, struct bmm__why *why)
{
    uint64_t slots = 0;
    for (uint32_t i = 0; i < s->header.chunk_count; i++) {
        const struct bmm_snapshot_chunk *chunk = &s->chunks[i];
        if (chunk->type != BMM_CHUNK_SPANS)
            continue;
        const struct bmm_snapshot_span *spans = (const void *)(s->bytes + chunk->offset);
        uint64_t count = (chunk->used > 0 ? chunk->used : chunk->bytes) / sizeof *spans;
        for (uint64_t k = 0; k < count; k++) {
            struct bmm_snapshot_span span = spans[k];
            if (span.start == 0)
                continue;
            slots += span.slot_count;
            if (bmm__snapshot_mirror(s, &span) == NULL && !damaged(s))
                return bmm__fail(why, "%s: records of the span at 0x%llx lie outside the file (S2)", path,
                                 (unsigned long long)span.start);
        }
    }
    /* Spans do not share records; a file that says so could keep us busy for ever. */
    if (slots > s->header.file_bytes / sizeof(struct bmm_snapshot_mirror))
        return bmm__fail(why, "%s: spans with more records than the file holds (S2)", path);
    return true;
}

/* Packed records must fill `used` exactly. */
static bool check_packed(struct bmm__snapshot *s, const char *path, struct bmm__why *why)
{
    for (uint32_t i = 0; i < s->header.chunk_count; i++) {
        const struct bmm_snapshot_chunk *chunk = &s->chunks[i];
        if (chunk->type != BMM_CHUNK_MODULES && chunk->type != BMM_CHUNK_UNCHECKED)
            continue;
        for (uint64_t offset = 0; offset < chunk->used;) {
            uint32_t bytes = 0;
            if (chunk->used - offset >= sizeof bytes)
                memcpy(&bytes, s->bytes + chunk->offset + offset, sizeof bytes);
            if (bytes < 8 || bytes % 8 != 0 || bytes > chunk->used - offset) {
                if (!damaged(s))
                    return bmm__fail(why, "%s: record of %u bytes in chunk %u (type %u) (S2)", path, bytes, i,
                                     chunk->type);
                break;
            }
            offset += bytes;
        }
    }
    return true;
}

bool bmm__snapshot_open(struct bmm__snapshot *s, const char *path, struct bmm__why *why)
{
    return bmm__snapshot_open_again(s, path, NULL, why);
}

bool bmm__snapshot_open_again(struct bmm__snapshot *s, const char *path, const struct bmm__snapshot *earlier,
                              struct bmm__why *why)
{
    *s = (struct bmm__snapshot){ 0 };
    if (map_file(s, path, why) && check_header(s, path, why) && check_chunks(s, path, why) &&
        check_stacks(s, path, earlier, why) && check_spans(s, path, why) && check_packed(s, path, why))
        return true;
    bmm__snapshot_close(s);
    return false;
}

void bmm__snapshot_unmap(struct bmm__snapshot *s)
{
    if (s->bytes != NULL)
        munmap((void *)(uintptr_t)s->bytes, s->mapped_bytes);
    s->bytes = NULL;
    for (uint32_t i = 0; i < s->range_count; i++)
        s->ranges[i].words = NULL;
}

void bmm__snapshot_close(struct bmm__snapshot *s)
{
    bmm__snapshot_unmap(s);
    free(s->chunks);
    free(s->ranges);
    *s = (struct bmm__snapshot){ 0 };
}
