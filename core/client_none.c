/* The entry of libbrainmm: no client; and the census that it writes at the end if the program asked for a report. */
#include "core/assert.h"
#include "core/atomic.h"
#include "core/census.h"
#include "core/client.h"
#include "core/expect.h"

#include <stdlib.h>

static bool wants_census;

/* Of libc; with no module's handle it runs after every module's destructors. */
int __cxa_atexit(void (*function)(void *), void *argument, void *module) __attribute__((weak));

const struct bmm__client *bmm__client_open(void)
{
    return NULL;
}

bool bmm__client_is_to_debug(void)
{
    return false;
}

void bmm__client_start(bool is_guest)
{
    (void)is_guest;
}

static bool count_unexpected(uintptr_t start, size_t bytes, bool is_certain, void *census)
{
    (void)is_certain;
    return bmm__expect_takes(start, bytes) || bmm__census_count(start, bytes, census);
}

static void at_exit(void *unused)
{
    (void)unused;
    static struct bmm__census census BMM__TABLE;
    if (!bmm__load_relaxed(&wants_census))
        return;
    bmm__core_visit_blocks(count_unexpected, &census);
    bmm__census_write(&census);
}

static void at_exit_plain(void)
{
    at_exit(NULL);
}

void bmm__client_report_leaks(bool on)
{
    static bool is_registered;
    bmm__store_relaxed(&wants_census, on);
    if (!on || bmm__exchange_acq_rel(&is_registered, true))
        return;
    if (__cxa_atexit == NULL || __cxa_atexit(at_exit, NULL, NULL) != 0)
        atexit(at_exit_plain);
}
