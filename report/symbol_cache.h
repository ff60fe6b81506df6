/* What addresses of a build are, remembered from report to report: a database in the user's cache directory,
 *
 *   chains: (build-id of the module, address in its file, maker) → frames, innermost first ─► texts: number → text
 *
 * where the maker is the very viewer that found them, so that a new one asks anew. A frame is six 32-bit numbers: its line,
 * whether it is inlined, and the texts of its function, file, export and callee (0: none). Knows nothing of how frames are found.
 *
 * $BRAINMM_CACHE is the directory, or "off"; default $XDG_CACHE_HOME/brainmm, or ~/.cache/brainmm. It is never more than a
 * help: where it cannot be had, or is busy, or damaged (then it is removed), a report is made as without it.
 *
 * Invariants
 *  C1  What is remembered came from the whole debug information of that build: tomorrow it could be found no better. (The caller
 *      sees to that.)
 *  C2  Nothing in a row is believed: one that does not read as written is as none.
 *  C3  The directory belongs to the user that the viewer runs for, or there is no cache (sudo leaves none in a home).
 */
#ifndef BMM_REPORT_SYMBOL_CACHE_H
#define BMM_REPORT_SYMBOL_CACHE_H

#include "report/frame.h"
#include "report/strings.h"

struct bmm__symbol_cache;

/* Texts of what is found are interned in strings. NULL: there is no cache to be had. */
struct bmm__symbol_cache *bmm__symbol_cache_open(struct bmm__strings *strings);

/* Whoever wants to add to the cache may, until it is asked again. */
void bmm__symbol_cache_release(struct bmm__symbol_cache *cache);

/* Writes what was added, and closes. */
void bmm__symbol_cache_close(struct bmm__symbol_cache *cache);

/* Whether anything is known of that build: else no address of it need be asked for. */
bool bmm__symbol_cache_has(struct bmm__symbol_cache *cache, const uint8_t *build_id, uint32_t build_id_bytes);

/* The frames at the address, innermost first, with texts and lines but no module, not settled. Returns how many; 0: not known. */
uint32_t bmm__symbol_cache_find(struct bmm__symbol_cache *cache, const uint8_t *build_id, uint32_t build_id_bytes,
                                uint64_t address, struct bmm__frame *frames, uint32_t capacity);

/* To be remembered (C1). Frames must live until the cache is closed. */
void bmm__symbol_cache_add(struct bmm__symbol_cache *cache, const uint8_t *build_id, uint32_t build_id_bytes,
                           uint64_t address, const struct bmm__frame *const *frames, uint32_t count);

#endif
