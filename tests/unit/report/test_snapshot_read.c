/* The reader of snapshots: good files are read, bad ones are named, hostile ones do no harm. */
#define _GNU_SOURCE
#include "make_snapshot.h"
#include "report/add_snapshot.h"
#include "report/snapshot_read.h"

#include <criterion/criterion.h>

Test(snapshot, elements_are_read)
{
    struct made_snapshot made;
    struct bmm__snapshot s;
    struct bmm__why why;
    made_sample(&made, BMM_SNAPSHOT_EXITED);
    const char *path = made_path("elements.bmm");
    made_write(&made, path);
    cr_assert(bmm__snapshot_open(&s, path, &why), "%s", why.text);
    unlink(path);
    const char *text;
    size_t bytes;
    struct bmm__cursor c = { 0 };
    cr_assert(bmm__snapshot_next_argument(&s, &c, &text, &bytes) && bytes == 7 && strcmp(text, "program") == 0);
    cr_assert(bmm__snapshot_next_argument(&s, &c, &text, &bytes) && bytes == 0);
    cr_assert(bmm__snapshot_next_argument(&s, &c, &text, &bytes) && strcmp(text, "argument") == 0);
    cr_assert_not(bmm__snapshot_next_argument(&s, &c, &text, &bytes));
    c = (struct bmm__cursor){ 0 };
    struct bmm__module_record module;
    cr_assert(bmm__snapshot_next_module(&s, &c, &module));
    cr_assert_str_eq(module.path, "/path/of/program");
    cr_assert_eq(module.build_id_bytes, 3);
    cr_assert_not(bmm__snapshot_next_module(&s, &c, &module));
    c = (struct bmm__cursor){ 0 };
    struct bmm__unchecked_record unchecked;
    cr_assert(bmm__snapshot_next_unchecked(&s, &c, &unchecked));
    cr_assert_str_eq(unchecked.reason, "it is statically linked");
    cr_assert_str_eq(unchecked.path, "/bin/static");
    c = (struct bmm__cursor){ 0 };
    struct bmm_snapshot_error error;
    cr_assert(bmm__snapshot_next_error(&s, &c, &error));
    cr_assert_not(bmm__snapshot_next_error(&s, &c, &error), "not committed");
    c = (struct bmm__cursor){ 0 };
    struct bmm_snapshot_span span;
    cr_assert(bmm__snapshot_next_span(&s, &c, &span));
    cr_assert_eq(BMM_MIRROR_STATE(bmm__snapshot_mirror(&s, &span)[1].detail), BMM_SLOT_LIVE);
    struct bmm__stack_node node = { 0 };
    cr_assert(bmm__snapshot_stack_node(&s, 3, &node) && node.parent == 0);
    cr_assert(bmm__snapshot_stack_node(&s, 4, &node) && node.parent == 3);
    static const uint32_t none[] = { 0, 1, 2, 5, UINT32_MAX };
    for (unsigned i = 0; i < sizeof none / sizeof *none; i++)
        cr_assert_not(bmm__snapshot_stack_node(&s, none[i], &node));
    bmm__snapshot_close(&s);
}

/* Opens bytes as a file; "" if that worked. */
static const char *refusal(const unsigned char *bytes, size_t count)
{
    static struct bmm__why why;
    struct bmm__snapshot s;
    const char *path = made_path("refused.bmm");
    made_write_bytes(path, bytes, count);
    why.text[0] = 0;
    if (bmm__snapshot_open(&s, path, &why))
        bmm__snapshot_close(&s);
    unlink(path);
    return why.text;
}

static struct bmm_snapshot_header *header_of(unsigned char *bytes)
{
    return (struct bmm_snapshot_header *)(void *)bytes;
}

static struct bmm_snapshot_chunk *chunk_of(unsigned char *bytes, uint32_t type)
{
    struct bmm_snapshot_chunk *chunk = (void *)(bytes + BMM_SNAPSHOT_CHUNKS_OFFSET);
    while (chunk->type != type)
        chunk++;
    return chunk;
}

#define EXPECT_REFUSED(change, words) \
    do { \
        memcpy(bytes, good, count); \
        change; \
        cr_expect_not_null(strstr(refusal(bytes, count), words), "%s: '%s'", #change, refusal(bytes, count)); \
    } while (0)

Test(snapshot, what_is_wrong_is_named)
{
    struct made_snapshot made;
    size_t count;
    made_sample(&made, BMM_SNAPSHOT_EXITED);
    unsigned char *good = made_bytes(&made, &count), *bytes = malloc(count);
    cr_assert_str_eq(refusal(good, count), "");
    struct bmm_snapshot_header *header = header_of(bytes);
    EXPECT_REFUSED(header->magic[0] = 'X', "no BrainMM magic at its start (S1)");
    EXPECT_REFUSED(header->version = 2u << 16, "snapshot format 2, this viewer reads 3 (S1)");
    EXPECT_REFUSED(header->byte_order = 0x04030201u, "another byte order (S1)");
    EXPECT_REFUSED(header->header_bytes = 512, "header of 512 bytes instead of 4096 (S1)");
    EXPECT_REFUSED(header->state = 9, "unknown state 9 (S1)");
    EXPECT_REFUSED(header->file_bytes = count + 1, "cut short");
    EXPECT_REFUSED(header->chunk_count = 2000, "2000 chunks in a directory of 1024 (S2)");
    EXPECT_REFUSED(header->chunks_offset = count, "chunk directory outside the file (S2)");
    EXPECT_REFUSED(header->chunks_offset = UINT64_MAX - 8, "chunk directory outside the file (S2)");
    EXPECT_REFUSED(chunk_of(bytes, BMM_CHUNK_SPANS)->offset = count & ~(size_t)15, "lies outside the file (S2)");
    EXPECT_REFUSED(chunk_of(bytes, BMM_CHUNK_SPANS)->bytes = UINT64_MAX, "lies outside the file (S2)");
    EXPECT_REFUSED(chunk_of(bytes, BMM_CHUNK_SPANS)->used = count, "lies outside the file (S2)");
    EXPECT_REFUSED(chunk_of(bytes, BMM_CHUNK_SPANS)->offset += 8, "lies outside the file (S2)");
    EXPECT_REFUSED(chunk_of(bytes, BMM_CHUNK_STACKS)->first = UINT32_MAX, "do not fit 32 bits (S2)");
    EXPECT_REFUSED(((uint32_t *)(void *)(bytes + chunk_of(bytes, BMM_CHUNK_STACKS)->offset))[2] = 3 | BMM_STACK_HEAD,
                   "stack 3 has parent 3 (S5)");
    EXPECT_REFUSED(
        ((struct bmm_snapshot_span *)(void *)(bytes + chunk_of(bytes, BMM_CHUNK_SPANS)->offset))->mirror_offset =
            count - 16,
        "lie outside the file (S2)");
    EXPECT_REFUSED(
        ((struct bmm_snapshot_span *)(void *)(bytes + chunk_of(bytes, BMM_CHUNK_SPANS)->offset))->mirror_offset += 4,
        "(S2)");
    EXPECT_REFUSED(((struct bmm_snapshot_module *)(void *)(bytes + chunk_of(bytes, BMM_CHUNK_MODULES)->offset))->bytes =
                       4,
                   "record of 4 bytes");
    EXPECT_REFUSED(chunk_of(bytes, BMM_CHUNK_NOTES)->type = 777, ""); /* S3: skipped */
    cr_expect_not_null(strstr(refusal(good, 100), "only 100 bytes"));
    cr_expect_not_null(strstr(refusal((const unsigned char *)"", 0), "only 0 bytes"));
    free(bytes);
    free(good);
}

Test(snapshot, a_wrong_parent_is_named_wherever_it_stands)
{
    struct made_snapshot made;
    enum { RUNS = 21 };
    uint32_t ids[RUNS];
    size_t count;
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
    for (unsigned i = 0; i < RUNS; i++)
        ids[i] = made_node(&made, 0, 0x2000 + i);
    unsigned char *good = made_bytes(&made, &count), *bytes = malloc(count);
    cr_assert_str_eq(refusal(good, count), "");
    for (unsigned i = 0; i < RUNS; i++) {
        char words[64];
        memcpy(bytes, good, count);
        uint32_t *stacks = (uint32_t *)(void *)(bytes + chunk_of(bytes, BMM_CHUNK_STACKS)->offset);
        stacks[ids[i] - 1] = ids[i] | BMM_STACK_HEAD;
        snprintf(words, sizeof words, "stack %u has parent %u (S5)", ids[i], ids[i]);
        cr_expect_not_null(strstr(refusal(bytes, count), words), "%u: '%s'", i, refusal(bytes, count));
        stacks[ids[i] - 1] = (ids[i] - 1) | BMM_STACK_HEAD;
        cr_expect_str_eq(refusal(bytes, count), "", "%u", i);
    }
    free(bytes);
    free(good);
}

/* Of a process that was looked at while it ran: its depot has room for more than had been written. */
Test(snapshot, what_is_written_later_is_looked_at_later)
{
    struct made_snapshot made;
    enum { RUNS = 21, EARLY = 8 };
    uint32_t ids[RUNS];
    size_t count;
    const char *path = made_path("written.bmm");
    struct bmm__why why;
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
    for (unsigned i = 0; i < RUNS; i++)
        ids[i] = made_node(&made, 0, 0x2000 + i);
    unsigned char *good = made_bytes(&made, &count), *bytes = malloc(count);
    memcpy(bytes, good, count);
    uint32_t *stacks = (uint32_t *)(void *)(bytes + chunk_of(bytes, BMM_CHUNK_STACKS)->offset);
    header_of(bytes)->state = BMM_SNAPSHOT_RUNNING;
    for (uint32_t id = ids[EARLY]; id <= ids[RUNS - 1]; id++)
        stacks[id] = 0;
    made_write_bytes(path, bytes, count);
    struct bmm__snapshot earlier, later;
    cr_assert(bmm__snapshot_open(&earlier, path, &why), "%s", why.text);
    bmm__snapshot_unmap(&earlier);
    uint32_t room = earlier.ranges[0].count, written = earlier.ranges[0].written;
    for (unsigned i = 0; i < RUNS; i++) {
        memcpy(bytes, good, count);
        stacks[ids[i] - 1] = ids[i] | BMM_STACK_HEAD;
        made_write_bytes(path, bytes, count);
        bool is_opened = bmm__snapshot_open_again(&later, path, &earlier, &why);
        cr_expect_eq(is_opened, i < EARLY, "%u", i);
        bmm__snapshot_close(&later);
        earlier.ranges[0].count = earlier.ranges[0].written = 0; /* as in a hostile file: nothing is known of it */
        cr_expect_not(bmm__snapshot_open_again(&later, path, &earlier, &why), "%u", i);
        bmm__snapshot_close(&later);
        earlier.ranges[0].count = room;
        earlier.ranges[0].written = written;
    }
    bmm__snapshot_close(&earlier);
    unlink(path);
    free(bytes);
    free(good);
}

/* Reads everything that a report reads. True if the file was accepted. */
static bool read_all(const unsigned char *bytes, size_t count)
{
    const char *path = made_path("hostile.bmm");
    made_write_bytes(path, bytes, count);
    struct bmm__report *report = bmm__report_make();
    struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&report->strings);
    struct bmm__why why = { "" };
    bool is_read = bmm__report_add_snapshot(report, symbolizer, path, &(struct bmm__process_facts){ 0 }, &why);
    bmm__report_finish(report);
    cr_assert(is_read || why.text[0] != 0, "a refusal has a reason");
    bmm__symbolizer_free(symbolizer);
    bmm__report_free(report);
    unlink(path);
    return is_read;
}

Test(snapshot, every_truncation_is_refused)
{
    struct made_snapshot made;
    size_t count;
    made_sample(&made, BMM_SNAPSHOT_RUNNING);
    unsigned char *bytes = made_bytes(&made, &count);
    cr_assert(read_all(bytes, count));
    for (size_t length = 0; length < count; length += 64)
        cr_assert_not(read_all(bytes, length), "%zu of %zu bytes", length, count);
    free(bytes);
}

Test(snapshot, flipped_bytes_do_no_harm, .timeout = 100)
{
    uint64_t random = 88172645463325252u;
    for (uint32_t state = BMM_SNAPSHOT_RUNNING; state <= BMM_SNAPSHOT_EXECED; state++) {
        struct made_snapshot made;
        size_t count;
        made_sample(&made, state);
        unsigned char *good = made_bytes(&made, &count), *bytes = malloc(count);
        size_t data = count - BMM_SNAPSHOT_DATA_OFFSET;
        for (int round = 0; round < 1500; round++) {
            memcpy(bytes, good, count);
            for (int flips = 1 + round % 4; flips > 0; flips--) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                /* Only what means something: header, the first chunk entries, the chunks. */
                size_t place = random % (200 + 500 + data);
                place = place < 200 ? place : place < 700 ? 4096 + place - 200 : BMM_SNAPSHOT_DATA_OFFSET + place - 700;
                bytes[place] = (unsigned char)(random >> 32);
            }
            read_all(bytes, count);
        }
        free(bytes);
        free(good);
    }
}

Test(snapshot, torn_records_of_a_killed_process_are_left_out)
{
    struct made_snapshot made;
    made_sample(&made, BMM_SNAPSHOT_RUNNING);
    ((struct bmm_snapshot_mirror *)(void *)made.chunks[BMM_CHUNK_MIRROR].bytes)[1].size ^= 1; /* S4 */
    ((struct bmm_snapshot_span *)made_room(&made, BMM_CHUNK_SPANS, sizeof(struct bmm_snapshot_span)))->start = 16;
    ((struct bmm_snapshot_span *)(void *)made.chunks[BMM_CHUNK_SPANS].bytes)[1].slot_count = 1u << 30;
    size_t count;
    unsigned char *bytes = made_bytes(&made, &count);
    cr_assert_not(read_all(bytes, count), "more records than the file holds");
    free(bytes);

    made_sample(&made, BMM_SNAPSHOT_RUNNING);
    ((struct bmm_snapshot_mirror *)(void *)made.chunks[BMM_CHUNK_MIRROR].bytes)[1].size ^= 1;
    const char *path = made_path("torn.bmm");
    made_write(&made, path);
    struct bmm__report *report = bmm__report_make();
    struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&report->strings);
    struct bmm__why why;
    cr_assert(bmm__report_add_snapshot(report, symbolizer, path, &(struct bmm__process_facts){ 0 }, &why));
    bmm__report_finish(report);
    unlink(path);
    cr_expect_eq(report->leaked_blocks, 0);
    cr_expect_str_eq(report->processes[0].state, "ended");
    bool is_noted = false;
    for (uint32_t i = 0; i < report->note_count; i++)
        is_noted |= strstr(report->notes[i].text, "1 records were not complete") != NULL;
    cr_expect(is_noted);
    bmm__symbolizer_free(symbolizer);
    bmm__report_free(report);
}
