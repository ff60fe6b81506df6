#include "report/symbol.h"

#include "report/debug_info.h"
#include "report/demangle.h"
#include "report/dynamic.h"
#include "report/fingerprint.h"
#include "report/map.h"
#include "report/role.h"
#include "report/symbol_cache.h"
#include "report/symbol_table.h"
#include "report/type_name.h"

#include <stdlib.h>
#include <string.h>

#define INLINE_DEPTH_MAX 64

struct module {
    const char *path;
    uint8_t build_id[20];
    uint32_t build_id_bytes;
    bool is_any_build;
    enum bmm__role role;
    bool is_file_open;
    bool is_open;                          /* also to find frames in */
    bool was_open, had_debug, was_partial; /* before the file changed */
    bool has_symbols;                      /* they were looked for */
    bool is_ahead;                         /* before the end, because it is the program */
    bool is_rich;                          /* it may have debug information, of which nothing is read ahead */
    bool is_remembered;                    /* frames of it came from the cache */
    bool is_asked;                         /* whether the cache has any: is_cached */
    bool is_cached;
    bool has_code; /* the file does: one of debug information alone cannot tell all that is asked */
    struct bmm__module_file file;
    struct bmm__symbol_table symbols;
    struct bmm__symbol_table types; /* tables of virtual methods, when one was asked for */
    bool has_types;
    struct bmm__dynamic dynamic;
    struct bmm__debug_info *debug; /* NULL: none */
    uint64_t debug_bias;           /* DWARF's address = address in the file + debug_bias */
};

struct known_text {
    const char *text;
    uint64_t name_hash; /* of a symbol: bmm__fingerprint_name */
};

struct known_chain {
    struct bmm__chain chain;
    struct bmm__frame *frames; /* its frames, side by side */
    bool has_callee;           /* or there is none to be had */
};

struct bmm__symbolizer {
    struct bmm__strings *strings;
    struct module *modules;
    uint32_t module_count, module_capacity;
    struct bmm__map addresses; /* (module, address) → chains */
    struct known_chain *chains;
    uint32_t chain_count, chain_capacity;
    struct bmm__map known; /* (address of a text in a module's file, is it a symbol) → texts, of which few are new */
    struct known_text *texts;
    uint32_t text_count, text_capacity;
    struct bmm__symbol_cache *cache; /* NULL: none */
    bool is_modest;
};

struct bmm__symbolizer *bmm__symbolizer_make(struct bmm__strings *strings)
{
    struct bmm__symbolizer *symbolizer = bmm__must_zero(1, sizeof *symbolizer);
    symbolizer->strings = strings;
    symbolizer->cache = bmm__symbol_cache_open(strings);
    return symbolizer;
}

static void close_module(struct module *module)
{
    bmm__debug_info_free(module->debug);
    bmm__symbol_table_free(&module->symbols);
    bmm__symbol_table_free(&module->types);
    bmm__dynamic_close(&module->dynamic);
    bmm__module_file_close(&module->file);
}

void bmm__symbolizer_free(struct bmm__symbolizer *symbolizer)
{
    for (uint32_t i = 0; i < symbolizer->module_count; i++)
        close_module(&symbolizer->modules[i]);
    bmm__symbol_cache_close(symbolizer->cache);
    free(symbolizer->modules);
    bmm__map_free(&symbolizer->addresses);
    free(symbolizer->chains);
    bmm__map_free(&symbolizer->known);
    free(symbolizer->texts);
    free(symbolizer);
}

uint32_t bmm__symbolizer_module(struct bmm__symbolizer *symbolizer, const char *path, const uint8_t *build_id,
                                uint32_t build_id_bytes)
{
    path = bmm__intern(symbolizer->strings, path);
    if (build_id_bytes > sizeof symbolizer->modules->build_id)
        build_id_bytes = sizeof symbolizer->modules->build_id;
    for (uint32_t i = 0; i < symbolizer->module_count; i++) {
        const struct module *known = &symbolizer->modules[i];
        if (known->path == path && known->build_id_bytes == build_id_bytes &&
            known->is_any_build == (build_id == NULL) &&
            (build_id == NULL || memcmp(known->build_id, build_id, sizeof known->build_id) == 0))
            return i;
    }
    symbolizer->modules = bmm__grow(symbolizer->modules, &symbolizer->module_capacity,
                                    (size_t)symbolizer->module_count + 1, sizeof *symbolizer->modules);
    struct module *module = &symbolizer->modules[symbolizer->module_count];
    *module = (struct module){ .path = path,
                               .build_id_bytes = build_id_bytes,
                               .is_any_build = build_id == NULL,
                               .role = bmm__role_of_module(path) };
    if (build_id != NULL)
        memcpy(module->build_id, build_id, sizeof module->build_id);
    return symbolizer->module_count++;
}

static bool is_libc(const struct module *module)
{
    return module->role == BMM_ROLE_LIBC || module->role == BMM_ROLE_LOADER;
}

static void open_file(struct module *module)
{
    if (!module->is_file_open)
        bmm__module_file_open(&module->file, module->path, module->is_any_build ? NULL : module->build_id,
                              module->build_id_bytes);
    module->is_file_open = true;
}

static void read_symbols(struct module *module)
{
    if (!module->has_symbols)
        bmm__symbol_table_fill(&module->symbols, &module->file);
    module->has_symbols = true;
}

static void open_module(struct module *module)
{
    module->is_open = true;
    open_file(module);
    if (module->file.state != BMM_FILE_GOOD)
        return;
    Dwarf_Addr bias = 0;
    Dwarf *dwarf = dwfl_module_getdwarf(module->file.module, &bias);
    if (dwarf != NULL) {
        bmm__expect_much();
        module->debug = bmm__debug_info_make(dwarf);
        module->debug_bias = module->file.elf_bias - bias;
    }
    module->has_code = bmm__module_file_has_code(&module->file);
    read_symbols(module);
    bmm__dynamic_open(&module->dynamic, module->file.elf, is_libc(module));
}

/* False: there is no file to find them in. */
static bool open_types(struct module *module)
{
    open_file(module);
    if (module->file.state != BMM_FILE_GOOD)
        return false;
    if (!module->has_types)
        bmm__type_table_fill(&module->types, &module->file);
    module->has_types = true;
    return true;
}

static void read_ahead(struct module *module)
{
    if (module->file.state != BMM_FILE_GOOD)
        return;
    read_symbols(module);
    open_types(module);
}

static void reset_module(struct module *module)
{
    close_module(module);
    module->is_file_open = module->is_open = module->has_symbols = module->has_types = module->has_code = false;
    module->debug = NULL;
}

/* Opens it, if the symbolizer may do that now. */
static bool open_modestly(struct module *module)
{
    if (module->is_open)
        return module->debug == NULL;
    if ((!module->is_ahead && !is_libc(module)) || module->is_rich)
        return false;
    open_file(module);
    module->is_rich = bmm__module_file_may_have_debug(&module->file);
    if (module->is_rich)
        return false;
    open_module(module);
    return module->debug == NULL;
}

/* What DWARF and the symbol table say; returns how many frames, at least one. */
static uint32_t find_sources(struct module *module, uint64_t address, struct bmm__source_frame *sources)
{
    uint32_t count = 0;
    if (module->debug != NULL)
        count = bmm__debug_info_frames(module->debug, address + module->debug_bias, sources, INLINE_DEPTH_MAX);
    if (count == 0)
        count = 1;
    if (sources[count - 1].function == NULL)
        sources[count - 1].function = bmm__symbol_table_find(&module->symbols, address);
    return count;
}

/* The text interned, and demangled if it is a symbol. What is pointed to stays as it is while the module is open. */
static struct known_text keep_text(struct bmm__symbolizer *symbolizer, const char *text, bool is_symbol)
{
    bool is_new;
    uint32_t index = bmm__map_put(&symbolizer->known, (uintptr_t)text, is_symbol, symbolizer->text_count, &is_new);
    if (is_new) {
        symbolizer->texts = bmm__grow(symbolizer->texts, &symbolizer->text_capacity, (size_t)symbolizer->text_count + 1,
                                      sizeof *symbolizer->texts);
        struct known_text *known = &symbolizer->texts[symbolizer->text_count++];
        known->text = is_symbol ? bmm__demangle(symbolizer->strings, text) : bmm__intern(symbolizer->strings, text);
        known->name_hash = is_symbol && known->text != NULL ? bmm__fingerprint_name(known->text) : 0;
    }
    return symbolizer->texts[index];
}

/* What the module's file says: the texts and the line of a frame; name_hashes: bmm__fingerprint_name of its function. Returns how many frames, at least one. */
static uint32_t find_frames(struct bmm__symbolizer *symbolizer, struct module *module, uint64_t address,
                            struct bmm__frame *frames, uint64_t *name_hashes)
{
    struct bmm__source_frame sources[INLINE_DEPTH_MAX];
    sources[0] = (struct bmm__source_frame){ 0 };
    struct bmm__strings *strings = symbolizer->strings;
    struct bmm__frame common = { 0 };
    uint32_t count = find_sources(module, address, sources);
    /* Of libc the name that everybody knows: strdup, not __GI___strdup as its debug information has it. */
    if (is_libc(module)) {
        common.export = bmm__demangle(strings, bmm__dynamic_export(&module->dynamic, address));
        if (common.export != NULL)
            sources[count - 1].function = common.export;
    }
    for (uint32_t i = 0; i < count; i++) {
        frames[i] = common;
        struct known_text function = keep_text(symbolizer, sources[i].function, true);
        frames[i].function = function.text;
        name_hashes[i] = function.name_hash;
        frames[i].file = keep_text(symbolizer, sources[i].file, false).text;
        frames[i].line = sources[i].line;
        frames[i].is_inlined = i + 1 < count;
    }
    return count;
}

/* The callee and what follows from it, where that was not looked for yet. */
static void find_callee(struct bmm__symbolizer *symbolizer, struct module *module, uint64_t address,
                        struct known_chain *known)
{
    if (known->has_callee)
        return;
    known->has_callee = true;
    const char *callee = bmm__intern(symbolizer->strings, bmm__dynamic_callee(&module->dynamic, address + 1));
    for (uint32_t i = 0; i < known->chain.count; i++)
        known->frames[i].callee = callee;
    /* Stripped programs, too, begin here. */
    struct bmm__frame *outer = &known->frames[known->chain.count - 1];
    if (outer->function == NULL && callee != NULL && strcmp(callee, "__libc_start_main") == 0) {
        outer->function = bmm__intern(symbolizer->strings, "_start");
        bmm__frame_settle(outer);
    }
}

static struct known_chain make_chain(struct bmm__symbolizer *symbolizer, struct module *module, uint64_t address)
{
    struct bmm__frame found[INLINE_DEPTH_MAX]; /* those that are not filled in stay as they are: it is 5 KiB */
    found[0] = (struct bmm__frame){ 0 };
    uint64_t name_hashes[INLINE_DEPTH_MAX];
    uint32_t count = 0;
    struct bmm__symbol_cache *cache = module != NULL && module->build_id_bytes > 0 ? symbolizer->cache : NULL;
    if (cache != NULL && !module->is_asked) {
        module->is_cached = bmm__symbol_cache_has(cache, module->build_id, module->build_id_bytes);
        module->is_asked = true;
    }
    if (cache != NULL && module->is_cached)
        count =
            bmm__symbol_cache_find(cache, module->build_id, module->build_id_bytes, address, found, INLINE_DEPTH_MAX);
    bool is_remembered = count > 0;
    if (is_remembered) {
        module->is_remembered = true;
    } else if (module != NULL) {
        if (symbolizer->is_modest && !open_modestly(module))
            return (struct known_chain){ 0 };
        if (!module->is_open)
            open_module(module);
        count = find_frames(symbolizer, module, address, found, name_hashes);
    } else {
        count = 1;
    }

    struct bmm__arena *arena = symbolizer->strings->arena;
    struct bmm__frame *frames = bmm__arena_alloc(arena, count * sizeof *frames);
    struct bmm__chain chain = { bmm__arena_alloc(arena, count * sizeof *chain.frames), count };
    for (uint32_t i = 0; i < count; i++) {
        frames[i] = found[i];
        frames[i].offset = address;
        frames[i].role = module != NULL ? (uint8_t)module->role : BMM_ROLE_PROGRAM;
        frames[i].module = module != NULL ? module->path : NULL;
        if (is_remembered || module == NULL) /* it was not asked what the names' hashes are */
            bmm__frame_settle(&frames[i]);
        else
            bmm__frame_settle_named(&frames[i], name_hashes[i]);
        chain.frames[i] = &frames[i];
    }
    struct known_chain known = { chain, frames, is_remembered || module == NULL || is_libc(module) };
    if (module != NULL && module->debug != NULL)
        find_callee(symbolizer, module, address, &known); /* what is remembered is so whole */
    if (cache != NULL && !is_remembered && module->debug != NULL && module->has_code &&
        bmm__debug_info_is_whole(module->debug))
        bmm__symbol_cache_add(cache, module->build_id, module->build_id_bytes, address, chain.frames, count);
    return known;
}

static struct known_chain *chain_at(struct bmm__symbolizer *symbolizer, uint32_t module, uint64_t address)
{
    bool is_new;
    uint32_t index = bmm__map_put(&symbolizer->addresses, module, address, symbolizer->chain_count, &is_new);
    if (is_new) {
        symbolizer->chains = bmm__grow(symbolizer->chains, &symbolizer->chain_capacity,
                                       (size_t)symbolizer->chain_count + 1, sizeof *symbolizer->chains);
        symbolizer->chains[symbolizer->chain_count++] = (struct known_chain){ 0 };
    }
    struct known_chain *chain = &symbolizer->chains[index];
    if (chain->chain.count == 0)
        *chain =
            make_chain(symbolizer, module < symbolizer->module_count ? &symbolizer->modules[module] : NULL, address);
    return chain;
}

struct bmm__chain bmm__symbolizer_frames(struct bmm__symbolizer *symbolizer, uint32_t module, uint64_t address)
{
    return chain_at(symbolizer, module, address)->chain;
}

void bmm__symbolizer_find_callee(struct bmm__symbolizer *symbolizer, uint32_t module, uint64_t address)
{
    if (module < symbolizer->module_count)
        find_callee(symbolizer, &symbolizer->modules[module], address, chain_at(symbolizer, module, address));
}

const char *bmm__symbolizer_type(struct bmm__symbolizer *symbolizer, uint32_t number, uint64_t address)
{
    if (number >= symbolizer->module_count)
        return NULL;
    struct module *module = &symbolizer->modules[number];
    if (is_libc(module)) /* it has no classes */
        return NULL;
    if (!open_types(module))
        return NULL;
    const char *symbol = bmm__symbol_table_find(&module->types, address);
    return symbol != NULL ? bmm__type_name(symbolizer->strings, &module->file, symbol, address) : NULL;
}

void bmm__symbolizer_read_ahead(struct bmm__symbolizer *symbolizer, uint32_t number, uint64_t bytes_max)
{
    struct module *module = &symbolizer->modules[number];
    open_file(module);
    if (module->file.state != BMM_FILE_GOOD || bmm__module_file_symbol_bytes(&module->file) > bytes_max)
        return;
    read_ahead(module);
    module->is_ahead = true;
}

void bmm__symbolizer_be_modest(struct bmm__symbolizer *symbolizer, bool is_modest)
{
    symbolizer->is_modest = is_modest;
}

void bmm__symbolizer_pause(struct bmm__symbolizer *symbolizer)
{
    for (uint32_t i = 0; i < symbolizer->module_count; i++)
        bmm__module_file_watch(&symbolizer->modules[i].file);
    bmm__symbol_cache_release(symbolizer->cache);
}

void bmm__symbolizer_resume(struct bmm__symbolizer *symbolizer)
{
    bool is_any = false;
    for (uint32_t i = 0; i < symbolizer->module_count; i++) {
        struct module *module = &symbolizer->modules[i];
        if (!bmm__module_file_end_watch(&module->file))
            continue;
        module->was_open |= module->is_open;
        module->had_debug |= module->debug != NULL;
        module->was_partial |= module->debug != NULL && !bmm__debug_info_is_whole(module->debug);
        reset_module(module);
        is_any = true;
    }
    if (!is_any)
        return;
    /* Texts are known by where they lie in a file, and something else may lie there now. */
    bmm__map_free(&symbolizer->known);
    symbolizer->text_count = 0;
}

uint32_t bmm__symbolizer_module_count(const struct bmm__symbolizer *symbolizer)
{
    return symbolizer->module_count;
}

struct bmm__module_news bmm__symbolizer_news(const struct bmm__symbolizer *symbolizer, uint32_t module)
{
    const struct module *known = &symbolizer->modules[module];
    enum bmm__file_state state = known->is_open ? known->file.state : BMM_FILE_GOOD; /* the cache knew all its frames */
    bool was_open = known->is_open || known->was_open, had_debug = known->debug != NULL || known->had_debug;
    bool is_partial = known->debug != NULL && !bmm__debug_info_is_whole(known->debug);
    return (struct bmm__module_news){ known->path, state, was_open || known->is_remembered,
                                      had_debug || (!was_open && known->is_remembered),
                                      is_partial || known->was_partial };
}
