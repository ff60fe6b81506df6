/* Modules: found, logged once, told apart when one comes to another's place. */
#include "debug/module.h"
#include "debug/module_loader.h"

#include <criterion/criterion.h>

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

static int own_function(void)
{
    return 1;
}

Test(module, the_program_and_libc_are_found)
{
    struct bmm__module program, libc;
    bool is_certain;
    cr_assert(bmm__module_find((uintptr_t)&own_function, &program, &is_certain));
    cr_expect(is_certain);
    cr_expect_leq(program.start, (uintptr_t)&own_function);
    cr_expect_gt(program.end, (uintptr_t)&own_function);
    cr_expect_neq(program.unwind_header, NULL);
    cr_expect_leq(program.unwind_low, (uintptr_t)program.unwind_header);
    cr_assert(bmm__module_find((uintptr_t)dlsym(RTLD_DEFAULT, "qsort"), &libc, &is_certain));
    cr_expect_neq(libc.start, program.start);
    cr_expect_not(libc.is_own_name);
}

Test(module, the_vdso_is_found)
{
    struct bmm__module vdso;
    bool is_certain;
    uintptr_t start = getauxval(AT_SYSINFO_EHDR);
    if (start == 0)
        cr_skip("no vdso");
    cr_expect(bmm__module_find(start + 0x700, &vdso, &is_certain));
    cr_expect_eq(vdso.start, start);
}

Test(module, wild_addresses_are_in_none)
{
    struct bmm__module module;
    bool is_certain;
    cr_expect_not(bmm__module_find(0, &module, &is_certain));
    cr_expect_not(bmm__module_find((uintptr_t)&module, &module, &is_certain));
    cr_expect_not(bmm__module_find(0x7fffffffffff, &module, &is_certain));
}

Test(module, a_library_loaded_again_is_the_same)
{
    struct bmm__module first, second;
    bool is_certain;
    void *handle = dlopen("libm.so.6", RTLD_NOW);
    cr_assert(handle);
    bmm__module_changed();
    uintptr_t at = (uintptr_t)dlsym(handle, "floor");
    cr_assert(bmm__module_find(at, &first, &is_certain));
    uint32_t loads = bmm__module_load_count();
    dlclose(handle);
    bmm__module_changed();
    cr_expect_gt(bmm__module_load_count(), loads);
    handle = dlopen("libm.so.6", RTLD_NOW);
    bmm__module_changed();
    at = (uintptr_t)dlsym(handle, "floor");
    cr_assert(bmm__module_find(at, &second, &is_certain));
    if (first.start == second.start)
        cr_expect_eq(first.epoch, second.epoch);
}

/* Whether the kernel puts two libraries to one place is its affair; they are loaded by turns until it did. */
Test(module, another_library_at_the_same_place_has_another_epoch)
{
    static const char *const names[] = { "libz.so.1", "libelf.so.1", "libm.so.6", "libbz2.so.1.0", "liblzma.so.5" };
    struct bmm__module seen[40];
    unsigned count = 0;
    for (unsigned i = 0; i < 40; i++) {
        void *handle = dlopen(names[i % 5], RTLD_NOW);
        if (!handle)
            continue;
        bool is_certain;
        bmm__module_changed();
        struct link_map *map = handle;
        if (bmm__module_find(map->l_addr + 0x2000, &seen[count], &is_certain))
            count++;
        dlclose(handle);
        bmm__module_changed();
    }
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < i; k++) {
            bool is_overlap = seen[i].start < seen[k].end && seen[k].start < seen[i].end;
            bool is_same = seen[i].start == seen[k].start && seen[i].end == seen[k].end &&
                           seen[i].unwind_header == seen[k].unwind_header;
            cr_expect(!is_overlap || is_same == (seen[i].epoch == seen[k].epoch));
        }
}

Test(module, the_copy_of_the_loaders_list_says_the_same)
{
    struct bmm__loaded asked, copied;
    uintptr_t pcs[] = { (uintptr_t)&own_function, (uintptr_t)dlsym(RTLD_DEFAULT, "qsort"),
                        (uintptr_t)dlsym(RTLD_DEFAULT, "criterion_run_all_tests") };
    for (unsigned i = 0; i < sizeof pcs / sizeof *pcs; i++) {
        bmm__loader_forget(false);
        cr_assert(bmm__loader_find(pcs[i], &asked));
        bmm__loader_forget(true);
        bmm__loader_read();
        cr_assert(bmm__loader_find(pcs[i], &copied));
        cr_expect_eq(asked.bias, copied.bias);
        cr_expect_eq(asked.unwind_header, copied.unwind_header);
        cr_expect_eq(asked.start, copied.start);
        cr_expect_str_eq(asked.name, copied.name);
    }
    bmm__loader_forget(false);
}
