/* Code addresses as 31 bits and back. */
#define _GNU_SOURCE
#include "debug/stack_site.h"

#include "brainmm/snapshot.h"

#include <criterion/criterion.h>
#include <pthread.h>

enum { THREADS = 8, MEBIBYTES = 1500 };

static uintptr_t pc_of(uintptr_t mebibyte, uintptr_t place)
{
    return mebibyte << BMM_SITE_BITS | place;
}

Test(site, is_the_address_again)
{
    static const uintptr_t pcs[] = { BMM_STACK_TRUNCATED, BMM_STACK_SIGNAL, 0xfffff,        0x100000,
                                     0x55550000abcd,      0x7fffffffffff,   0xffffffffffff, 0x0007555500001234,
                                     0xfffe7fffffffffff };
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof pcs / sizeof *pcs; i++) {
            uint32_t site = bmm__site_of(pcs[i]);
            cr_assert_neq(site, 0);
            cr_assert_eq(bmm__site_pc(site), pcs[i], "%lx is %lx", pcs[i], bmm__site_pc(site));
        }
    cr_assert_eq(bmm__site_of(0x55550000abcd) >> BMM_SITE_BITS, bmm__site_of(0x555500000001) >> BMM_SITE_BITS);
    cr_assert_neq(bmm__site_of(0x55550000abcd), bmm__site_of(0x000155550000abcd), "the epoch counts");
}

Test(site, mebibyte_0_needs_no_place)
{
    uint64_t other = 1;
    while (bmm__site_slot(other) != bmm__site_slot(0)) /* takes the place where 0 would be looked for */
        other++;
    uint32_t site = bmm__site_of(pc_of(other, 7));
    cr_expect_eq(bmm__site_pc(site), pc_of(other, 7));
    cr_expect_eq(bmm__site_of(5), 5);
    cr_expect_eq(bmm__site_pc(5), 5);
}

static uint32_t sites[THREADS][MEBIBYTES];

static void *ask(void *number)
{
    uint32_t *mine = number;
    for (uintptr_t i = 0; i < MEBIBYTES; i++) {
        uintptr_t mebibyte = 1 + (i * 7 + (uintptr_t)(mine - sites[0]) / MEBIBYTES) % MEBIBYTES;
        mine[mebibyte - 1] = bmm__site_of(pc_of(mebibyte, 5));
    }
    return NULL;
}

Test(site, threads_agree, .timeout = 60)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, ask, sites[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (uintptr_t i = 0; i < MEBIBYTES; i++) {
        cr_assert_eq(bmm__site_pc(sites[0][i]), pc_of(i + 1, 5));
        for (int k = 1; k < THREADS; k++)
            cr_assert_eq(sites[k][i], sites[0][i]);
    }
}

/* A program that loads and unloads a library for ever. */
Test(site, without_numbers_left_the_epoch_goes_first)
{
    uintptr_t place = 0x7f0000001234, last = 0;
    for (uintptr_t epoch = 0; epoch < 60000; epoch++) {
        uintptr_t pc = place | epoch << 48;
        uint32_t site = bmm__site_of(pc);
        cr_assert_neq(site, 0);
        if (bmm__site_pc(site) == pc)
            last = epoch;
        else
            cr_assert_eq(bmm__site_pc(site), place | (uintptr_t)0xffff << 48);
    }
    cr_assert_gt(last, 1500);
    cr_assert_lt(last, BMM_SITE_NUMBERS);
    cr_assert_eq(bmm__site_pc(bmm__site_of(place)), place, "what has a number keeps it");
}

Test(site, there_are_only_so_many)
{
    uintptr_t mebibyte = 1;
    while (bmm__site_of(pc_of(mebibyte, 1)) != 0)
        mebibyte++;
    cr_assert_eq(mebibyte, BMM_SITE_NUMBERS);
    cr_assert_eq(bmm__site_of(pc_of(mebibyte, 1)), 0);
    cr_assert_neq(bmm__site_of(pc_of(1, 1)), 0);
}
