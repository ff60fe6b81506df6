#include "layer.h"

#include "debug/calls.h"

#include <string.h>
#include <sys/stat.h>

TestSuite(recorder, .fini = layer_close);

Test(recorder, header_and_command)
{
    layer_open("mode=check");
    const struct bmm_snapshot_header *header = bmm__recorder_header();
    cr_assert_arr_eq(header->magic, BMM_SNAPSHOT_MAGIC, 8);
    cr_assert_eq(header->version, BMM_SNAPSHOT_VERSION);
    cr_assert_eq(header->pid, (uint32_t)getpid());
    cr_assert_eq(header->mode, BMM_MODE_CHECK);
    cr_assert_eq(header->state, BMM_SNAPSHOT_RUNNING);
    cr_assert_eq(header->exit_status, -1);
    cr_assert_neq(layer_chunk(BMM_CHUNK_COMMAND)->used, 0);
    cr_assert_str_eq(layer_data(BMM_CHUNK_OPTIONS), bmm__options.text);
    struct stat facts;
    cr_assert_eq(stat(bmm__recorder_path(), &facts), 0);
    cr_assert_eq(facts.st_mode & 0777, 0600);
}

Test(recorder, grows_and_stays_in_its_file)
{
    layer_open("mode=leak");
    struct bmm_snapshot_chunk *entry;
    for (int i = 0; i < 300; i++) {
        char *chunk = bmm__recorder_chunk(BMM_CHUNK_NOTES, 300000, 7, &entry);
        cr_assert_neq(bmm__recorder_offset(chunk), 0);
        cr_assert_not_null(chunk);
        cr_assert_eq((uintptr_t)chunk % 16, 0);
        cr_assert_eq(entry->first, 7);
        cr_assert_eq(entry->offset, bmm__recorder_offset(chunk));
        for (int at = 0; at < 300000; at++)
            cr_assert_eq(chunk[at], 0);
        memset(chunk, 'x', 300000);
    }
    struct stat facts;
    cr_assert_eq(stat(bmm__recorder_path(), &facts), 0);
    cr_assert_leq(bmm__recorder_header()->file_bytes, (uint64_t)facts.st_size);
    cr_assert_geq((uint64_t)facts.st_blocks * 512, bmm__recorder_header()->file_bytes); /* R1: allocated */
}

Test(recorder, full_means_private_and_says_so)
{
    layer_open("mode=leak,recorder_max=4M");
    char *last = NULL;
    for (int i = 0; i < 20; i++) {
        last = bmm__recorder_chunk(BMM_CHUNK_NOTES, 1 << 20, 0, NULL);
        cr_assert_not_null(last);
        memset(last, 'x', 1 << 20);
    }
    cr_assert_eq(bmm__recorder_offset(last), 0);
    cr_assert(bmm__recorder_header()->flags & BMM_SNAPSHOT_FULL);
    for (int i = 0; i < 100000; i++)
        cr_assert_not_null(bmm__call_alloc(100, 16, false, BMM_KIND_MALLOC));
}

Test(recorder, a_replaced_file_is_not_written)
{
    layer_open("mode=leak");
    cr_assert_eq(unlink(bmm__recorder_path()), 0);
    FILE *other = fopen(bmm__recorder_path(), "w");
    fclose(other);
    for (int i = 0; i < 8; i++)
        memset(bmm__recorder_chunk(BMM_CHUNK_NOTES, 1 << 20, 0, NULL), 'x', 1 << 20);
    struct stat facts;
    cr_assert_eq(stat(bmm__recorder_path(), &facts), 0);
    cr_assert_eq(facts.st_size, 0);
    cr_assert(bmm__recorder_header()->flags & BMM_SNAPSHOT_FULL);
}
