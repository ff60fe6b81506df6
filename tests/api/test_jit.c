/* JIT heaps: code is written and runs, with one view and with two; little memory for little code. */
#define _GNU_SOURCE
#include "tests/api/jit_code.h"

EITHER(code_runs)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    PLAIN_CHECK(heap != NULL && (flags == 0 || bmm_jit_has_dual_views(heap)));
    errno = 77;
    char *piece = bmm_jit_get(heap, 64), *code = bmm_jit_code(heap, piece);
    PLAIN_CHECK(piece != NULL && code != NULL && (uintptr_t)piece % 16 == 0 && (uintptr_t)code % 16 == 0);
    PLAIN_CHECK(bmm_jit_has_dual_views(heap) == (code != piece) && errno == 77);
    publish_return(heap, piece, 42);
    PLAIN_CHECK_EQUAL(call(code), 42);
    if (sees_what_changes(heap)) {
        publish_return(heap, piece, 43);
        PLAIN_CHECK_EQUAL(call(code), 43);
    }
    publish_return(heap, piece + 32, 44);
    PLAIN_CHECK(bmm_jit_code(heap, piece + 32) == code + 32 && bmm_jit_data(heap, code + 32) == piece + 32);
    PLAIN_CHECK_EQUAL(call(code + 32), 44);
    PLAIN_CHECK(bmm_jit_code(heap, code + 63) == code + 63 && bmm_jit_data(heap, piece) == piece);
    PLAIN_CHECK(bmm_jit_free(heap, piece) && errno == 77);
    bmm_jit_destroy(heap);
}

EITHER(code_goes_on_in_another_piece)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    void *last = bmm_jit_get(heap, RETURN_BYTES), *first = bmm_jit_get(heap, JUMP_BYTES),
         *far = bmm_jit_get(heap, 3 * MIB);
    publish_return(heap, last, 4711);
    write_jump(far, bmm_jit_code(heap, last));
    PLAIN_CHECK(bmm_jit_publish(heap, far, JUMP_BYTES));
    write_jump(first, bmm_jit_code(heap, far));
    PLAIN_CHECK(bmm_jit_publish(heap, first, JUMP_BYTES));
    PLAIN_CHECK_EQUAL(call(bmm_jit_code(heap, first)), 4711);
    bmm_jit_destroy(heap);
}

EITHER(memory_has_the_rights_it_needs_and_no_more)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    static const size_t sizes[] = { 16, 3 * MIB };
    for (size_t i = 0; i < 2; i++) {
        char *piece = bmm_jit_get(heap, sizes[i]), *code = bmm_jit_code(heap, piece);
        if (bmm_jit_has_dual_views(heap)) {
            PLAIN_CHECK(strcmp(rights_at(piece), "rw-s") == 0 && strcmp(rights_at(code), "r-xs") == 0);
        } else {
            PLAIN_CHECK(strcmp(rights_at(piece), "rwxp") == 0);
        }
    }
    bmm_jit_destroy(heap);
}

EITHER(small_pieces_take_little_memory)
{
    enum { COUNT = 10000 };
    static char *pieces[COUNT];
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    struct size before = size_now();
    for (unsigned i = 0; i < COUNT; i++) {
        pieces[i] = bmm_jit_get(heap, 16);
        PLAIN_CHECK(pieces[i] != NULL && (uintptr_t)pieces[i] % 16 == 0);
        write_return(pieces[i], i);
    }
    struct size after = size_now();
    printf("  %zu KiB mapped, %zu KiB resident\n", (after.mapped - before.mapped) >> 10,
           (after.resident - before.resident) >> 10);
    PLAIN_CHECK(after.mapped < before.mapped + 2 * MIB && after.resident < before.resident + MIB);
    for (unsigned i = 0; i < COUNT; i++) {
        PLAIN_CHECK(bmm_jit_publish(heap, pieces[i], RETURN_BYTES));
        PLAIN_CHECK_EQUAL(call(bmm_jit_code(heap, pieces[i])), i);
    }
    for (unsigned i = 0; i < COUNT; i++)
        PLAIN_CHECK(bmm_jit_free(heap, pieces[i]));
#ifndef BMM_EMULATED /* which keeps what it translated */
    PLAIN_CHECK(size_now().mapped < before.mapped + 512 * 1024);
#endif
    bmm_jit_destroy(heap);
}

/* The places of pieces that ended are used again: the heap does not grow. */
EITHER(places_are_used_again)
{
    enum { COUNT = 500 };
    static char *pieces[COUNT];
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    for (int i = 0; i < COUNT; i++)
        pieces[i] = bmm_jit_get(heap, 1000);
    struct size before = size_now();
    for (int i = 0; i < 20000; i++) {
        int which = i * 7 % COUNT;
        PLAIN_CHECK(bmm_jit_free(heap, pieces[which]));
        pieces[which] = bmm_jit_get(heap, 1000 - (size_t)(i % 900));
    }
    PLAIN_CHECK(size_now().mapped <= before.mapped + MIB);
    bmm_jit_destroy(heap);
}

EITHER(clear_makes_a_heap_as_new)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    size_t before = executable_bytes();
    for (int round = 0; round < 3; round++) {
        char *pieces[1000], *codes[1000];
        for (int i = 0; i < 1000; i++) {
            pieces[i] = bmm_jit_get(heap, i % 100 == 0 ? 200000 : (size_t)i + 1);
            codes[i] = bmm_jit_code(heap, pieces[i]);
        }
        PLAIN_CHECK(executable_bytes() > before + 2 * MIB);
        bmm_jit_clear(heap);
        PLAIN_CHECK_EQUAL(executable_bytes(), before);
        for (int i = 0; i < 1000; i += 50) {
            PLAIN_CHECK(rights_at(pieces[i])[0] == '\0' && rights_at(codes[i])[0] == '\0');
            PLAIN_CHECK(is_refused(heap, pieces[i]) && is_refused(heap, codes[i]));
        }
        bmm_jit_clear(heap);
    }
    char *piece = bmm_jit_get(heap, 64);
    publish_return(heap, piece, 5);
    PLAIN_CHECK_EQUAL(call(bmm_jit_code(heap, piece)), 5);
    bmm_jit_destroy(heap);
    PLAIN_CHECK_EQUAL(executable_bytes(), before);
}

EITHER(nothing_else_becomes_executable)
{
    enum { COUNT = 3000 };
    static void *blocks[COUNT];
    size_t before = executable_bytes();
    for (int round = 0; round < 3; round++) {
        struct bmm_jit_heap *heap = bmm_jit_create(flags);
        for (int i = 0; i < COUNT; i++)
            PLAIN_CHECK(bmm_jit_get(heap, (size_t)i * 37 % 70000) != NULL);
        bmm_jit_destroy(heap);
    }
    for (size_t i = 0; i < COUNT; i++)
        memset(blocks[i] = malloc(i * 37 % 70000), 1, i * 37 % 70000);
    PLAIN_CHECK_EQUAL(executable_bytes(), before);
    for (size_t i = 0; i < COUNT; i += 100)
        PLAIN_CHECK(strchr(rights_at(blocks[i]), 'x') == NULL);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
}

/* What is got is written at its end, in pages that nobody else touches. */
EITHER(a_piece_of_a_gibibyte)
{
#ifdef BMM_EMULATED
    PLAIN_SKIP("the emulator keeps a record of each page");
#endif
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    size_t size = ((size_t)1 << 30) + 100;
    struct size before = size_now();
    char *piece = bmm_jit_get(heap, size);
    if (piece == NULL)
        PLAIN_SKIP("the system has no such piece of address space");
    char *code = bmm_jit_code(heap, piece);
    publish_return(heap, piece + size - 32, 1234);
    publish_return(heap, piece, 1235);
    PLAIN_CHECK(call(code + size - 32) == 1234 && call(code) == 1235);
    PLAIN_CHECK(size_now().resident < before.resident + 8 * MIB);
    PLAIN_CHECK(bmm_jit_free(heap, code));
    PLAIN_CHECK(rights_at(piece)[0] == '\0' && rights_at(code + size - 1)[0] == '\0');
    PLAIN_CHECK(size_now().mapped < before.mapped + 8 * MIB);
    bmm_jit_destroy(heap);
}

/* Sizes of all kinds; what was written in a piece is there as long as it lives, in both views, and at no time in another's. */
EITHER(random_pieces_keep_what_they_hold)
{
    enum { COUNT = 600, STEPS = 20000 };
    static struct {
        unsigned char *piece;
        size_t size;
    } all[COUNT];
    uint64_t random = 88172645463325252u;
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    memset(all, 0, sizeof all);
    for (int step = 0; step < STEPS; step++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        size_t which = random % COUNT, size = (random >> 20) % (random >> 60 == 0 ? 200000 : random >> 63 ? 70 : 5000);
        unsigned char mark = (unsigned char)(which * 7 + 1), *piece = all[which].piece;
        if (piece != NULL) {
            const unsigned char *code = bmm_jit_code(heap, piece);
            PLAIN_CHECK(piece[0] == mark && code[0] == mark && code[all[which].size - 1] == mark);
            PLAIN_CHECK(bmm_jit_free(heap, step % 2 == 0 ? piece : bmm_jit_data(heap, code)));
        }
        size += 1;
        piece = bmm_jit_get(heap, size);
        PLAIN_CHECK(piece != NULL && (uintptr_t)piece % 16 == 0);
        memset(piece, mark, size);
        PLAIN_CHECK(bmm_jit_publish(heap, piece, size));
        all[which].piece = piece;
        all[which].size = size;
    }
    bmm_jit_destroy(heap);
}
