/* Page runs grow to the right, then to the left and right together with one move; starts are known exactly. */
#include "tests/plain.h"

#include "core/client.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/page_run.h"

#define BLOCK ((size_t)40960) /* ten pages of 4 KiB */

static size_t page(void)
{
    return bmm__os_page_bytes();
}

/* Neighbours in one area: 4 pages free, a run of 2, 3 pages free, the rest in use (unit: unit pages each). */
static char *between_holes(size_t unit, char **left_wall, char **right_wall)
{
    bool is_zero;
    char *all = bmm__page_run_alloc(11 * unit * page(), 16, BMM__USE_ANY, &is_zero);
    struct bmm__span *span = bmm__page_map_find((uintptr_t)all);
    PLAIN_CHECK(bmm__page_run_resize(span, all, unit * page()));
    char *hole_left = bmm__page_run_alloc(4 * unit * page(), 16, BMM__USE_ANY, &is_zero);
    char *run = bmm__page_run_alloc(2 * unit * page(), 16, BMM__USE_ANY, &is_zero);
    char *hole_right = bmm__page_run_alloc(3 * unit * page(), 16, BMM__USE_ANY, &is_zero);
    *right_wall = bmm__page_run_alloc(unit * page(), 16, BMM__USE_ANY, &is_zero);
    *left_wall = all;
    PLAIN_CHECK(hole_left == all + unit * page() && run == hole_left + 4 * unit * page());
    PLAIN_CHECK(hole_right == run + 2 * unit * page() && *right_wall == hole_right + 3 * unit * page());
    for (size_t i = 0; i < 2 * unit * page(); i++)
        run[i] = (char)(i * 7);
    PLAIN_CHECK(bmm__page_run_free(span, hole_left) && bmm__page_run_free(span, hole_right));
    return run;
}

static bool has_content(const char *run, size_t unit)
{
    for (size_t i = 0; i < 2 * unit * page(); i++)
        if (run[i] != (char)(i * 7))
            return false;
    return true;
}

PLAIN_TEST(five_six_and_nine_units_between_four_and_three)
{
    for (size_t wanted = 5; wanted <= 9; wanted++) {
        size_t unit = 12;
        char *left, *right, *run = between_holes(unit, &left, &right), *grown = run;
        struct bmm__span *span = bmm__page_map_find((uintptr_t)run);
        if (wanted == 5)
            PLAIN_CHECK(bmm__page_run_resize(span, run, wanted * unit * page()));
        else {
            PLAIN_CHECK(!bmm__page_run_resize(span, run, wanted * unit * page()));
            grown = bmm__page_run_slide(span, run, wanted * unit * page(), true);
            PLAIN_CHECK(grown == run - (wanted - 5) * unit * page());
        }
        PLAIN_CHECK(has_content(grown, unit));
        struct bmm__page_run found = bmm__page_run_find(span, (uintptr_t)run + 1);
        PLAIN_CHECK(!found.is_free && found.start == (uintptr_t)grown && found.bytes == wanted * unit * page());
        PLAIN_CHECK(bmm__page_run_slide(span, grown, 10 * unit * page(), true) == NULL);
        PLAIN_CHECK(grown == run || !bmm__page_run_free(span, run));
        PLAIN_CHECK(bmm__page_run_free(span, grown) && !bmm__page_run_free(span, grown));
        PLAIN_CHECK(bmm__page_run_free(span, left) && bmm__page_run_free(span, right));
    }
}

/* Another thread has freed what was in the way between the two attempts. */
PLAIN_TEST(a_run_slides_nowhere_where_it_can_stay)
{
    bool is_zero;
    char *run;
    struct bmm__span *span;
    do { /* the first pages of an area: there is nothing to the left of them */
        run = bmm__page_run_alloc(BMM__PAGE_RUN_BYTES_MAX, 16, BMM__USE_ANY, &is_zero);
        span = bmm__page_map_find((uintptr_t)run);
    } while ((uintptr_t)run != span->start);
    PLAIN_CHECK(bmm__page_run_resize(span, run, BLOCK));
    PLAIN_CHECK(bmm__page_run_slide(span, run, 2 * BLOCK, true) == run);
    PLAIN_CHECK(bmm__page_run_find(span, (uintptr_t)run).bytes == 2 * BLOCK);
    for (int i = 0; i < 1000; i++) {
        char *other = bmm__page_run_alloc(BLOCK, 16, BMM__USE_ANY, &is_zero);
        PLAIN_CHECK(other + BLOCK <= run || other >= run + 2 * BLOCK);
    }
}

PLAIN_TEST(every_address_of_a_run_finds_it_and_no_other_does)
{
    bool is_zero;
    char *run = bmm__page_run_alloc(300 * 1024, 16, BMM__USE_ANY, &is_zero);
    struct bmm__span *span = bmm__page_map_find((uintptr_t)run);
    size_t bytes = (300 * 1024 + page() - 1) / page() * page();
    for (size_t i = 0; i < bytes; i += 1021) {
        struct bmm__page_run found = bmm__page_run_find(span, (uintptr_t)run + i);
        PLAIN_CHECK(!found.is_free && found.start == (uintptr_t)run && found.bytes == bytes);
    }
    PLAIN_CHECK(bmm__core_is_start(span, (uintptr_t)run) && !bmm__core_is_start(span, (uintptr_t)run + page()));
    PLAIN_CHECK(bmm__page_run_free(span, run));
    PLAIN_CHECK(bmm__page_run_find(span, (uintptr_t)run + 5).is_free);
    PLAIN_CHECK(!bmm__page_run_free(span, run));
}

PLAIN_TEST(alignment_up_to_a_granule)
{
    for (size_t align = page(); align <= BMM__PAGE_RUN_ALIGN_MAX; align *= 2) {
        bool is_zero;
        char *first = bmm__page_run_alloc(BLOCK, 16, BMM__USE_ANY, &is_zero),
             *run = bmm__page_run_alloc(BLOCK, align, BMM__USE_ANY, &is_zero);
        PLAIN_CHECK(run != NULL && ((uintptr_t)run & (align - 1)) == 0);
        struct bmm__span *span = bmm__page_map_find((uintptr_t)run);
        PLAIN_CHECK((size_t)1 << bmm__page_run_find(span, (uintptr_t)run).align_shift == align);
        PLAIN_CHECK(bmm__page_run_free(span, run) && bmm__page_run_free(bmm__page_map_find((uintptr_t)first), first));
    }
}
