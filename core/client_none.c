/* The entry of libbrainmm: no client. */
#include "core/client.h"
#include "core/os.h"

const struct bmm__client *bmm__client_open(void)
{
    return NULL;
}

void bmm__client_start(void)
{
}

void bmm__client_report_leaks(bool on)
{
    static const char hint[] = "brainmm: leak reports are made by libbrainmm_debug\n";
    if (on)
        bmm__os_write_error(hint, sizeof hint - 1);
}
