/* The rule cache: code address → how the caller is found, learned from the unwind tables when first needed.
 *
 *   address ─ bits 8–20 ─ scrambled by those above ─► line ─► │ word │ word │ … │ word │      eight words of 64 bits, a cache line
 *           ├ bits 5–7 ──────────────────────────────► where in it its rule should be, else beside that, else anywhere
 *           └ the other 34 bits, and one: the tag ─────────┘ tag | rule
 *
 * A word, in itself complete, so that one load is a look-up and one store a fill, with no lock and no torn reads:
 *
 *    63            30 29      24 23           17 16              3 2    0
 *   ┌────────────────┬──────────┬───────────────┬─────────────────┬──────┐
 *   │ tag            │ epoch    │ fp distance/8 │ CFA offset / 8  │ kind │   kind 0: empty
 *   └────────────────┴──────────┴───────────────┴─────────────────┴──────┘
 *
 * Line and tag together are the address, not a hash of it: a hit is exact. A line is for 256 bytes of code, and neighbours share
 * pages: a function's calls are near each other, and so are those of its callers. A rule that does not fit stands in a table
 * of wide rules; the CFA field is its index, and the two fields above are its epoch.
 *
 * Invariants
 *  K1  A rule is a pure function of the code address, until the loader's map changes.
 *  K2  bmm__rules_forget empties the cache; a fill that began before it takes its word back. No word is ever copied from another's.
 *  K3  Only the frame rules SP and FP and their wide forms yield a caller; all others end the fast walk.
 *
 * The address looked up is that of the call (return address - 1), or the interrupted one itself. One instruction sees
 * the difference: a procedure linkage stub, whose rule depends on its own address; nothing returns into a stub.
 */
#ifndef BMM_STACK_RULES_H
#define BMM_STACK_RULES_H

#include "brainmm/snapshot.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "stack_arch.h"

enum bmm__rule_kind {
    BMM__RULE_EMPTY = 0,
    BMM__RULE_SP = 1, /* CFA = sp + offset */
    BMM__RULE_FP = 2, /* CFA = fp + offset */
    BMM__RULE_END,    /* no caller: a thread's first function */
    BMM__RULE_SIGNAL, /* a signal trampoline: the caller was interrupted, its registers are at sp */
    BMM__RULE_FULL,   /* takes registers that the fast walk does not follow */
    BMM__RULE_NONE,   /* nobody says; CFA field 1: the address is in a module */
    BMM__RULE_WIDE
};

#define BMM__RULE_TAG_SHIFT 30
#define BMM__RULE_LINE_BITS (BMM__ARCH_CODE_BITS - (64 - BMM__RULE_TAG_SHIFT))
#define BMM__RULE_LINES (1u << BMM__RULE_LINE_BITS)
#define BMM__RULE_WAYS 8u
#define BMM__RULE_WAY_BITS 5  /* of addresses that should have the same word: calls are further apart, mostly */
#define BMM__RULE_NEAR_BITS 8 /* of addresses in one line */
#define BMM__RULE_EPOCH_MAX 63u
#define BMM__RULE_CFA_MAX 0x3fffu
#define BMM__RULE_WIDE_EPOCH_UNKNOWN 0x1fffu /* that one, and all above */

#define BMM__RULE_KIND(word) ((enum bmm__rule_kind)((word)&7))
#define BMM__RULE_IS_FRAME(word) (((word)&7) - BMM__RULE_SP <= BMM__RULE_FP - BMM__RULE_SP) /* a plain one */
#define BMM__RULE_CFA(word) ((uintptr_t)((word) >> 3 & BMM__RULE_CFA_MAX) * 8)
#define BMM__RULE_FP_DISTANCE(word) ((uintptr_t)((word) >> 17 & 0x7f) * 8) /* 0: fp was not saved */
#define BMM__RULE_EPOCH(word) ((uint32_t)((word) >> 24 & 63))
#define BMM__RULE_WIDE_INDEX(word) ((uint32_t)((word) >> 3 & BMM__RULE_CFA_MAX))

/* What a word says, with room. */
struct bmm__rule {
    uint8_t kind;       /* never WIDE or EMPTY */
    bool is_cfa_stored; /* base + cfa_offset is where the CFA is stored (realigned stacks), not the CFA */
    bool is_fp_saved;
    bool is_fp_by_fp; /* saved at fp + fp_offset, not at CFA + fp_offset */
    bool is_in_module;
    uint16_t epoch;
    int32_t cfa_offset;
    int32_t fp_offset;
    int32_t ra_offset; /* from the CFA */
};

/* Lines lie in pages, and a page of which nothing was learned yet is page 0, in which nobody writes. So the system, if its
 * pages are no larger, never has its page of zeros behind one of the others, which it would replace at the first store, with an interrupt for every processor that runs
 * another thread of the program. */
#define BMM__RULE_PAGE_LINES 64u
#define BMM__RULE_PAGES (BMM__RULE_LINES / BMM__RULE_PAGE_LINES)
extern uint64_t bmm__rule_words[BMM__RULE_PAGE_LINES + BMM__RULE_LINES][BMM__RULE_WAYS] BMM__HIDDEN;
extern uint16_t bmm__rule_pages[BMM__RULE_PAGES] BMM__HIDDEN; /* release after the page was written to */

/* True if a signal handler returns to there. Some libcs have tables that say so, too. */
bool bmm__rule_is_trampoline(uintptr_t pc);

/* Learns the rule of an address. */
uint64_t bmm__rule_learn(uintptr_t address);
void bmm__rules_forget(void);
struct bmm__rule bmm__rule_decode(uint64_t word);

/* Of the module of the word's address; 0xffff: some late one; BMM_STACK_NO_MODULE: there is none. */
static inline uint32_t bmm__rule_epoch(uint64_t word)
{
    if (BMM__LIKELY(BMM__RULE_KIND(word) < BMM__RULE_NONE))
        return BMM__RULE_EPOCH(word);
    if (BMM__RULE_KIND(word) == BMM__RULE_NONE)
        return BMM__RULE_CFA(word) != 0 ? BMM__RULE_EPOCH(word) : BMM_STACK_NO_MODULE;
    uint32_t epoch = (uint32_t)(word >> 17) & BMM__RULE_WIDE_EPOCH_UNKNOWN;
    return epoch == BMM__RULE_WIDE_EPOCH_UNKNOWN ? 0xffff : epoch;
}

static inline uint32_t bmm__rule_line_number(uintptr_t address)
{
    uint32_t low = (uint32_t)(address >> BMM__RULE_NEAR_BITS) & (BMM__RULE_LINES - 1);
    uint32_t high = (uint32_t)(address >> (BMM__RULE_NEAR_BITS + BMM__RULE_LINE_BITS));
    return low ^ (high * 0x9e3779b1u) >> (32 - BMM__RULE_LINE_BITS);
}

static inline const uint64_t *bmm__rule_line(uintptr_t address)
{
    uint32_t number = bmm__rule_line_number(address);
    uint32_t page = bmm__load_acquire(&bmm__rule_pages[number / BMM__RULE_PAGE_LINES]);
    return bmm__rule_words[page * BMM__RULE_PAGE_LINES + number % BMM__RULE_PAGE_LINES];
}

static inline uint32_t bmm__rule_way(uintptr_t address)
{
    return address >> BMM__RULE_WAY_BITS & (BMM__RULE_WAYS - 1);
}

/* One more than those bits, so that an empty word has no address's. More than 34 bits where the address is none of code (or the
 * very last one): no word has that, and learn says NONE. */
static inline uint64_t bmm__rule_tag(uintptr_t address)
{
    return (address >> (BMM__RULE_NEAR_BITS + BMM__RULE_LINE_BITS) << BMM__RULE_NEAR_BITS |
            (address & ((1u << BMM__RULE_NEAR_BITS) - 1))) +
           1;
}

/* bmm__rule_find where it is neither in the one place nor in the other: it may be elsewhere in the line, or is learned. */
uint64_t bmm__rule_find_slowly(uintptr_t address);

static inline uint64_t bmm__rule_find(uintptr_t address)
{
    const uint64_t *line = bmm__rule_line(address);
    uint32_t way = bmm__rule_way(address);
    uint64_t tag = bmm__rule_tag(address);
    uint64_t word = bmm__load_acquire(&line[way]); /* acquire: a wide rule was written before its index */
    if (BMM__LIKELY(word >> BMM__RULE_TAG_SHIFT == tag))
        return word;
    word = bmm__load_acquire(&line[way ^ 1]);
    if (BMM__LIKELY(word >> BMM__RULE_TAG_SHIFT == tag))
        return word;
    return bmm__rule_find_slowly(address);
}

#endif
