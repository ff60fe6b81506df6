/* See module_loader.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dl_iterate_phdr, _dl_find_object */
#endif
#include "module_loader.h"

#include "module.h"
#include "stack_range.h"

#include "core/atomic.h"
#include "core/lock.h"
#include "core/os.h"

#include <link.h>
#include <string.h>

#ifdef __GLIBC__
#define HAS_FIND_OBJECT __GLIBC_PREREQ(2, 35)
#else
#define HAS_FIND_OBJECT 0
#endif
#if HAS_FIND_OBJECT
#pragma weak _dl_find_object
typedef struct dl_find_object found_object;
#else
/* The loader at run time may be newer than these headers; the layout is part of glibc's ABI. */
typedef struct {
    unsigned long long flags;
    void *dlfo_map_start, *dlfo_map_end;
    struct link_map *dlfo_link_map;
    void *dlfo_eh_frame;
    unsigned long long reserved[7];
} found_object;
extern int _dl_find_object(void *pc, found_object *result) __attribute__((weak));
#endif

#define COPIES_MAX 1024 /* modules beyond these are not found where the loader cannot be asked */

static struct bmm__loaded copies[COPIES_MAX];
static uint32_t copy_count;
static uint32_t copy_version; /* D1 */
BMM__LOCK(copy_lock, BMM__RANK_MODULES);
static bool is_loader_forgotten;
static bool is_started; /* libc's own start is over */

/* In a static program _dl_find_object works only when libc has come to it, and libc allocates before; in others the loader
 * has seen to it before anybody can call us. */
static bool is_loader_late(void)
{
    return _dl_find_object != NULL && !bmm__os_has_loader();
}

static bool can_ask(void)
{
    return _dl_find_object != NULL && !bmm__load_relaxed(&is_loader_forgotten) &&
           (bmm__load_relaxed(&is_started) || !is_loader_late());
}

bool bmm__loader_start(void)
{
    bool could_ask = can_ask();
    bmm__store_relaxed(&is_started, true);
    bmm__loader_read();
    return !could_ask;
}

static bool find_copy(uintptr_t pc, struct bmm__loaded *loaded)
{
    uint32_t version = bmm__load_acquire(&copy_version);
    bool is_found = false;
    uint32_t count = bmm__load_relaxed(&copy_count);
    for (uint32_t i = 0; i < count && i < COPIES_MAX && !is_found; i++) {
        loaded->start = bmm__load_relaxed(&copies[i].start);
        loaded->end = bmm__load_relaxed(&copies[i].end);
        if (pc < loaded->start || pc >= loaded->end)
            continue;
        loaded->bias = bmm__load_relaxed(&copies[i].bias);
        loaded->unwind_header = bmm__load_relaxed(&copies[i].unwind_header);
        loaded->name = bmm__load_relaxed(&copies[i].name);
        loaded->headers = bmm__load_relaxed(&copies[i].headers);
        loaded->header_count = bmm__load_relaxed(&copies[i].header_count);
        is_found = true;
    }
    /* An addition of nothing: keeps the loads above before it, which a plain load would not. */
    return is_found && version % 2 == 0 && bmm__add_acq_rel(&copy_version, 0) == version;
}

/* [start, end) becomes all that is loaded, unwind_header is found if it was not said. */
static void read_headers(struct bmm__loaded *loaded)
{
    const ElfW(Phdr) *headers = loaded->headers;
    uintptr_t start = UINTPTR_MAX, end = 0;
    for (uint32_t i = 0; i < loaded->header_count; i++) {
        uintptr_t at = loaded->bias + headers[i].p_vaddr;
        if (headers[i].p_type == PT_GNU_EH_FRAME && !loaded->unwind_header)
            loaded->unwind_header = (const uint8_t *)at;
        if (headers[i].p_type != PT_LOAD)
            continue;
        start = at < start ? at : start;
        end = at + headers[i].p_memsz > end ? at + headers[i].p_memsz : end;
    }
    if (start < end) {
        loaded->start = start;
        loaded->end = end;
    }
}

/* The program headers by way of the ELF header at base, where the first segment brought it. */
static void find_headers(struct bmm__loaded *loaded, uintptr_t base)
{
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)base;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_phentsize != sizeof(ElfW(Phdr)) ||
        header->e_phoff % sizeof(uintptr_t) != 0 ||
        header->e_phoff + header->e_phnum * sizeof(ElfW(Phdr)) > bmm__os_page_bytes())
        return;
    loaded->headers = (const void *)(base + header->e_phoff);
    loaded->header_count = header->e_phnum;
}

bool bmm__loader_find(uintptr_t pc, struct bmm__loaded *loaded)
{
    if (!can_ask())
        return find_copy(pc, loaded);
    found_object found;
    if (_dl_find_object((void *)pc, &found) != 0)
        return false;
    *loaded = (struct bmm__loaded){ .start = (uintptr_t)found.dlfo_map_start,
                                    .end = (uintptr_t)found.dlfo_map_end,
                                    .bias = found.dlfo_link_map->l_addr,
                                    .unwind_header = (const uint8_t *)found.dlfo_eh_frame,
                                    .name = found.dlfo_link_map->l_name };
    if (loaded->start == loaded->bias) {
        find_headers(loaded, loaded->start); /* almost everything; the range is all of it then */
        return true;
    }
    /* A program at a fixed address, or a module with holes, of which the loader names one segment only. */
    if (loaded->name[0] == 0) {
        loaded->headers = bmm__os_program_headers(&loaded->header_count);
    } else if (loaded->bias != 0 && bmm__range_is_readable(loaded->bias))
        find_headers(loaded, loaded->bias);
    if (loaded->headers)
        read_headers(loaded);
    return true;
}

struct reading {
    struct bmm__loaded *list;
    uint32_t count, capacity;
};

static int read_one(struct dl_phdr_info *info, size_t bytes, void *context)
{
    struct reading *reading = context;
    struct bmm__loaded one = { .bias = info->dlpi_addr,
                               .name = info->dlpi_name ? info->dlpi_name : "",
                               .headers = info->dlpi_phdr,
                               .header_count = info->dlpi_phnum };
    (void)bytes;
    read_headers(&one);
    if (one.start < one.end && reading->count < reading->capacity)
        reading->list[reading->count++] = one;
    return 0;
}

void bmm__loader_read(void)
{
    if (can_ask())
        return;
    size_t bytes = (sizeof copies + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1);
    struct reading reading = { bmm__os_map(bytes, bmm__os_page_bytes()), 0, COPIES_MAX };
    if (!reading.list)
        return;
    dl_iterate_phdr(read_one, &reading); /* before the lock (D2) */
    bmm__lock_take(&copy_lock);
    bmm__add_acq_rel(&copy_version, 1);
    for (uint32_t i = 0; i < reading.count; i++) {
        bmm__store_relaxed(&copies[i].start, reading.list[i].start);
        bmm__store_relaxed(&copies[i].end, reading.list[i].end);
        bmm__store_relaxed(&copies[i].bias, reading.list[i].bias);
        bmm__store_relaxed(&copies[i].unwind_header, reading.list[i].unwind_header);
        bmm__store_relaxed(&copies[i].name, reading.list[i].name);
        bmm__store_relaxed(&copies[i].headers, reading.list[i].headers);
        bmm__store_relaxed(&copies[i].header_count, reading.list[i].header_count);
    }
    bmm__store_relaxed(&copy_count, reading.count);
    bmm__add_acq_rel(&copy_version, 1);
    bmm__lock_release(&copy_lock);
    bmm__os_release(reading.list, bytes);
}

void bmm__loader_forget(bool is_forgotten)
{
    bmm__store_relaxed(&is_loader_forgotten, is_forgotten);
}
