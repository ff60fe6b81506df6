/* Modules: which program, library or vdso a code address belongs to, where its unwind tables are, and the log of all
 * of them for the report.
 *
 *   pc ──► loader (_dl_find_object, or our snapshot of its list) ──► known modules (private) ──► BMM_CHUNK_MODULES
 *
 * Words. *Load count*: how often the loader's map changed, as far as we were told (bmm__module_changed). *Epoch* of a
 * module: how often its addresses had belonged to other modules before; part of a stack node's pc, so that a frame
 * of an unloaded library is never taken for one of the library that came to its place. The same library loaded again
 * to the same place is the same module: a program that opens and closes a plugin for ever fills no log.
 *
 * Invariants
 *  M1  An entry of known modules never changes but for seen_at_load; it is complete before the count covers it.
 *  M2  Two entries whose ranges overlap have different epochs.
 *  M3  No lock is taken to find; a lock (rank below the recorder) only to append or to recognise after a change.
 *
 * Before bmm__module_start, systems without _dl_find_object find nothing: stacks end at their first frame.
 */
#ifndef BMM_MODULE_H
#define BMM_MODULE_H

#include "core/assert.h"
#include "core/atomic.h"

#include <stdbool.h>
#include <stdint.h>

struct bmm__module {
    uintptr_t start, end;              /* address range [start, end) */
    uintptr_t bias;                    /* address in memory - address in the file */
    const uint8_t *unwind_header;      /* .eh_frame_hdr; NULL: none */
    uintptr_t unwind_low, unwind_high; /* readable bytes around it: the loaded segment it is in */
    uint32_t epoch;
    bool is_own_name; /* its file name says that it is a library of BrainMM */
};

/* The module of a code address, appended to the log if it is new. Async-signal-safe, keeps errno. False: there is
 * none, or (*is_certain false) it could not be logged now because this thread was interrupted while logging. */
bool bmm__module_find(uintptr_t pc, struct bmm__module *module, bool *is_certain);

/* When libc is usable, outside captures: reads the loader's list where the loader cannot be asked. True: modules were
 * looked for in vain before, perhaps. */
bool bmm__module_start(void);

/* The loader's map changed. Outside captures. */
void bmm__module_changed(void);

extern uint32_t bmm__module_loads BMM__HIDDEN;
static inline uint32_t bmm__module_load_count(void)
{
    return bmm__load_acquire(&bmm__module_loads);
}

/* In a forked child, before anything is found there. */
void bmm__module_fork_child(void);

/* Where the loader cannot be asked, its list is read by bmm__module_start; tests make that happen. */
void bmm__module_forget_loader(bool is_forgotten);

#endif
