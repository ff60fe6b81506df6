/* See stack_rules.h. Turns a row of the unwind tables into a rule, or says that only the full walk can use it. */
#include "stack_rules.h"

#include "module.h"
#include "stack_cfi.h"
#include "stack_code.h"
#include "stack_range.h"

#define WIDE_MAX 1024 /* large frames, realigned stacks, reused addresses: a few per program; then FULL */

uint64_t bmm__rule_words[BMM__RULE_PAGE_LINES + BMM__RULE_LINES][BMM__RULE_WAYS] __attribute__((aligned(4096)));
uint16_t bmm__rule_pages[BMM__RULE_PAGES];

static struct {
    struct bmm__rule rule;
    uint32_t is_written; /* release after rule */
} wide[WIDE_MAX];
static uint32_t wide_count; /* claimed */

_Static_assert(BMM__RULE_LINE_BITS >= 8 && BMM__RULE_LINE_BITS <= 20, "some hundred KiB");
_Static_assert(BMM__RULE_LINE_BITS + (64 - BMM__RULE_TAG_SHIFT) == BMM__ARCH_CODE_BITS,
               "a line's index and a tag are an address");
_Static_assert(1u << (BMM__RULE_NEAR_BITS - BMM__RULE_WAY_BITS) == BMM__RULE_WAYS,
               "a way for each part of a line's code");
_Static_assert(WIDE_MAX <= BMM__RULE_CFA_MAX, "a wide rule's index stands in place of the CFA");

/* ---- expressions that compilers and linkers write ---- */

enum { OP_BREG0 = 0x70, OP_LIT0 = 0x30, OP_LIT31 = 0x4f, OP_DEREF = 0x06 };

/* `breg N offset`, and nothing or one deref behind it. */
static bool is_plain_expression(struct bmm__bytes b, unsigned number, bool is_deref, int32_t *offset)
{
    if (bmm__bytes_fixed(&b, 1) != OP_BREG0 + number)
        return false;
    int64_t value = bmm__bytes_sleb(&b);
    if (is_deref && bmm__bytes_fixed(&b, 1) != OP_DEREF)
        return false;
    *offset = (int32_t)value;
    return !b.is_bad && b.at == b.end && value == *offset;
}

/* A linkage stub: sp + 8, and 8 more from its instruction at byte N of 16 on, where it has pushed the index:
 * breg7 8; breg16 0; lit15; and; litN; ge; lit3; shl; plus. */
static bool is_stub_expression(struct bmm__bytes b, uintptr_t address, int32_t *offset)
{
    const uint8_t *e = b.at;
    if (b.end - b.at != 11 || e[0] != OP_BREG0 + BMM__ARCH_SP || e[2] != 0x80 || e[3] != 0 || e[4] != OP_LIT0 + 15 ||
        e[5] != 0x1a || e[6] < OP_LIT0 || e[6] > OP_LIT31 || e[7] != 0x2a || e[8] != OP_LIT0 + 3 || e[9] != 0x24 ||
        e[10] != 0x22 || e[1] > 0x3f)
        return false;
    *offset = e[1] + ((address & 15) >= (uintptr_t)(e[6] - OP_LIT0) ? 8 : 0);
    return true;
}

/* ---- row to rule ---- */

static bool is_small(int64_t value)
{
    return value >= -0x40000000 && value <= 0x40000000 && value % 8 == 0;
}

static bool read_cfa(const struct bmm__module *module, const struct bmm__cfi_row *row, uintptr_t address,
                     struct bmm__rule *rule)
{
    if (!row->is_cfa_expression) {
        rule->kind = row->cfa_register == BMM__ARCH_SP ? BMM__RULE_SP : BMM__RULE_FP;
        rule->cfa_offset = (int32_t)row->cfa_value;
        return (row->cfa_register == BMM__ARCH_SP || row->cfa_register == BMM__ARCH_FP) && is_small(row->cfa_value);
    }
    struct bmm__bytes expression = bmm__cfi_expression(module, row->cfa_value);
    rule->kind = BMM__RULE_SP;
    if (is_stub_expression(expression, address, &rule->cfa_offset))
        return true;
    rule->kind = BMM__RULE_FP;
    rule->is_cfa_stored = true;
    return is_plain_expression(expression, BMM__ARCH_FP, true, &rule->cfa_offset) && is_small(rule->cfa_offset);
}

static bool read_fp(const struct bmm__module *module, const struct bmm__cfi_row *row, struct bmm__rule *rule)
{
    int64_t value = row->value[BMM__ARCH_FP];
    switch (row->how[BMM__ARCH_FP]) {
    case BMM__CFI_UNSAID:
    case BMM__CFI_SAME:
        return true;
    case BMM__CFI_OFFSET:
        rule->is_fp_saved = true;
        rule->fp_offset = (int32_t)value;
        return is_small(value) && value < 0;
    case BMM__CFI_EXPRESSION:
        rule->is_fp_saved = rule->is_fp_by_fp = true;
        return is_plain_expression(bmm__cfi_expression(module, value), BMM__ARCH_FP, false, &rule->fp_offset) &&
               is_small(rule->fp_offset);
    default:
        return false;
    }
}

bool bmm__rule_is_trampoline(uintptr_t pc)
{
    uintptr_t last = pc + BMM__ARCH_TRAMPOLINE_BYTES - 1;
    return bmm__range_is_readable(pc) && bmm__range_is_readable(last) && bmm__arch_is_trampoline((const uint8_t *)pc);
}

static struct bmm__rule make_rule(uintptr_t address, bool *is_certain)
{
    struct bmm__rule rule = { .kind = BMM__RULE_NONE };
    struct bmm__module module;
    struct bmm__cfi_row row;
    rule.is_in_module = bmm__module_find(address, &module, is_certain);
    if (rule.is_in_module)
        rule.epoch = (uint16_t)module.epoch;
    enum bmm__cfi_result result = rule.is_in_module ? bmm__cfi_row_at(&module, address, &row) : BMM__CFI_NO_TABLE;
    if (result == BMM__CFI_NO_TABLE && rule.is_in_module) {
        /* The address is that of a call, the trampoline's own is one further: nobody called, it was returned to. */
        if (bmm__rule_is_trampoline(address + 1))
            rule.kind = BMM__RULE_SIGNAL;
        /* Likewise what makecontext makes a coroutine return to: a return address that is a function's first byte, with
         * no function before it, was not left by a call. */
        else if (bmm__cfi_row_at(&module, address + 1, &row) == BMM__CFI_FOUND)
            rule.kind = BMM__RULE_END;
        else
            result = bmm__code_row_at(&module, address, &row);
    } else if (result != BMM__CFI_FOUND && bmm__rule_is_trampoline(address + 1))
        rule.kind = BMM__RULE_SIGNAL;
    if (result != BMM__CFI_FOUND)
        return rule;
    if (row.is_signal_frame) {
        rule.kind = bmm__rule_is_trampoline(address) || bmm__rule_is_trampoline(address + 1) ? BMM__RULE_SIGNAL
                                                                                             : BMM__RULE_FULL;
        return rule;
    }
    if (row.how[BMM__ARCH_RA] == BMM__CFI_UNDEFINED) {
        rule.kind = BMM__RULE_END;
        return rule;
    }
    if (!read_cfa(&module, &row, address, &rule) || !read_fp(&module, &row, &rule) ||
        row.how[BMM__ARCH_SP] != BMM__CFI_UNSAID || row.how[BMM__ARCH_RA] != BMM__CFI_OFFSET ||
        !is_small(row.value[BMM__ARCH_RA]) || row.value[BMM__ARCH_RA] >= 0)
        return (struct bmm__rule){ .kind = BMM__RULE_FULL, .is_in_module = true, .epoch = rule.epoch };
    rule.ra_offset = (int32_t)row.value[BMM__ARCH_RA];
    return rule;
}

/* ---- rule to word and back ---- */

/* But for the epoch, which stands in the word: a program that loads and unloads for ever has no more rules for that. */
static bool is_equal(const struct bmm__rule *a, const struct bmm__rule *b)
{
    return a->kind == b->kind && a->is_cfa_stored == b->is_cfa_stored && a->is_fp_saved == b->is_fp_saved &&
           a->is_fp_by_fp == b->is_fp_by_fp && a->is_in_module == b->is_in_module && a->cfa_offset == b->cfa_offset &&
           a->fp_offset == b->fp_offset && a->ra_offset == b->ra_offset;
}

/* Index of the rule in the wide table; WIDE_MAX: it is full. Two threads may write the same rule twice. */
static uint32_t wide_index(const struct bmm__rule *rule)
{
    uint32_t count = bmm__load_acquire(&wide_count);
    for (uint32_t i = 0; i < count && i < WIDE_MAX; i++)
        if (bmm__load_acquire(&wide[i].is_written) && is_equal(&wide[i].rule, rule))
            return i;
    if (count >= WIDE_MAX)
        return WIDE_MAX;
    uint32_t index = bmm__add_relaxed(&wide_count, 1);
    if (index >= WIDE_MAX)
        return WIDE_MAX;
    wide[index].rule = *rule;
    bmm__store_release(&wide[index].is_written, 1);
    return index;
}

static bool fits(const struct bmm__rule *rule)
{
    if (rule->epoch >= BMM__RULE_EPOCH_MAX || rule->is_cfa_stored || rule->is_fp_by_fp)
        return false;
    if (rule->kind != BMM__RULE_SP && rule->kind != BMM__RULE_FP)
        return true;
    return rule->cfa_offset >= 0 && rule->cfa_offset / 8 <= (int32_t)BMM__RULE_CFA_MAX && rule->fp_offset <= 0 &&
           -rule->fp_offset / 8 <= 0x7f && rule->ra_offset == BMM__ARCH_RA_OFFSET(-rule->fp_offset);
}

static uint64_t encode(uintptr_t address, const struct bmm__rule *rule)
{
    uint64_t word = bmm__rule_tag(address) << BMM__RULE_TAG_SHIFT;
    if (fits(rule)) {
        uint64_t cfa = rule->kind == BMM__RULE_NONE ? rule->is_in_module : (uint64_t)rule->cfa_offset / 8;
        return word | (uint64_t)rule->epoch << 24 | (uint64_t)(-rule->fp_offset / 8) << 17 | cfa << 3 | rule->kind;
    }
    uint32_t index = wide_index(rule);
    if (index == WIDE_MAX)
        return word | BMM__RULE_FULL;
    uint64_t epoch = rule->epoch < BMM__RULE_WIDE_EPOCH_UNKNOWN ? rule->epoch : BMM__RULE_WIDE_EPOCH_UNKNOWN;
    return word | epoch << 17 | (uint64_t)index << 3 | BMM__RULE_WIDE;
}

struct bmm__rule bmm__rule_decode(uint64_t word)
{
    if (BMM__RULE_KIND(word) == BMM__RULE_WIDE) {
        struct bmm__rule found = wide[BMM__RULE_WIDE_INDEX(word)].rule;
        found.epoch = (uint16_t)bmm__rule_epoch(word);
        return found;
    }
    struct bmm__rule rule = { .kind = (uint8_t)BMM__RULE_KIND(word), .epoch = (uint16_t)BMM__RULE_EPOCH(word) };
    if (rule.kind == BMM__RULE_NONE)
        rule.is_in_module = BMM__RULE_CFA(word) != 0;
    else {
        rule.is_in_module = true;
        rule.cfa_offset = (int32_t)BMM__RULE_CFA(word);
        rule.fp_offset = -(int32_t)BMM__RULE_FP_DISTANCE(word);
        rule.is_fp_saved = rule.fp_offset != 0;
        rule.ra_offset = (int32_t)BMM__ARCH_RA_OFFSET(-rule.fp_offset);
    }
    return rule;
}

/* ---- the cache ---- */

static uint64_t *line_to_write(uintptr_t address)
{
    uint32_t number = bmm__rule_line_number(address), page = number / BMM__RULE_PAGE_LINES + 1;
    uint64_t *line = bmm__rule_words[page * BMM__RULE_PAGE_LINES + number % BMM__RULE_PAGE_LINES];
    if (bmm__load_acquire(&bmm__rule_pages[page - 1]) == 0) {
        uint64_t nothing = 0;
        bmm__cas_acq_rel(&line[0], &nothing, nothing); /* a store before anybody reads there; an "or 0" need be none */
        bmm__exchange_seq_cst(&bmm__rule_pages[page - 1],
                              (uint16_t)page); /* before the word: bmm__rules_forget sees one of both */
    }
    return line;
}

/* Where a word goes that should be at that way: there if it can, else beside it, else where there is room. If all are taken, the
 * newcomer is likelier to be asked for again than what is at its place. */
static uint64_t *room_in(uint64_t *line, unsigned way)
{
    for (unsigned i = 0; i < BMM__RULE_WAYS; i++)
        if (bmm__load_relaxed(&line[way ^ i]) == 0)
            return &line[way ^ i];
    return &line[way];
}

uint64_t bmm__rule_learn(uintptr_t address)
{
    if (address >> BMM__ARCH_CODE_BITS)
        return BMM__RULE_NONE;
    uint32_t load_count = bmm__module_load_count();
    bool is_certain;
    struct bmm__rule rule = make_rule(address, &is_certain);
    uint64_t word = encode(address, &rule);
    if (!is_certain)
        return word;
    uint64_t *place = room_in(line_to_write(address), bmm__rule_way(address));
    bmm__exchange_seq_cst(place, word); /* before the count is looked at */
    uint64_t mine = word;
    if (bmm__load_seq_cst(&bmm__module_loads) != load_count) /* K2 */
        bmm__cas_acq_rel(place, &mine, (uint64_t)0);
    return word;
}

uint64_t bmm__rule_find_slowly(uintptr_t address)
{
    const uint64_t *line = bmm__rule_line(address);
    uint64_t tag = bmm__rule_tag(address);
    for (unsigned way = 0; way < BMM__RULE_WAYS; way++) {
        uint64_t word = bmm__load_acquire(&line[way]);
        if (word >> BMM__RULE_TAG_SHIFT == tag)
            return word;
    }
    return bmm__rule_learn(address);
}

void bmm__rules_forget(void)
{
    for (unsigned i = 0; i < BMM__RULE_PAGES; i++) {
        uint64_t(*lines)[BMM__RULE_WAYS] = &bmm__rule_words[(i + 1) * BMM__RULE_PAGE_LINES];
        if (bmm__load_seq_cst(&bmm__rule_pages[i]) == 0)
            continue; /* an untouched page stays untouched */
        for (unsigned k = 0; k < BMM__RULE_PAGE_LINES; k++)
            for (unsigned way = 0; way < BMM__RULE_WAYS; way++)
                if (bmm__load_seq_cst(&lines[k][way]) != 0)
                    bmm__store_relaxed(&lines[k][way], (uint64_t)0);
    }
}
