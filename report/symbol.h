/* From addresses in modules to frames with function, file and line: one symbolizer per report, with every answer and
 * every opened file cached, because the stacks of many processes go through the same few places.
 *
 * A frame always has its module and offset; what else it has depends on what could be found. */
#ifndef BMM_REPORT_SYMBOL_H
#define BMM_REPORT_SYMBOL_H

#include "report/frame.h"
#include "report/module_file.h"
#include "report/strings.h"

#include <stdbool.h>
#include <stdint.h>

struct bmm__symbolizer;

/* Frames and their texts are made in the strings' arena and outlive the symbolizer. */
struct bmm__symbolizer *bmm__symbolizer_make(struct bmm__strings *strings);
void bmm__symbolizer_free(struct bmm__symbolizer *symbolizer);

/* The number of a module; the same file and build-id (as in struct bmm_snapshot_module; NULL: any) have the same number. Nothing is
 * opened yet. */
uint32_t bmm__symbolizer_module(struct bmm__symbolizer *symbolizer, const char *path, const uint8_t *build_id,
                                uint32_t build_id_bytes);
#define BMM__NO_MODULE UINT32_MAX

/* Reads the symbols of the module's file now, if they are of so many bytes at most, because frames in it are going to be asked for. Not its
 * debug information, nor what the cache knows. */
void bmm__symbolizer_read_ahead(struct bmm__symbolizer *symbolizer, uint32_t module, uint64_t bytes_max);

/* From the one to the other, others may want the cache, and files may be written to or cut: what has changed is closed, and opened anew where
 * it is needed; what was found in it stays found. Files of debug information beside it are not looked at. */
void bmm__symbolizer_pause(struct bmm__symbolizer *symbolizer);
void bmm__symbolizer_resume(struct bmm__symbolizer *symbolizer);

struct bmm__chain {
    const struct bmm__frame **frames; /* innermost first: inlined functions, then the one they are inlined into */
    uint32_t count;                   /* at least 1, but for a modest symbolizer */
};

/* The frames at an address of the module's file (BMM__NO_MODULE: an address of memory). */
struct bmm__chain bmm__symbolizer_frames(struct bmm__symbolizer *symbolizer, uint32_t module, uint64_t address);

/* Has those frames know their callee and, of a stripped program, that they are _start: worth knowing where libc or the loader was
 * called, or nobody is outside. It takes time, and is only looked for at once where there is debug information. */
void bmm__symbolizer_find_callee(struct bmm__symbolizer *symbolizer, uint32_t module, uint64_t address);

/* Modest: frames are found in the cache, and in libc and a module whose symbols were read ahead, if they have no debug information. All
 * others have none now (a chain of 0), and are looked for anew when they are asked for again. For there is no telling how long that takes, and what
 * of files is read meanwhile might be written to. */
void bmm__symbolizer_be_modest(struct bmm__symbolizer *symbolizer, bool is_modest);

/* The class whose table of virtual methods is at the address, as its source has it, interned; NULL: there is none. */
const char *bmm__symbolizer_type(struct bmm__symbolizer *symbolizer, uint32_t module, uint64_t address);

/* What is known of a module after frames were asked for. */
struct bmm__module_news {
    const char *path;
    enum bmm__file_state state;
    bool is_used; /* a frame in it was asked for */
    bool has_debug_info;
    bool is_debug_partial; /* some of it is in a file that was not found */
};
uint32_t bmm__symbolizer_module_count(const struct bmm__symbolizer *symbolizer);
struct bmm__module_news bmm__symbolizer_news(const struct bmm__symbolizer *symbolizer, uint32_t module);

#endif
