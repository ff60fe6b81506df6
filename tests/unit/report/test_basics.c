/* Arena, map, interned strings, names of modules and functions. */
#include "report/arena.h"
#include "report/demangle.h"
#include "report/json_text.h"
#include "report/map.h"
#include "report/report.h"
#include "report/role.h"
#include "report/strings.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* What malloc hands out has been used before. */
static void make_dirty(void)
{
    enum { PIECES = 64, BYTES = 300000 };
    void *pieces[PIECES];
    for (unsigned i = 0; i < PIECES; i++)
        pieces[i] = memset(bmm__must_alloc(BYTES), 0xee, BYTES);
    for (unsigned i = 0; i < PIECES; i++)
        free(pieces[i]);
}

Test(arena, pieces_are_aligned_and_apart_and_zeroed_where_asked_for)
{
    struct bmm__arena arena = { 0 };
    unsigned char *last = NULL;
    mallopt(M_MMAP_THRESHOLD, 1 << 25);
    make_dirty();
    for (size_t bytes = 1; bytes < 200000; bytes = bytes * 3 / 2 + 1) {
        unsigned char *piece = bmm__arena_zero(&arena, bytes, 1);
        cr_assert_eq((uintptr_t)piece % 16, 0);
        for (size_t i = 0; i < bytes; i++)
            cr_assert_eq(piece[i], 0);
        memset(piece, 0xff, bytes);
        piece = bmm__arena_alloc(&arena, bytes);
        cr_assert_eq((uintptr_t)piece % 16, 0);
        memset(piece, 0xff, bytes);
        cr_assert_str_eq(bmm__arena_text(&arena, "text and more", 4), "text");
        if (last != NULL)
            cr_assert_eq(last[0], 0xff);
        last = piece;
    }
    cr_assert_str_eq(bmm__arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    bmm__arena_free(&arena);
}

Test(arena, memory_that_was_expected_is_as_any_other)
{
    enum { BYTES = 3 << 20 };
    unsigned char *dirty = bmm__must_alloc(BYTES);
    memset(dirty, 0xff, BYTES);
    free(dirty);
    for (size_t bytes = 1; bytes <= SIZE_MAX / 2; bytes = bytes * 5000 + 1) { /* the last is more than there is */
        bmm__prefault(bytes);
        bmm__expect_much();
        unsigned char *zeroed = bmm__must_zero(BYTES, 1);
        for (size_t i = 0; i < BYTES; i++)
            cr_assert_eq(zeroed[i], 0);
        memset(zeroed, 0xff, BYTES);
        free(zeroed);
    }
}

Test(arena, more_than_there_can_be_ends_the_process, .exit_code = 2)
{
    struct bmm__arena arena = { 0 };
    bmm__arena_zero(&arena, SIZE_MAX / 4, 8);
}

#ifndef __SANITIZE_ADDRESS__ /* which has a malloc of its own */
Test(arena, what_was_asked_for_ahead_stays)
{
    if (bmm__is_memory_limited())
        cr_skip_test("memory is limited");
    bmm__prefault((size_t)1 << 40);
    cr_expect_geq(mallinfo2().fordblks, (size_t)31 << 20);
}
#endif

Test(map, keeps_what_was_put_first)
{
    struct bmm__map map = { 0 };
    bool is_new;
    for (uint64_t i = 0; i < 10000; i++) {
        cr_assert_eq(bmm__map_put(&map, i * 64, i % 7, (uint32_t)i, &is_new), i);
        cr_assert(is_new);
    }
    for (uint64_t i = 0; i < 10000; i++) {
        cr_assert_eq(bmm__map_put(&map, i * 64, i % 7, 99, &is_new), i);
        cr_assert_not(is_new);
    }
    cr_assert_eq(map.count, 10000);
    bmm__map_free(&map);
}

Test(strings, equal_texts_are_one_pointer_and_valid_utf8)
{
    struct bmm__arena arena = { 0 };
    struct bmm__strings strings = { .arena = &arena };
    const char *name = bmm__intern(&strings, "name");
    char copy[] = "name";
    cr_assert_eq(bmm__intern(&strings, copy), name);
    cr_assert_neq(bmm__intern(&strings, "nam"), name);
    cr_assert_null(bmm__intern(&strings, NULL));
    cr_assert_str_eq(bmm__intern(&strings, ""), "");
    cr_assert_str_eq(bmm__intern(&strings, "gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
    cr_assert_str_eq(bmm__intern(&strings, "a\xff"
                                           "b"),
                     "a\xef\xbf\xbd"
                     "b");
    cr_assert_str_eq(bmm__intern(&strings, "\xc3"), "\xef\xbf\xbd");
    cr_assert_str_eq(bmm__intern(&strings, "\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", "a surrogate");
    cr_assert_str_eq(bmm__intern_bytes(&strings, "cut\0off", 7), "cut");
    bmm__strings_free(&strings);
    bmm__arena_free(&arena);
}

Test(demangle, names_are_those_of_the_source)
{
    static const char *const pairs[][2] = {
        { "main", "main" },
        { "work.isra.0", "work" },
        { "work.part.0.constprop.1", "work" },
        { "work.cold", "work" },
        { "work.coldness", "work.coldness" },
        { "_Z4workPKci", "work(char const*, int)" },
        { "_Z4workPKci.isra.0", "work(char const*, int)" },
        { "_ZN2ns5ThingC1Ev", "ns::Thing::Thing()" },
        { "_Znwm", "operator new(unsigned long)" },
        { "_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function" },
        { "_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write" },
        { "_Znonsense", "_Znonsense" },
        { "SYSTEM_$$_GETMEM$POINTER$QWORD", "SYSTEM.GETMEM" },
        { "P$DEMO_$$_DOIT$LONGINT", "DEMO.DOIT" },
        { "MY_UNIT_$$_RUN", "MY_UNIT.RUN" },
        { "P$DEMO$_$TFOO_$__$$_CREATE$LONGINT$$TFOO", "DEMO.TFOO.CREATE" },
        { "P$DEMO$_$TOUTER_$_TINNER_$__$$_WORK$LONGINT$LONGINT", "DEMO.TOUTER.TINNER.WORK" },
        { "P$DEMO$_$TOUTER_$_GO$ANSISTRING_NESTED$LONGINT_$$_DEEPER$$LONGINT", "DEMO.TOUTER.GO.DEEPER" },
        { "P$DEMO$_$TREC_$__$$_$plus$TREC$TREC$$TREC", "DEMO.TREC.$plus" },
        { "P$DEMO$_$TFPGLIST$1$CRC6824777A_$__$$_ADD$ANSISTRING$$LONGINT", "DEMO.TFPGLIST.ADD" },
        { "P$", "P$" },
        { "A_$$_", "A" },
        { "_$$_X", "_$$_X" },
        { "FPC_DYNARR_SETLENGTH", "FPC_DYNARR_SETLENGTH" },
        { "cash$$_flow", "cash$$_flow" },
    };
    struct bmm__arena arena = { 0 };
    struct bmm__strings strings = { .arena = &arena };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        cr_expect_str_eq(bmm__demangle(&strings, pairs[i][0]), pairs[i][1]);
    cr_assert_null(bmm__demangle(&strings, NULL));
    cr_assert_null(bmm__demangle(&strings, ""));
    bmm__strings_free(&strings);
    bmm__arena_free(&arena);
}

Test(role, modules_are_known_by_their_file_name)
{
    static const struct {
        const char *path;
        enum bmm__role role;
    } cases[] = {
        { "/usr/lib/x86_64-linux-gnu/libc.so.6", BMM_ROLE_LIBC },
        { "/lib/libc-2.31.so", BMM_ROLE_LIBC },
        { "/lib/libm.so.6", BMM_ROLE_LIBC },
        { "/lib/libpthread.so.0", BMM_ROLE_LIBC },
        { "/lib/libnss_files.so.2", BMM_ROLE_LIBC },
        { "[vdso]", BMM_ROLE_LIBC },
        { "/lib64/ld-linux-x86-64.so.2", BMM_ROLE_LOADER },
        { "/lib/ld-2.31.so", BMM_ROLE_LOADER },
        { "/lib/ld-musl-x86_64.so.1", BMM_ROLE_LOADER },
        { "/usr/lib/libstdc++.so.6", BMM_ROLE_RUNTIME },
        { "/usr/lib/libstdc++.so.6.0.30", BMM_ROLE_RUNTIME },
        { "/usr/lib/libgcc_s.so.1", BMM_ROLE_RUNTIME },
        { "/opt/lib/libbrainmm_debug.so", BMM_ROLE_ALLOCATOR },
        { "/usr/lib/libcjson.so.1", BMM_ROLE_PROGRAM },
        { "/usr/lib/libmagic.so.1", BMM_ROLE_PROGRAM },
        { "/usr/lib/libcrypto.so.3", BMM_ROLE_PROGRAM },
        { "/usr/bin/ld", BMM_ROLE_PROGRAM },
        { "/usr/bin/brainmm", BMM_ROLE_PROGRAM },
        { NULL, BMM_ROLE_PROGRAM },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(bmm__role_of_module(cases[i].path), cases[i].role, "%s", cases[i].path);
}

Test(role, allocating_functions_are_known_by_their_name)
{
    static const char *const theirs[] = {
        "malloc",         "calloc",
        "realloc",        "free",
        "reallocarray",   "aligned_alloc",
        "posix_memalign", "memalign",
        "valloc",         "pvalloc",
        "cfree",          "__libc_malloc",
        "__libc_calloc",  "__libc_realloc",
        "__libc_free",    "__libc_memalign",
        "free_sized",     "free_aligned_sized",
        "SYSTEM.GETMEM",  "SYSTEM.ALLOCMEM",
        "SYSTEM.FREEMEM", "SYSTEM.REALLOCMEM",
        "FPC_GETMEM",     "FPC_FREEMEM",
        "fpc_getmem",     "fpc_freemem",
        "fpc_AllocMem",   "operator new(unsigned long)",
        "bmm_malloc",     "BRAINMM.GETMEM",
    };
    static const char *const others[] = {
        "mallo", "malloc_usable_size", "xmalloc", "strdup", "Free", "", "fpc_Getmem"
    };
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        cr_assert_eq(bmm__part_of(&(struct bmm__frame){ .function = theirs[i] }), BMM_PART_ALLOCATOR, "%s", theirs[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert_eq(bmm__part_of(&(struct bmm__frame){ .function = others[i] }), BMM_PART_OTHER, "%s", others[i]);
    cr_assert_eq(bmm__part_of(&(struct bmm__frame){ 0 }), BMM_PART_OTHER);
    cr_assert_eq(bmm__part_of(&(struct bmm__frame){ .function = "main" }), BMM_PART_MAIN);
    cr_assert_eq(bmm__part_of(&(struct bmm__frame){ .function = "main", .role = BMM_ROLE_LIBC }), BMM_PART_OTHER);
    cr_assert_eq(bmm__part_of(&(struct bmm__frame){ .function = "_start" }), BMM_PART_START);
}

/* What a reader sees of a frame, and nothing else, makes its key. */
Test(basics, frames_that_read_differently_have_different_keys)
{
    static const struct bmm__frame same[] = {
        { .function = "f", .file = "f.c", .module = "m", .line = 3, .offset = 0x10 },
        { .function = "f", .file = "f.c", .module = "m", .line = 3, .offset = 0x20, .callee = "g", .is_inlined = true },
    };
    static const struct bmm__frame others[] = {
        { .function = "g", .file = "f.c", .module = "m", .line = 3, .offset = 0x10 },
        { .function = NULL, .file = "f.c", .module = "m", .line = 3, .offset = 0x10 },
        { .function = "f", .file = "g.c", .module = "m", .line = 3, .offset = 0x10 },
        { .function = "f", .file = "f.c", .module = "n", .line = 3, .offset = 0x10 },
        { .function = "f", .file = "f.c", .module = "m", .line = 4, .offset = 0x10 },
        { .function = "f", .file = "f.c", .module = "m", .line = 0, .offset = 0x10 },
        { .function = "f", .file = "f.c", .module = "m", .line = 0, .offset = 0x20 },
    };
    enum { OTHERS = sizeof others / sizeof *others };
    struct bmm__frame a = same[0], b = same[1], frames[OTHERS];
    bmm__frame_settle(&a);
    bmm__frame_settle(&b);
    cr_expect_eq(a.key, b.key);
    for (size_t i = 0; i < OTHERS; i++) {
        frames[i] = others[i];
        bmm__frame_settle(&frames[i]);
        cr_expect_neq(frames[i].key, a.key, "%zu", i);
        for (size_t k = 0; k < i; k++)
            cr_expect_neq(frames[i].key, frames[k].key, "%zu and %zu", i, k);
    }
}

Test(report, leaks_are_listed_by_size_then_by_fingerprint)
{
    static const struct bmm__leak given[] = {
        { .bytes = 8, .blocks = 1, .fingerprint = "1:00000000000000b1" },
        { .bytes = 8, .blocks = 1, .fingerprint = "1:00000000000000a1" },
        { .bytes = 8, .blocks = 1, .fingerprint = "1:00000" },
        { .bytes = 8, .blocks = 1, .fingerprint = "1:f" },
        { .bytes = 8, .blocks = 1, .fingerprint = "1:\xc3\xbc" },
        { .bytes = 8, .blocks = 1, .process = 1, .fingerprint = "1:00000000000000a1" },
        { .bytes = 8, .blocks = 2, .fingerprint = "3:00000000000000ff" },
        { .bytes = 9, .blocks = 1, .fingerprint = "3:00000000000000ff" },
    };
    static const unsigned order[] = { 7, 6, 2, 1, 0, 3, 4, 5 };
    enum { COUNT = sizeof given / sizeof *given };
    struct bmm__report *report = bmm__report_make();
    *bmm__report_add_process(report) = (struct bmm__process){ .pid = 1 };
    *bmm__report_add_process(report) = (struct bmm__process){ .pid = 2 };
    for (unsigned i = 0; i < COUNT; i++)
        *bmm__report_add_leak(report, BMM__LEAKS) = given[i];
    bmm__report_finish(report);
    cr_assert_eq(report->leaked_bytes, 65);
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert_eq(memcmp(&report->leaks[i], &given[order[i]], sizeof *given), 0, "place %u", i);
    bmm__report_free(report);
}

/* Each frame is written once; a stack is where its frames are in the list. */
Test(json, stacks_are_places_of_frames)
{
    struct bmm__frame frames[12] = { [1] = { .offset = 0x1f }, [11] = { .offset = UINT64_MAX, .is_inlined = true } };
    const struct bmm__frame *all[12], *some[] = { &frames[11], &frames[0], &frames[11] };
    for (unsigned i = 0; i < 12; i++)
        all[i] = &frames[i];
    struct bmm__stack whole = { all, 12, false }, part = { some, 3, false }, none = { NULL, 0, false };
    struct bmm__json_texts texts = { 0 };
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    bmm__json_write_frames(&texts, out, &none);
    bmm__json_write_frames(&texts, out, &whole);
    bmm__json_write_frames(&texts, out, &part);
    bmm__json_write_frames(&texts, out, &whole);
    fclose(out);
    cr_assert_not_null(strstr(text, "\"offset\":\"0x0\"}"));
    cr_assert_not_null(strstr(text, "\"offset\":\"0x1f\"}"));
    cr_assert_not_null(strstr(text, "\"offset\":\"0xffffffffffffffff\",\"inlined\":true}"));
    unsigned lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    cr_assert_eq(lines, 12);
    free(text);
    bmm__json_put(&texts, "a");
    bmm__json_put_stack(&texts, &whole);
    bmm__json_put_stack(&texts, &part);
    bmm__json_put_stack(&texts, &none);
    cr_assert_str_eq(bmm__json_take_line(&texts), "a[0,1,2,3,4,5,6,7,8,9,10,11][11,0,11][]");
    bmm__json_texts_free(&texts);
}
