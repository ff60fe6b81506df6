/* See stack_cfi.h. Names of instructions as in the DWARF standard, section 6.4.2. */
#include "stack_cfi.h"

#define REMEMBER_MAX 3 /* compilers nest once, hand-written code twice */

struct common { /* what a CIE says */
    uint64_t code_align;
    int64_t data_align;
    uint64_t return_register;
    uint8_t pointer_encoding;
    bool has_augmentation_bytes, is_signal_frame;
    struct bmm__bytes program;
};

struct run {
    const struct bmm__module *module;
    const struct common *common;
    struct bmm__cfi_row initial, now, remembered[REMEMBER_MAX];
    unsigned remembered_count;
    uintptr_t at; /* code address that `now` holds from */
};

static struct bmm__bytes segment_from(const struct bmm__module *module, uintptr_t at)
{
    struct bmm__bytes b = { (const uint8_t *)at, (const uint8_t *)module->unwind_high, false };
    if (at < module->unwind_low || at > module->unwind_high) {
        b.at = b.end;
        b.is_bad = true;
    }
    return b;
}

struct bmm__bytes bmm__cfi_expression(const struct bmm__module *module, int64_t stored)
{
    struct bmm__bytes b = segment_from(module, (uintptr_t)stored);
    uint64_t length = bmm__bytes_uleb(&b);
    return bmm__bytes_take(&b, length);
}

/* ---- finding ---- */

/* The body of the CIE or FDE at `at`, behind its length. */
static struct bmm__bytes entry_at(const struct bmm__module *module, uintptr_t at)
{
    struct bmm__bytes b = segment_from(module, at);
    uint64_t length = bmm__bytes_fixed(&b, 4);
    if (length == 0xffffffffu)
        length = bmm__bytes_fixed(&b, 8);
    if (length == 0)
        b.is_bad = true; /* the terminator */
    return bmm__bytes_take(&b, length);
}

static bool read_common(const struct bmm__module *module, uintptr_t at, struct common *common)
{
    struct bmm__bytes b = entry_at(module, at);
    if (bmm__bytes_fixed(&b, 4) != 0) /* an FDE */
        return false;
    uint64_t version = bmm__bytes_fixed(&b, 1);
    if (version != 1 && version != 3)
        return false;
    const char *augmentation = (const char *)b.at;
    while (bmm__bytes_fixed(&b, 1) != 0)
        ;
    if (b.is_bad)
        return false;
    common->code_align = bmm__bytes_uleb(&b);
    common->data_align = bmm__bytes_sleb(&b);
    common->return_register = version == 1 ? bmm__bytes_fixed(&b, 1) : bmm__bytes_uleb(&b);
    common->pointer_encoding = 0;
    common->has_augmentation_bytes = augmentation[0] == 'z';
    common->is_signal_frame = false;
    if (common->has_augmentation_bytes) {
        uint64_t length = bmm__bytes_uleb(&b);
        struct bmm__bytes data = bmm__bytes_take(&b, length);
        for (const char *c = augmentation + 1; *c; c++) {
            if (*c == 'R')
                common->pointer_encoding = (uint8_t)bmm__bytes_fixed(&data, 1);
            else if (*c == 'L')
                bmm__bytes_fixed(&data, 1);
            else if (*c == 'P') {
                uint8_t encoding = (uint8_t)bmm__bytes_fixed(&data, 1);
                bmm__bytes_pointer(&data, encoding & BMM__PTR_FORMAT, 0);
            } else if (*c == 'S')
                common->is_signal_frame = true;
            else if (*c != 'B') /* B: which key signs return addresses; nothing to us */
                return false;
        }
        if (data.is_bad)
            return false;
    } else if (augmentation[0] != 0)
        return false;
    common->program = b;
    return !b.is_bad && common->return_register == BMM__ARCH_RA;
}

/* Address of the FDE whose function begins last at or before pc; 0: none. */
static uintptr_t search_header(const struct bmm__module *module, uintptr_t pc)
{
    uintptr_t base = (uintptr_t)module->unwind_header;
    struct bmm__bytes b = segment_from(module, base);
    uint64_t version = bmm__bytes_fixed(&b, 1);
    uint8_t frame_encoding = (uint8_t)bmm__bytes_fixed(&b, 1);
    uint8_t count_encoding = (uint8_t)bmm__bytes_fixed(&b, 1);
    uint64_t table_encoding = bmm__bytes_fixed(&b, 1);
    if (b.is_bad || version != 1 || count_encoding == BMM__PTR_OMIT || table_encoding != BMM__PTR_TABLE)
        return 0;
    bmm__bytes_pointer(&b, frame_encoding, base);
    uint64_t count = bmm__bytes_pointer(&b, count_encoding, base);
    if (b.is_bad || count == 0 || count > (uint64_t)(b.end - b.at) / 8)
        return 0;
    const uint8_t *table = b.at;
    int64_t wanted = (int64_t)(pc - base);
    uint64_t low = 0, high = count; /* entries before low begin at or before pc, those from high on behind it */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int32_t start;
        memcpy(&start, table + 8 * middle, 4);
        if (start <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return 0;
    int32_t distance;
    memcpy(&distance, table + 8 * (low - 1) + 4, 4);
    return base + (uintptr_t)(intptr_t)distance;
}

/* ---- running ---- */

static bool set(struct run *run, uint64_t number, enum bmm__cfi_how how, int64_t value)
{
    if (number >= BMM__ARCH_REGISTERS)
        return true; /* a vector register: nobody's business here */
    run->now.how[number] = (uint8_t)how;
    run->now.value[number] = value;
    return true;
}

static bool restore(struct run *run, uint64_t number)
{
    return number >= BMM__ARCH_REGISTERS ||
           set(run, number, (enum bmm__cfi_how)run->initial.how[number], run->initial.value[number]);
}

static bool set_cfa(struct run *run, uint64_t number, int64_t offset)
{
    run->now.is_cfa_expression = false;
    run->now.cfa_register = (uint32_t)number;
    run->now.cfa_value = offset;
    return number < BMM__ARCH_REGISTERS;
}

/* An expression stands in the program as a block: remembers where, and passes over it. */
static int64_t block(struct bmm__bytes *b)
{
    int64_t at = (int64_t)(uintptr_t)b->at;
    uint64_t length = bmm__bytes_uleb(b);
    bmm__bytes_take(b, length);
    return at;
}

static bool extended(struct run *run, struct bmm__bytes *b, uint8_t code)
{
    int64_t align = run->common->data_align;
    uint64_t number;
    switch (code) {
    case 0x00: /* nop */
        return true;
    case 0x01: /* set_loc */
        run->at = bmm__bytes_pointer(b, run->common->pointer_encoding, 0);
        return true;
    case 0x02:
    case 0x03:
    case 0x04: /* advance_loc1, 2, 4 */
        run->at += bmm__bytes_fixed(b, 1u << (code - 2)) * run->common->code_align;
        return true;
    case 0x05: /* offset_extended */
        number = bmm__bytes_uleb(b);
        return set(run, number, BMM__CFI_OFFSET, (int64_t)bmm__bytes_uleb(b) * align);
    case 0x06: /* restore_extended */
        return restore(run, bmm__bytes_uleb(b));
    case 0x07: /* undefined */
        return set(run, bmm__bytes_uleb(b), BMM__CFI_UNDEFINED, 0);
    case 0x08: /* same_value */
        return set(run, bmm__bytes_uleb(b), BMM__CFI_SAME, 0);
    case 0x09: /* register */
        number = bmm__bytes_uleb(b);
        return set(run, number, BMM__CFI_REGISTER, (int64_t)bmm__bytes_uleb(b));
    case 0x0a: /* remember_state */
        if (run->remembered_count == REMEMBER_MAX)
            return false;
        run->remembered[run->remembered_count++] = run->now;
        return true;
    case 0x0b: /* restore_state */
        if (run->remembered_count == 0)
            return false;
        run->now = run->remembered[--run->remembered_count];
        return true;
    case 0x0c: /* def_cfa */
        number = bmm__bytes_uleb(b);
        return set_cfa(run, number, (int64_t)bmm__bytes_uleb(b));
    case 0x0d: /* def_cfa_register */
        return !run->now.is_cfa_expression && set_cfa(run, bmm__bytes_uleb(b), run->now.cfa_value);
    case 0x0e: /* def_cfa_offset */
        return !run->now.is_cfa_expression && set_cfa(run, run->now.cfa_register, (int64_t)bmm__bytes_uleb(b));
    case 0x0f: /* def_cfa_expression */
        run->now.is_cfa_expression = true;
        run->now.cfa_value = block(b);
        return true;
    case 0x10: /* expression */
        number = bmm__bytes_uleb(b);
        return set(run, number, BMM__CFI_EXPRESSION, block(b));
    case 0x11: /* offset_extended_sf */
        number = bmm__bytes_uleb(b);
        return set(run, number, BMM__CFI_OFFSET, bmm__bytes_sleb(b) * align);
    case 0x12: /* def_cfa_sf */
        number = bmm__bytes_uleb(b);
        return set_cfa(run, number, bmm__bytes_sleb(b) * align);
    case 0x13: /* def_cfa_offset_sf */
        return !run->now.is_cfa_expression && set_cfa(run, run->now.cfa_register, bmm__bytes_sleb(b) * align);
    case 0x14: /* val_offset */
        number = bmm__bytes_uleb(b);
        return set(run, number, BMM__CFI_VALUE_OFFSET, (int64_t)bmm__bytes_uleb(b) * align);
    case 0x15: /* val_offset_sf */
        number = bmm__bytes_uleb(b);
        return set(run, number, BMM__CFI_VALUE_OFFSET, bmm__bytes_sleb(b) * align);
    case 0x16: /* val_expression */
        number = bmm__bytes_uleb(b);
        return set(run, number, BMM__CFI_VALUE_EXPRESSION, block(b));
    case 0x2e: /* GNU_args_size: of use to those who resume in the frame */
        bmm__bytes_uleb(b);
        return true;
    case 0x2f: /* GNU_negative_offset_extended */
        number = bmm__bytes_uleb(b);
        return set(run, number, BMM__CFI_OFFSET, -(int64_t)bmm__bytes_uleb(b) * align);
    default:
        return code == BMM__ARCH_CFI_NOP;
    }
}

/* Passes over what programs mostly are, hundreds of times in a large function: advance_loc and def_cfa_offset, around calls
 * whose arguments are pushed. Stops in front of anything else, and of the last bytes. */
static void execute_plain(struct run *run, struct bmm__bytes *program, uintptr_t pc)
{
    const uint8_t *at = program->at;
    uintptr_t place = run->at, align = (uintptr_t)run->common->code_align;
    int64_t offset = run->now.cfa_value;
    while (program->end - at > 2 && place <= pc) {
        if (at[0] >> 6 == 1) {
            place += (at[0] & 0x3f) * align;
            at++;
        } else if (at[0] == 0x0e && at[1] < 0x80) {
            offset = at[1];
            at += 2;
        } else if (at[0] == 0x0e && at[2] < 0x80) {
            offset = (at[1] & 0x7f) | at[2] << 7;
            at += 3;
        } else {
            break;
        }
    }
    program->at = at;
    run->at = place;
    run->now.cfa_value = offset;
}

/* Runs until the row holds from behind pc, that is, `now` is the row of pc. */
static bool execute(struct run *run, struct bmm__bytes program, uintptr_t pc)
{
    for (;;) {
        if (!run->now.is_cfa_expression)
            execute_plain(run, &program, pc);
        if (program.at >= program.end || run->at > pc)
            return true;
        uint8_t code = (uint8_t)bmm__bytes_fixed(&program, 1);
        uint8_t low = code & 0x3f;
        bool is_good = true;
        switch (code >> 6) {
        case 1:
            run->at += low * run->common->code_align;
            break;
        case 2:
            is_good = set(run, low, BMM__CFI_OFFSET, (int64_t)bmm__bytes_uleb(&program) * run->common->data_align);
            break;
        case 3:
            is_good = restore(run, low);
            break;
        default:
            is_good = extended(run, &program, low);
        }
        if (!is_good || program.is_bad)
            return false;
    }
}

enum bmm__cfi_result bmm__cfi_row_at(const struct bmm__module *module, uintptr_t pc, struct bmm__cfi_row *row)
{
    if (!module->unwind_header)
        return BMM__CFI_NO_TABLE;
    uintptr_t at = search_header(module, pc);
    if (at == 0)
        return BMM__CFI_NO_TABLE;
    struct bmm__bytes b = entry_at(module, at);
    uintptr_t id_at = (uintptr_t)b.at;
    uint64_t id = bmm__bytes_fixed(&b, 4);
    struct common common;
    if (b.is_bad || id == 0 || !read_common(module, id_at - id, &common))
        return BMM__CFI_BAD;
    uintptr_t start = bmm__bytes_pointer(&b, common.pointer_encoding, 0);
    uintptr_t bytes = bmm__bytes_pointer(&b, common.pointer_encoding & BMM__PTR_FORMAT, 0);
    if (b.is_bad || (common.pointer_encoding & BMM__PTR_INDIRECT))
        return BMM__CFI_BAD;
    if (pc - start >= bytes)
        return BMM__CFI_NO_TABLE;
    if (common.has_augmentation_bytes) {
        uint64_t length = bmm__bytes_uleb(&b);
        bmm__bytes_take(&b, length);
    }
    struct run run;
    run.module = module;
    run.common = &common;
    run.remembered_count = 0;
    memset(&run.now, 0, sizeof run.now);
    run.initial = run.now; /* what a damaged program of common instructions restores */
    run.at = 0;
    if (!execute(&run, common.program, pc))
        return BMM__CFI_BAD;
    run.initial = run.now;
    run.at = start;
    if (!execute(&run, b, pc))
        return BMM__CFI_BAD;
    *row = run.now;
    row->is_signal_frame = common.is_signal_frame;
    return BMM__CFI_FOUND;
}
