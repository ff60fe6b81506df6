/* Whose an address is, wherever the system puts mappings; and of a wild one, that it is nobody's. */
#include "tests/plain.h"

#include "core/os.h"
#include "core/page_map.h"
#include "core/span.h"

#if defined(__aarch64__)
#define BITS 48 /* Debian's, Ubuntu's and Red Hat's kernels map from there downwards */
#else
#define BITS 47
#endif

/* Nothing is mapped there: the map does not look at what it is of. */
static void check_place(uintptr_t start)
{
    struct bmm__span *span = bmm__span_make();
    PLAIN_CHECK(span != NULL && bmm__page_map_find(start) == NULL);
    PLAIN_CHECK(bmm__page_map_enter(start, 2 * BMM__GRANULE, span));
    PLAIN_CHECK(bmm__page_map_find(start) == span && bmm__page_map_find(start + 2 * BMM__GRANULE - 1) == span);
    PLAIN_CHECK(bmm__page_map_find(start - 1) == NULL && bmm__page_map_find(start + 2 * BMM__GRANULE) == NULL);
    PLAIN_CHECK(bmm__page_map_enter(start, 2 * BMM__GRANULE, NULL));
    PLAIN_CHECK(bmm__page_map_find(start) == NULL);
    bmm__span_free(span);
}

PLAIN_TEST(every_place_that_the_system_gives)
{
    uintptr_t end = (uintptr_t)1 << BITS;
    check_place(BMM__GRANULE);
    check_place(end / 2 - BMM__GRANULE); /* over two leaves */
    check_place(end - 4 * BMM__GRANULE);
}

PLAIN_TEST(wild_addresses_are_nobodys)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        uintptr_t address = (uintptr_t)1 << bit;
        PLAIN_CHECK(bmm__page_map_find(address) == NULL && bmm__page_map_find(address - 1) == NULL);
        PLAIN_CHECK(bmm__page_map_find(~address) == NULL && bmm__page_map_find(0 - address) == NULL);
    }
    PLAIN_CHECK(!bmm__page_map_enter((uintptr_t)1 << 60, BMM__GRANULE, bmm__span_first()));
}
