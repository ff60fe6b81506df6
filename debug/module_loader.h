/* Asking the system's loader which module an address is in, without its locks.
 *
 * glibc from 2.35 answers by _dl_find_object, made for unwinders: no lock, no allocation, right inside dlopen. For
 * older ones and musl the loader's list is copied outside captures (bmm__loader_read) and searched inside them.
 *
 * Invariants of the copy
 *  D1  Even version: the copy is whole. A reader that sees it odd, or changed, finds nothing (that once).
 *  D2  The loader's lock is never asked for while a lock of ours is held: a thread in dlopen allocates under it.
 */
#ifndef BMM_MODULE_LOADER_H
#define BMM_MODULE_LOADER_H

#include <stdbool.h>
#include <stdint.h>

struct bmm__loaded {
    uintptr_t start, end, bias;
    const uint8_t *unwind_header; /* NULL: none */
    const char *name;             /* as the loader knows it; "" for the main program */
    const void *headers;          /* program headers (ElfW(Phdr)), readable; NULL: not found */
    uint32_t header_count;
};

bool bmm__loader_find(uintptr_t pc, struct bmm__loaded *loaded);
void bmm__loader_read(void);
/* When libc is usable, once: reads if need be. True: what was asked before may have been answered with less than there is. */
bool bmm__loader_start(void);
/* does nothing where the loader can be asked */
void bmm__loader_forget(bool is_forgotten); /* for tests: as if the loader could not be asked */

#endif
