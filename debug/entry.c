/* The entry of libbrainmm_debug: chooses the client by the options. (libbrainmm's is core/client_none.c: no client.) */
#include "calls.h"
#include "claim.h"
#include "dl.h"
#include "exec.h"
#include "exit.h"
#include "expect.h"
#include "front.h"
#include "guard.h"
#include "options.h"
#include "path.h"
#include "process.h"
#include "record.h"
#include "recorder_sweep.h"
#include "rights.h"
#include "stack.h"
#include "thread.h"

#include "core/atomic.h"
#include "core/client.h"

static void thread_end(void *state)
{
    if (state != NULL)
        bmm__thread_end(state);
}

/* The tables of debug are consistent whenever their locks are held, and core's fork holds every lock. */
static void fork_nothing(void)
{
}

static void fork_child(void)
{
    bmm__process_fork_child();
    bmm__exit_fork_child();
}

static const struct bmm__client client = {
    .alloc = bmm__call_alloc,
    .free = bmm__call_free,
    .object_alloc = bmm__call_object_alloc,
    .object_clear = bmm__call_object_clear,
    .alloc_run = bmm__call_alloc_run,
    .realloc = bmm__call_realloc,
    .reget = bmm__call_reget,
    .free_as = bmm__call_free_as,
    .view = bmm__call_view,
    .usable_size = bmm__call_usable_size,
    .expect = bmm__expect_note,
    .thread_end = thread_end,
    .span_end = bmm__side_end,
    .library_loaded = bmm__stack_modules_changed,
    .fork_prepare = fork_nothing,
    .fork_parent = fork_nothing,
    .fork_child = fork_child,
};

/* Once, whoever asks first: what is wrong with them is said then. */
static void open_options(void)
{
    static uint32_t state; /* 0 fresh · 1 a thread reads them · 2 known */
    uint32_t fresh = 0;
    if (bmm__cas_acq_rel(&state, &fresh, 1u)) {
        bmm__options_open();
        bmm__store_release(&state, 2u);
    }
    while (bmm__load_acquire(&state) != 2)
        bmm__pause();
}

const struct bmm__client *bmm__client_open(void)
{
    open_options();
    if (bmm__options.mode == BMM_MODE_OFF)
        return NULL;
    bmm__path_start();
    bmm__guard_open();
    bmm__recorder_prepare();
    bmm__process_settle();
    bmm__stack_open(bmm__options.depth_max);
    return &client;
}

bool bmm__client_is_to_debug(void)
{
    open_options();
    return bmm__options.mode != BMM_MODE_OFF;
}

void bmm__client_start(bool is_guest)
{
    bmm__dl_start();
    if (is_guest) { /* of one that debugs, or in mode off: there is nothing to be seen here */
        open_options();
        bmm__options.mode = BMM_MODE_OFF;
    }
    if (bmm__options.mode != BMM_MODE_OFF)
        bmm__front_start(); /* may change the mode, so before whoever asks for it */
    bmm__viewer_start();    /* before exec_start, which asks for the library's name */
    bmm__exec_start();
    bmm__rights_start();
    if (bmm__options.mode == BMM_MODE_OFF)
        return;
    bmm__stack_start();
    bmm__claim_start();
    bmm__exit_start();
    if (bmm__options.directory == NULL && bmm__recorder_path() != NULL)
        bmm__recorder_sweep(bmm__recorder_path());
}

void bmm__client_report_leaks(bool on)
{
    bmm__options.wants_summary = on;
}
