/* The original's SpeedTest (after Steve Maughan): lists of small objects that are built and torn down. A list is an
 * object of its own and an array of pointers behind a header, which doubles by realloc.
 *
 *     value cpu_ns_per_pair 12.3
 *
 * is the processor's time of all threads for one small block, from malloc to free, with its share of everything else.
 *
 * threads: 0 works in the main thread, without any other. lists. items: of a list. */
#include "../bench.h"
#include <stdio.h>
#include <string.h>

enum { THREADS, LISTS, ITEMS };
static struct bench_parameter parameters[] = {
    [THREADS] = { "threads", 0, 0 },
    [LISTS] = { "lists", 50000, 1 },
    [ITEMS] = { "items", 3500, 0 },
    { NULL, 0, 0 },
};

enum { LIST_BYTES = 80, ITEM_BYTES = 24, CAPACITY_FIRST = 7, LISTS_AT_ONCE = 16 };

struct item {
    uint64_t words[ITEM_BYTES / sizeof(uint64_t)];
};

struct array {
    uint64_t capacity, count;
    struct item *items[];
};

struct list {
    struct array *array;
    char other_fields[LIST_BYTES - sizeof(struct array *)];
};

static struct array *array_resize(struct array *array, uint64_t capacity)
{
    array = realloc(array, sizeof *array + capacity * sizeof array->items[0]);
    if (!array)
        bench_fail("out of memory");
    array->capacity = capacity;
    return array;
}

static uint64_t build_and_tear_down(uint64_t items)
{
    struct list *list = malloc(sizeof *list);
    if (!list)
        bench_fail("out of memory");
    list->array = array_resize(NULL, CAPACITY_FIRST);
    list->array->count = 0;
    for (uint64_t i = 0; i < items; i++) {
        struct item *item = malloc(sizeof *item);
        if (!item)
            bench_fail("out of memory");
        memset(item, 0, sizeof *item);
        item->words[0] = i;
        item->words[2] = ~i;
        if (list->array->count == list->array->capacity)
            list->array = array_resize(list->array, 2 * list->array->capacity);
        list->array->items[list->array->count++] = item;
    }
    uint64_t sum = 0;
    struct array *array = list->array;
    while (array->count > 0) {
        struct item **place = &array->items[--array->count];
        struct item *item = *place;
        sum += item->words[0] + item->words[1] - item->words[2];
        *place = NULL;
        free(item);
    }
    free(array);
    free(list);
    return sum;
}

/* The lists are shared out a few at a time to whoever asks. */
static uint64_t work(unsigned long i, void *context)
{
    unsigned long *next = context, lists = parameters[LISTS].value;
    uint64_t sum = 0;
    (void)i;
    for (;;) {
        unsigned long first = __atomic_fetch_add(next, LISTS_AT_ONCE, __ATOMIC_RELAXED);
        if (first >= lists)
            return sum;
        for (unsigned long n = first; n < first + LISTS_AT_ONCE && n < lists; n++)
            sum += build_and_tear_down(parameters[ITEMS].value);
    }
}

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    unsigned long next = 0, threads = parameters[THREADS].value;
    uint64_t start_ns = bench_cpu_ns();
    uint64_t sum = threads ? bench_run_threads(threads, work, &next) : work(0, &next);
    double pairs = (double)parameters[LISTS].value * (double)parameters[ITEMS].value;
    printf("value cpu_ns_per_pair %.2f\n", (double)(bench_cpu_ns() - start_ns) / pairs);
    return bench_end(sum);
}
