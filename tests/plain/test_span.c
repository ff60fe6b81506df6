/* Descriptors of spans: made by parts, each once, by several threads. */
#include "tests/plain.h"

#include "core/os.h"
#include "core/span.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS 4
#define EACH 3000

static struct bmm__span *made[THREADS][EACH];

static unsigned count_all(void)
{
    unsigned count = 0;
    for (const struct bmm__span *span = bmm__span_first(); span != NULL; span = span->all_next)
        count++;
    return count;
}

static int by_address(const void *left, const void *right)
{
    uintptr_t a = *(const uintptr_t *)left, b = *(const uintptr_t *)right;
    return (a > b) - (a < b);
}

/* How many descriptors there are whose neighbour behind is none. */
static unsigned count_ends(void)
{
    static uintptr_t found[2 * THREADS * EACH];
    unsigned count = 0, ends = 0;
    for (const struct bmm__span *span = bmm__span_first(); span != NULL; span = span->all_next)
        found[count++] = (uintptr_t)span;
    qsort(found, count, sizeof *found, by_address);
    for (unsigned i = 0; i < count; i++)
        ends += i + 1 == count || found[i + 1] - found[i] > sizeof(struct bmm__span);
    return ends;
}

PLAIN_TEST(one_takes_no_more_than_a_page)
{
    PLAIN_CHECK(count_all() == 0);
    struct bmm__span *span = bmm__span_make();
    PLAIN_CHECK(span != NULL);
    PLAIN_CHECK(count_all() * sizeof *span <= 4096);
    bmm__span_free(span);
}

static void *make(void *spans)
{
    struct bmm__span **mine = spans;
    for (unsigned i = 0; i < EACH; i++) {
        mine[i] = bmm__span_make();
        if (mine[i] != NULL)
            mine[i]->span_bytes = (size_t)(uintptr_t)&mine[i];
    }
    return NULL;
}

PLAIN_TEST(each_is_made_once)
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        PLAIN_CHECK(pthread_create(&threads[i], NULL, make, made[i]) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < EACH; k++)
            PLAIN_CHECK(made[i][k] != NULL && made[i][k]->span_bytes == (size_t)(uintptr_t)&made[i][k]);
    unsigned all = count_all();
    PLAIN_CHECK(all >= THREADS * EACH && all < THREADS * EACH + 1024);
    PLAIN_CHECK(count_ends() <=
                all * sizeof(struct bmm__span) / BMM__GRANULE + THREADS); /* all parts of a chunk are used */
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < EACH; k++)
            bmm__span_free(made[i][k]);
    make(made[0]);
    PLAIN_CHECK(count_all() == all); /* used again, before others are made */
}
