/* Three leaks and five corruptions, each a few calls deep, that a report must name by function, file and line, however
 * the compiler arranged them. What test_known expects of the report:
 *
 * leak: kind=malloc bytes=808 blocks=1 stack=hold@hold,cargo_load@cargo_load,take_cargo@take_cargo,main@leak1
 * leak: kind=malloc bytes=45 blocks=3 stack=spill@spill,work@work
 * leak: kind=malloc bytes=11 blocks=1 stack=copy_name@copy_name,rename_name@rename,main@leak3
 * error: kind=double-free size=40 allocated=make@make,free_twice@ft_make,main@error1 freed=release@release,free_twice@ft_first,main@error1 detected=release@release,free_twice@ft_second,main@error1
 * error: kind=heap-overflow size=21 allocated=table@table,overrun@or_table,main@error2 detected=overrun@or_free,main@error2
 * error: kind=heap-underflow size=32 allocated=underrun@ur_make,main@error3 detected=underrun@ur_free,main@error3
 * error: kind=write-after-free size=64 allocated=write_late@wl_make,main@error4 freed=write_late@wl_free,main@error4
 * error: kind=invalid-free detected=free_foreign@ff_free,main@error5
 *
 * No function ends in a call whose place matters: that may become a jump, and then nobody can know who jumped. */
#include "cargo.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void *volatile sink; /* what is stored here may be used elsewhere: no call can be left out */
static volatile size_t total;

static size_t take_cargo(size_t count)
{
    return cargo_load(count) + 1; /* @take_cargo */
}

static void spill(int count)
{
    for (int i = 0; i < count; i++)
        sink = malloc(15); /* @spill */
}

static void *work(void *argument)
{
    spill(*(int *)argument); /* @work */
    total++;
    return NULL;
}

static char *copy_name(const char *name)
{
    char *copy = strdup(name); /* @copy_name */
    copy[0] = 'N';
    return copy;
}

static size_t rename_name(const char *name)
{
    sink = copy_name(name); /* @rename */
    return strlen(name);
}

static char *make(size_t size)
{
    char *block = malloc(size); /* @make */
    block[0] = 1;
    sink = block;
    return block;
}

static void release(char *block)
{
    free(block); /* @release */
    total++;
}

static void free_twice(void)
{
    make(40);      /* @ft_make */
    release(sink); /* @ft_first */
    release(sink); /* @ft_second */
}

static char *table(size_t rows)
{
    sink = malloc(rows * 7); /* @table */
    return sink;
}

static void overrun(size_t rows)
{
    volatile char *t = table(rows); /* @or_table */
    for (size_t i = 0; i <= rows * 7; i++)
        t[i] = 'o';
    free((char *)t); /* @or_free */
    total++;
}

static void underrun(size_t size)
{
    sink = malloc(size); /* @ur_make */
    volatile char *p = sink;
    p[-3] = 'u';
    free(sink); /* @ur_free */
    total++;
}

static void write_late(size_t size)
{
    sink = malloc(size); /* @wl_make */
    volatile char *p = sink;
    free(sink); /* @wl_free */
    p[5] = 'w';
}

static void free_foreign(void)
{
    char on_stack[32];
    sink = on_stack;
    free(sink); /* @ff_free */
    total++;
}

int main(int count, char **arguments)
{
    (void)arguments;
    pthread_t thread;
    total += take_cargo(100 + (size_t)count); /* @leak1 */
    int spills = 2 + count;
    pthread_create(&thread, NULL, work, &spills);
    pthread_join(thread, NULL);
    total += rename_name("0123456789"); /* @leak3 */
    free_twice();                       /* @error1 */
    overrun(2 + (size_t)count);         /* @error2 */
    underrun(31 + (size_t)count);       /* @error3 */
    write_late(63 + (size_t)count);     /* @error4 */
    free_foreign();                     /* @error5 */
    sink = NULL;
    return 0;
}
