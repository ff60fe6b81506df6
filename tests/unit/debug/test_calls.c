#include "layer.h"

#include "debug/block.h"
#include "debug/calls.h"
#include "debug/check.h"
#include "debug/error.h"
#include "debug/quarantine.h"
#include "debug/thread.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>

#define NOT_GIVEN SIZE_MAX

static void *make(size_t size)
{
    return bmm__call_alloc(size, 16, false, BMM_KIND_MALLOC);
}

static void drop(void *p)
{
    bmm__call_free(p, NOT_GIVEN, 0, BMM_KIND_MALLOC);
}

TestSuite(calls, .fini = layer_close);

Test(calls, leak_mode_is_the_production_slot)
{
    layer_open("mode=leak");
    char *p = make(1001);
    struct bmm__slot slot;
    cr_assert(bmm__core_find((uintptr_t)p, &slot));
    cr_assert_eq(slot.start, (uintptr_t)p);
    cr_assert_eq(bmm__call_usable_size(p), slot.bytes);
    cr_assert_eq(layer_live(1001), 1);
    drop(p);
    cr_assert_eq(layer_live(1001), 0);
    cr_assert_null(layer_error(0));
}

Test(calls, sizes_and_alignments_under_check)
{
    layer_open("mode=check");
    for (size_t align = 16; align <= 1 << 16; align *= 2) {
        for (size_t size = 0; size < 5000; size = size * 2 + 1) {
            unsigned char *p = bmm__call_alloc(size, align, false, BMM_KIND_ALIGNED);
            cr_assert_not_null(p);
            cr_assert_eq((uintptr_t)p % align, 0);
            cr_assert_eq(bmm__call_usable_size(p), size);
            for (size_t i = 0; i < size; i++)
                cr_assert_eq(p[i], 0xf1);
            memset(p, 0, size);
            drop(p);
        }
    }
    cr_assert_null(layer_error(0));
}

/* Somebody is at work on the block, and has to wait for a processor. */
static void *claim_for_a_while(void *p)
{
    struct bmm__block block;
    cr_assert_eq(bmm__block_claim((uintptr_t)p, &block), BMM__BLOCK_LIVE);
    usleep(400000);
    bmm__block_unclaim(&block);
    return NULL;
}

static bool is_claimed(void *p)
{
    struct bmm__slot slot;
    return bmm__core_find((uintptr_t)p, &slot) &&
           bmm__load_acquire(&bmm__side_of(slot.span)->records[slot.index].state) == bmm__record_busy();
}

Test(calls, a_block_that_is_being_looked_at_can_be_freed)
{
    layer_open("mode=check");
    for (int round = 0; round < 2; round++) {
        void *p = make(777);
        pthread_t thread;
        pthread_create(&thread, NULL, claim_for_a_while, p);
        while (!is_claimed(p))
            usleep(1000);
        if (round == 0)
            drop(p);
        else
            cr_assert_not_null(p = bmm__call_realloc(p, 10, BMM_KIND_MALLOC));
        pthread_join(thread, NULL);
        cr_assert_eq(layer_live(777), 0);
    }
    cr_assert_null(layer_error(0));
}

Test(calls, a_child_frees_what_its_parent_was_looking_at)
{
    layer_open("mode=check");
    void *p = make(777), *q = make(778);
    struct bmm__block block;
    bmm__block_claim((uintptr_t)p, &block);
    bmm__block_claim((uintptr_t)q, &block);
    bmm__block_unclaim(&block);
    pid_t child = fork();
    if (child == 0) {
        bmm__process_fork_child();
        bool is_sized = bmm__call_usable_size(p) == 777;
        drop(p);
        struct bmm__slot slot;
        bool is_freed = bmm__core_find((uintptr_t)p, &slot) &&
                        bmm__side_of(slot.span)->records[slot.index].state == BMM_SLOT_QUARANTINED;
        drop(q);
        _exit(is_sized && is_freed && bmm__error_count() == 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
}

/* A signal handler that frees the block which it interrupted the free of, for instance. */
Test(calls, what_stays_claimed_is_no_error, .timeout = 30)
{
    layer_open("mode=check");
    void *p = make(777);
    struct bmm__block block;
    bmm__block_claim((uintptr_t)p, &block);
    drop(p);
    bmm__block_unclaim(&block);
    cr_assert_null(layer_error(0));
    cr_assert_eq(layer_live(777), 1);
}

Test(calls, a_block_without_a_record_has_the_size_of_its_slot)
{
    layer_open("mode=leak");
    char *p = bmm__core_alloc(20000, 16, false);
    struct bmm__slot slot;
    cr_assert(bmm__core_find((uintptr_t)p, &slot));
    cr_assert_null(bmm__side_of(slot.span));
    cr_assert_eq(bmm__call_usable_size(p), slot.bytes);
}

Test(calls, zeroed)
{
    layer_open("mode=check");
    for (int round = 0; round < 3; round++) {
        unsigned char *p = bmm__call_alloc(777, 16, true, BMM_KIND_MALLOC);
        for (int i = 0; i < 777; i++)
            cr_assert_eq(p[i], 0);
        memset(p, 1, 777);
        drop(p);
    }
}

Test(calls, impossible_sizes)
{
    layer_open("mode=check");
    cr_assert_null(make(SIZE_MAX));
    cr_assert_null(make(PTRDIFF_MAX));
    cr_assert_null(make(SIZE_MAX - 31));
    cr_assert_null(bmm__call_alloc(16, (size_t)1 << 62, false, BMM_KIND_MALLOC));
}

Test(calls, overflow_by_one_at_every_size)
{
    layer_open("mode=check");
    for (size_t size = 0; size < 90; size++) {
        char *p = make(size);
        p[size] = 0;
        drop(p);
    }
    const struct bmm_snapshot_error *error = layer_error(0);
    cr_assert_not_null(error);
    cr_assert_eq(error->kind, BMM_ERROR_HEAP_OVERFLOW);
    cr_assert_eq(error->changed_count, 1);
    cr_assert_eq(error->changed[0].offset, 0);
    cr_assert_eq(bmm__error_count(), 90);
}

Test(calls, underflow)
{
    layer_open("mode=check");
    char *p = make(40);
    p[-1] = 1;
    p[-16] = 1;
    drop(p);
    const struct bmm_snapshot_error *error = layer_error(0);
    cr_assert_eq(error->kind, BMM_ERROR_HEAP_UNDERFLOW);
    cr_assert_eq(error->changed_count, 2);
    cr_assert_eq(error->changed[0].offset, -16);
    cr_assert_eq(error->changed[1].offset, -1);
    cr_assert_eq(error->block, (uintptr_t)p);
    cr_assert_neq(error->alloc_stack, 0);
    cr_assert_neq(error->detected_stack, 0);
}

Test(calls, wrong_pointers)
{
    layer_open("mode=check");
    char *p = make(100), *freed = make(33), on_stack;
    drop(freed);
    drop(freed);
    drop(p + 1);
    drop(&on_stack);
    drop((void *)(uintptr_t)0x123456789abcdef0u);
    cr_assert_null(bmm__call_realloc(freed, 10, BMM_KIND_MALLOC));
    cr_assert_null(bmm__call_realloc(&on_stack, 10, BMM_KIND_MALLOC));
    static const uint32_t kinds[] = { BMM_ERROR_DOUBLE_FREE,  BMM_ERROR_INTERIOR_FREE, BMM_ERROR_INVALID_FREE,
                                      BMM_ERROR_INVALID_FREE, BMM_ERROR_DOUBLE_FREE,   BMM_ERROR_INVALID_FREE };
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_not_null(layer_error(i), "%u", i);
        cr_assert_eq(layer_error(i)->kind, kinds[i], "%u: %u", i, layer_error(i)->kind);
    }
    cr_assert_null(layer_error(6));
    cr_assert_neq(layer_error(0)->free_stack, 0);
    cr_assert_neq(layer_error(0)->alloc_stack, 0);
    cr_assert_eq(layer_error(1)->block, (uintptr_t)p);
    cr_assert_eq(layer_error(1)->address, (uintptr_t)p + 1);
    cr_assert_eq(bmm__call_usable_size(p), 100);
    cr_assert_eq(bmm__call_usable_size(p + 1), 0);
    cr_assert_eq(bmm__call_usable_size(freed), 0);
}

Test(calls, double_free_after_the_quarantine_is_still_named)
{
    layer_open("mode=check,quarantine=0");
    char *p = make(5000);
    drop(p);
    drop(p);
    cr_assert_eq(layer_error(0)->kind, BMM_ERROR_DOUBLE_FREE);
    cr_assert_neq(layer_error(0)->free_stack, 0);
}

Test(calls, kinds)
{
    layer_open("mode=leak");
    static const struct {
        unsigned from, to;
        bool is_wrong;
    } pairs[] = { { BMM_KIND_MALLOC, BMM_KIND_MALLOC, false }, { BMM_KIND_ALIGNED, BMM_KIND_MALLOC, false },
                  { BMM_KIND_BMM, BMM_KIND_MALLOC, false },    { BMM_KIND_MALLOC, BMM_KIND_BMM, false },
                  { BMM_KIND_NEW, BMM_KIND_NEW, false },       { BMM_KIND_NEW, BMM_KIND_MALLOC, true },
                  { BMM_KIND_MALLOC, BMM_KIND_NEW, true },     { BMM_KIND_NEW_ARRAY, BMM_KIND_NEW, true },
                  { BMM_KIND_NEW, BMM_KIND_NEW_ALIGNED, true } };
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        void *p = bmm__call_alloc(48, 16, false, pairs[i].from);
        bmm__call_free(p, NOT_GIVEN, 0, pairs[i].to);
        wrong += pairs[i].is_wrong;
        cr_assert_eq(bmm__error_count(), wrong, "%zu", i);
        cr_assert_eq(layer_live(48), 0); /* freed all the same */
    }
    cr_assert_eq(layer_error(0)->kind, BMM_ERROR_MISMATCHED_FREE);
    cr_assert_eq(layer_error(0)->alloc_kind, BMM_KIND_NEW);
    cr_assert_eq(layer_error(0)->free_kind, BMM_KIND_MALLOC);
}

Test(calls, sized_delete)
{
    layer_open("mode=leak");
    bmm__call_free(bmm__call_alloc(48, 16, false, BMM_KIND_NEW), 48, 0, BMM_KIND_NEW);
    bmm__call_free(bmm__call_alloc(48, 64, false, BMM_KIND_NEW_ALIGNED), 48, 64, BMM_KIND_NEW_ALIGNED);
    cr_assert_eq(bmm__error_count(), 0);
    bmm__call_free(bmm__call_alloc(48, 16, false, BMM_KIND_NEW), 40, 0, BMM_KIND_NEW);
    cr_assert_eq(layer_error(0)->kind, BMM_ERROR_SIZED_DELETE_MISMATCH);
    cr_assert_eq(layer_error(0)->given_size, 40);
    bmm__call_free(bmm__call_alloc(48, 64, false, BMM_KIND_NEW_ALIGNED), 48, 128, BMM_KIND_NEW_ALIGNED);
    cr_assert_eq(layer_error(1)->given_align, 128);
    cr_assert_eq(layer_error(1)->align, 64);
}

Test(calls, write_after_free_at_eviction_and_on_demand)
{
    layer_open("mode=check,quarantine=1M");
    char *p = make(64);
    drop(p);
    p[5] ^= 1;
    cr_assert_eq(bmm__check_all(BMM_MOMENT_DEMAND, NULL), 1);
    cr_assert_eq(layer_error(0)->kind, BMM_ERROR_WRITE_AFTER_FREE);
    cr_assert_eq(layer_error(0)->moment, BMM_MOMENT_DEMAND);
    cr_assert_eq(layer_error(0)->changed[0].offset, 5);
    cr_assert_eq(bmm__check_all(BMM_MOMENT_DEMAND, NULL), 0); /* restored */
    char *q = make(100);
    drop(q);
    q[99] ^= 1;
    for (int i = 0; i < 20; i++)
        drop(make(100000));
    cr_assert_not_null(layer_error(1));
    cr_assert_eq(layer_error(1)->moment, BMM_MOMENT_QUARANTINE);
    cr_assert_eq(layer_error(1)->block, (uintptr_t)q);
}

Test(calls, quarantine_keeps_addresses_back_and_its_bounds)
{
    layer_open("mode=check,quarantine=256K");
    char *p = make(64);
    drop(p);
    for (int i = 0; i < 500; i++) {
        char *q = make(64);
        cr_assert_neq(q, p);
        drop(q);
    }
    for (int i = 0; i < 100000; i++)
        drop(make((size_t)(i % 3000)));
    const struct bmm__quarantine *quarantine = &bmm__thread_current()->quarantine;
    cr_assert_leq(quarantine->bytes, 256u << 10);
    cr_assert_leq(quarantine->count, BMM__QUARANTINE_SLOTS);
    cr_assert_null(layer_error(0));
}

/* All that may be used is, and all of it that fits is found again. */
static void check_realloc(const char *options, bool is_exact)
{
    layer_open(options);
    unsigned char *p = make(1);
    size_t old_size = 1;
    p[0] = 0;
    static const size_t sizes[] = { 7,      100,     90,      5000,    4999,  70000, 71000,
                                    300000, 3000000, 9000000, 8000000, 40000, 30,    1 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        p = bmm__call_realloc(p, sizes[i], BMM_KIND_MALLOC);
        cr_assert_not_null(p);
        size_t usable = bmm__call_usable_size(p);
        cr_assert(is_exact ? usable == sizes[i] : usable >= sizes[i]);
        cr_assert_eq(layer_live(sizes[i]), 1);
        size_t kept = old_size < sizes[i] ? old_size : sizes[i];
        for (size_t at = 0; at < kept; at++)
            cr_assert_eq(p[at], (unsigned char)(at % 251));
        for (size_t at = 0; at < usable; at++)
            p[at] = (unsigned char)(at % 251);
        old_size = usable;
    }
    drop(p);
    cr_assert_eq(bmm__check_all(BMM_MOMENT_DEMAND, NULL), 0);
    cr_assert_null(layer_error(0));
}

Test(calls, realloc_under_leak)
{
    check_realloc("mode=leak", false);
}

Test(calls, realloc_under_check)
{
    check_realloc("mode=check", true);
}

Test(calls, realloc_keeps_alignment)
{
    layer_open("mode=check");
    void *p = bmm__call_alloc(10, 512, false, BMM_KIND_BMM);
    for (size_t size = 20; size < 1000000; size *= 3) {
        p = bmm__call_realloc(p, size, BMM_KIND_BMM);
        cr_assert_eq((uintptr_t)p % 512, 0);
    }
    drop(p);
}

Test(calls, realloc_that_cannot_leaves_the_block)
{
    layer_open("mode=check");
    char *p = make(100);
    strcpy(p, "kept");
    cr_assert_null(bmm__call_realloc(p, PTRDIFF_MAX, BMM_KIND_MALLOC));
    cr_assert_str_eq(p, "kept");
    cr_assert_eq(bmm__call_usable_size(p), 100);
    drop(p);
    cr_assert_null(layer_error(0));
}

Test(calls, same_error_is_one_entry)
{
    layer_open("mode=leak");
    char on_stack;
    for (int i = 0; i < 1000; i++)
        drop(&on_stack);
    cr_assert_eq(layer_error(0)->repeat_count, 1000);
    cr_assert_null(layer_error(1));
}
