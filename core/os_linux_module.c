/* Modules, as the loader knows them. */
#define _GNU_SOURCE
#include "core/os.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

struct search {
    const char *name;
    bool (*visit)(const void *contents, size_t bytes, void *context);
    void *context;
    bool is_over;
};

static size_t padded(size_t bytes, size_t align)
{
    return (bytes + align - 1) & ~(align - 1);
}

static void look_at_notes(struct search *search, const char *at, size_t bytes, size_t align)
{
    ElfW(Nhdr) header;
    while (bytes >= sizeof header && !search->is_over) {
        memcpy(&header, at, sizeof header);
        size_t contents = padded(sizeof header + header.n_namesz, align);
        size_t whole = padded(contents + header.n_descsz, align);
        if (contents + header.n_descsz > bytes)
            return;
        if (header.n_namesz == strlen(search->name) + 1 &&
            memcmp(at + sizeof header, search->name, header.n_namesz) == 0)
            search->is_over = !search->visit(at + contents, header.n_descsz, search->context);
        at += whole;
        bytes = whole < bytes ? bytes - whole : 0;
    }
}

/* A table of segments may name notes that are in the file only. */
static bool is_in_memory(const struct dl_phdr_info *module, const ElfW(Phdr) * notes)
{
    for (unsigned i = 0; i < module->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &module->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_R) != 0 && notes->p_vaddr >= segment->p_vaddr &&
            notes->p_vaddr - segment->p_vaddr <= segment->p_memsz &&
            notes->p_memsz <= segment->p_memsz - (notes->p_vaddr - segment->p_vaddr))
            return true;
    }
    return false;
}

static int look_at_module(struct dl_phdr_info *module, size_t bytes, void *context)
{
    struct search *search = context;
    (void)bytes;
    for (unsigned i = 0; i < module->dlpi_phnum && !search->is_over; i++) {
        const ElfW(Phdr) *segment = &module->dlpi_phdr[i];
        if (segment->p_type == PT_NOTE && is_in_memory(module, segment))
            look_at_notes(search, (const char *)(module->dlpi_addr + segment->p_vaddr), /* NOLINT */
                          segment->p_memsz, segment->p_align == 8 ? 8 : 4);
    }
    return search->is_over;
}

void bmm__os_notes(const char *name, bool (*visit)(const void *contents, size_t bytes, void *context), void *context)
{
    struct search search = { name, visit, context, false };
    dl_iterate_phdr(look_at_module, &search);
}

/* Other libcs never unload anything. */
#ifdef __GLIBC__

static bool is_kept_anyway(const struct link_map *module)
{
    for (const ElfW(Dyn) *entry = module->l_ld; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_FLAGS_1)
            return (entry->d_un.d_val & DF_1_NODELETE) != 0;
    return false;
}

void bmm__os_keep_loaded(const void *address)
{
    Dl_info info;
    struct link_map *module;
    if (dladdr1(address, &info, (void **)&module, RTLD_DL_LINKMAP) == 0 || module->l_name[0] == '\0' ||
        is_kept_anyway(module)) /* the program has no name */
        return;
    void *found = dlsym(RTLD_DEFAULT, "dlopen"); /* a static program would be warned of a call when it is linked */
    void *(*open)(const char *name, int flags);
    memcpy(&open, &found, sizeof open); /* ISO C has no cast from an object pointer to a function's */
    if (open != NULL)
        open(module->l_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

#else

void bmm__os_keep_loaded(const void *address)
{
    (void)address;
}

#endif
