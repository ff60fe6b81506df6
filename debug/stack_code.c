/* See stack_code.h. */
#include "stack_code.h"

#if defined(__x86_64__)

#include "stack_instruction.h"
#include "stack_range.h"

#include "core/os.h"

#define INSTRUCTIONS_MAX 8192 /* looked at for one row */
#define PATHS_MAX 12          /* that wait to be followed */
#define PLACES_MAX 64         /* where paths began */
#define ENDS_MAX 6            /* that are compared */

/* base is what a register held at pc. */
enum base { OF_SP, OF_FP, NOWHERE };
struct place {
    int32_t offset;
    uint8_t base; /* enum base */
};

enum { KEPT = 6 }; /* rbx rbp r12 r13 r14 r15: what a function leaves as it found it */
enum { KEPT_RBP = 1, NOT_KEPT = KEPT };

struct path {
    uintptr_t at;
    struct place sp, fp;      /* their values now */
    struct place saved[KEPT]; /* where a register was got back from; NOWHERE: it was not */
};

struct scan {
    const struct bmm__module *module;
    uintptr_t page; /* that can be read; 0: none yet */
    unsigned instruction_count, path_count, place_count, end_count;
    uintptr_t places[PLACES_MAX];
    struct path paths[PATHS_MAX];
    struct bmm__cfi_row *row;
    bool has_conflict;
};

static const struct place nowhere = { 0, NOWHERE };

static struct place moved(struct place place, int64_t bytes)
{
    int64_t offset = place.offset + bytes;
    if (place.base == NOWHERE || offset != (int32_t)offset || offset % 8 != 0 || offset > 1 << 28 ||
        offset < -(1 << 28))
        return nowhere;
    return (struct place){ (int32_t)offset, place.base };
}

static unsigned kept_index(unsigned number)
{
    return number == 3 ? 0 : number == BMM__CODE_RBP ? KEPT_RBP : number >= 12 && number <= 15 ? number - 10 : NOT_KEPT;
}

/* ---- reading code ---- */

/* How many bytes from at on can be read, up to a whole instruction's. */
static unsigned readable(struct scan *scan, uintptr_t at)
{
    uintptr_t bytes = bmm__os_page_bytes(), end = at + BMM__INSTRUCTION_BYTES_MAX;
    if (at < scan->module->start || at >= scan->module->end)
        return 0;
    if (end > scan->module->end)
        end = scan->module->end;
    for (uintptr_t page = at & ~(bytes - 1); page < end; page += bytes) {
        if (scan->page == page)
            continue;
        if (!bmm__range_is_readable(page))
            return page > at ? (unsigned)(page - at) : 0;
        scan->page = page;
    }
    return (unsigned)(end - at);
}

static bool decode(struct scan *scan, uintptr_t at, struct bmm__instruction *in)
{
    unsigned count = readable(scan, at);
    return count != 0 && bmm__instruction_decode((const uint8_t *)at, count, in);
}

static bool is_call(const struct bmm__instruction *in)
{
    return in->map == BMM__MAP_ONE && (in->opcode == 0xe8 || (in->opcode == 0xff && (in->reg & 7) == 2));
}

/* O2. */
static bool is_behind_call(struct scan *scan, uintptr_t pc)
{
    for (unsigned bytes = 2; bytes <= 8; bytes++) {
        struct bmm__instruction in;
        if (pc - scan->module->start < bytes || !decode(scan, pc - bytes, &in) || in.bytes != bytes || !is_call(&in))
            continue;
        uintptr_t target = pc + (uintptr_t)in.immediate;
        if (in.opcode != 0xe8 || (target >= scan->module->start && target < scan->module->end))
            return true;
    }
    return false;
}

/* ---- what instructions do ---- */

/* Memory at base + displacement, relative to what is known; NOWHERE: elsewhere. */
static struct place memory_of(const struct path *path, const struct bmm__instruction *in)
{
    if (in->mode == 3 || in->has_index || !in->is_exact)
        return nowhere;
    return in->base == BMM__CODE_RSP   ? moved(path->sp, in->displacement)
           : in->base == BMM__CODE_RBP ? moved(path->fp, in->displacement)
                                       : nowhere;
}

static void forget(struct path *path, unsigned number)
{
    if (number == BMM__CODE_RSP)
        path->sp = nowhere;
    if (number == BMM__CODE_RBP)
        path->fp = nowhere;
    if (kept_index(number) != NOT_KEPT)
        path->saved[kept_index(number)] = nowhere;
}

/* A register gets what is in memory there. */
static void load(struct path *path, unsigned number, struct place from)
{
    forget(path, number);
    unsigned index = kept_index(number);
    if (index == NOT_KEPT || from.base == NOWHERE)
        return;
    if (from.base != OF_SP || from.offset >= 0) /* below, the path itself has put it there */
        path->saved[index] = from;
}

static void push(struct path *path)
{
    path->sp = moved(path->sp, -8);
}

static void pop(struct path *path, unsigned number)
{
    struct place from = path->sp;
    path->sp = moved(path->sp, 8);
    load(path, number, from);
}

/* Whether registers named by modrm may be general ones. */
static bool is_general(const struct bmm__instruction *in)
{
    static const uint8_t from_vectors[] = { 0x2c, 0x2d, 0x50, 0x7e, 0xc5, 0xd7 };
    uint8_t opcode = in->opcode;
    if (in->map == BMM__MAP_ONE)
        return (opcode & 0xf8) != 0xd8; /* those are of the x87 */
    if (in->map != BMM__MAP_0F)
        return true; /* few are, and seldom seen */
    for (unsigned i = 0; i < sizeof from_vectors; i++)
        if (opcode == from_vectors[i])
            return true;
    return !in->is_vector && ((opcode & 0xf0) == 0x40 || (opcode & 0xf0) == 0x90 || (opcode >= 0xa0 && opcode <= 0xc1));
}

/* Whether reg is part of the opcode. */
static bool is_group(const struct bmm__instruction *in)
{
    uint8_t opcode = in->opcode;
    if (in->map == BMM__MAP_0F)
        return opcode == 0xba || (opcode & 0xf0) == 0x90;
    return in->map == BMM__MAP_ONE &&
           ((opcode & 0xfc) == 0x80 || opcode == 0x8f || (opcode & 0xfe) == 0xc0 || (opcode & 0xfe) == 0xc6 ||
            (opcode & 0xfc) == 0xd0 || (opcode & 0xfe) == 0xf6 || opcode >= 0xfe);
}

/* Of instructions not treated by name: whatever registers they name may have been written to. */
static void forget_named(struct path *path, const struct bmm__instruction *in)
{
    bool is_constant = in->map == BMM__MAP_ONE && (in->opcode & 0xf8) == 0xb8;
    bool is_exchange = in->map == BMM__MAP_ONE && (in->opcode & 0xf8) == 0x90;
    bool is_swap = in->map == BMM__MAP_0F && (in->opcode & 0xf8) == 0xc8;
    if (!in->has_modrm && (is_constant || is_exchange || is_swap)) {
        forget(path, in->opcode & 7);
        forget(path, (in->opcode & 7) | 8);
    }
    if (!in->has_modrm || !is_general(in))
        return;
    if (!is_group(in))
        forget(path, in->reg);
    if (in->mode == 3)
        forget(path, in->rm);
    if (in->third != BMM__CODE_NONE)
        forget(path, in->third);
}

/* Of 64 bits between a register and memory, the stack pointer and a constant. False: it is none of those. */
static bool apply_plain(struct path *path, const struct bmm__instruction *in)
{
    if (!in->is_wide || !in->is_exact || in->map != BMM__MAP_ONE || in->is_vector)
        return false;
    bool is_sp = in->mode == 3 && in->rm == BMM__CODE_RSP;
    switch (in->opcode) {
    case 0x81:
    case 0x83:
        if (!is_sp || ((in->reg & 7) != 0 && (in->reg & 7) != 5)) /* add, sub */
            return false;
        path->sp = moved(path->sp, (in->reg & 7) == 0 ? in->immediate : -in->immediate);
        return true;
    case 0x89:
    case 0x8b: {
        unsigned to = in->opcode == 0x89 ? in->rm : in->reg, from = in->opcode == 0x89 ? in->reg : in->rm;
        if (in->mode != 3) {
            if (in->opcode == 0x89)
                return true; /* a store */
            load(path, in->reg, memory_of(path, in));
            return true;
        }
        struct place value = from == BMM__CODE_RSP ? path->sp : from == BMM__CODE_RBP ? path->fp : nowhere;
        forget(path, to);
        if (to == BMM__CODE_RSP)
            path->sp = value;
        if (to == BMM__CODE_RBP)
            path->fp = value;
        return true;
    }
    case 0x8d: {
        struct place value = memory_of(path, in);
        forget(path, in->reg);
        if (in->reg == BMM__CODE_RSP)
            path->sp = value;
        if (in->reg == BMM__CODE_RBP)
            path->fp = value;
        return true;
    }
    default:
        return false;
    }
}

/* ---- paths ---- */

/* A path that begins at a place where none began before. */
static void fork_to(struct scan *scan, const struct path *path, uintptr_t at)
{
    if (at < scan->module->start || at >= scan->module->end || scan->path_count == PATHS_MAX ||
        scan->place_count == PLACES_MAX)
        return;
    for (unsigned i = 0; i < scan->place_count; i++)
        if (scan->places[i] == at)
            return;
    scan->places[scan->place_count++] = at;
    scan->paths[scan->path_count] = *path;
    scan->paths[scan->path_count++].at = at;
}

static void put(struct bmm__cfi_row *row, unsigned number, enum bmm__cfi_how how, int64_t value)
{
    row->how[number] = (uint8_t)how;
    row->value[number] = how == BMM__CFI_OFFSET ? value : 0;
}

/* The row that a return at the path's end makes. False: not known. */
static bool make_row(const struct path *path, struct bmm__cfi_row *row)
{
    static const uint8_t dwarf[KEPT] = { 3, BMM__ARCH_FP, 12, 13, 14, 15 };
    if (path->sp.base == NOWHERE)
        return false;
    struct place cfa = moved(path->sp, 8);
    /* The ABI: a multiple of 16 at every call, as the caller had it. */
    if (cfa.base == OF_SP && (cfa.offset < 16 || cfa.offset % 16 != 0))
        return false;
    memset(row, 0, sizeof *row);
    row->cfa_register = cfa.base == OF_SP ? BMM__ARCH_SP : BMM__ARCH_FP;
    row->cfa_value = cfa.offset;
    put(row, BMM__ARCH_RA, BMM__CFI_OFFSET, -8);
    for (unsigned i = 0; i < KEPT; i++) {
        bool is_moved = path->saved[i].base != NOWHERE, is_known = path->saved[i].base == cfa.base;
        if (is_moved)
            put(row, dwarf[i], is_known ? BMM__CFI_OFFSET : BMM__CFI_UNDEFINED, path->saved[i].offset - cfa.offset);
    }
    if (row->how[BMM__ARCH_FP] == BMM__CFI_UNSAID)
        return path->fp.base == OF_FP && path->fp.offset == 0;
    return row->how[BMM__ARCH_FP] == BMM__CFI_OFFSET && row->value[BMM__ARCH_FP] < -8;
}

/* O3. Of two rows only what the fast walk follows is compared. */
static void end_path(struct scan *scan, const struct path *path)
{
    struct bmm__cfi_row row;
    if (!make_row(path, &row)) {
        scan->has_conflict |= path->sp.base != NOWHERE;
        return;
    }
    if (scan->end_count++ == 0)
        *scan->row = row;
    else if (row.cfa_register != scan->row->cfa_register || row.cfa_value != scan->row->cfa_value ||
             row.how[BMM__ARCH_FP] != scan->row->how[BMM__ARCH_FP] ||
             row.value[BMM__ARCH_FP] != scan->row->value[BMM__ARCH_FP])
        scan->has_conflict = true;
}

/* O5. What a function begins with: a mark for those who call it by its address, a register kept, room made. */
static bool is_beginning(const struct bmm__instruction *in)
{
    bool is_push = in->map == BMM__MAP_ONE && (in->opcode & 0xf8) == 0x50 && kept_index(in->rm) != NOT_KEPT;
    bool is_mark = in->map == BMM__MAP_0F && in->opcode == 0x1e && in->mode == 3 && !in->is_vector;
    bool is_room = in->map == BMM__MAP_ONE && in->is_wide && in->mode == 3 && in->rm == BMM__CODE_RSP &&
                   (in->opcode == 0x81 || in->opcode == 0x83) && in->reg == (in->immediate < 0 ? 0 : 5);
    bool is_room_too = in->map == BMM__MAP_ONE && in->opcode == 0x8d && in->is_wide && in->reg == BMM__CODE_RSP &&
                       in->base == BMM__CODE_RSP && in->displacement < 0;
    return is_push || is_mark || is_room || is_room_too;
}

/* One instruction. False: the path is over. */
static bool step(struct scan *scan, struct path *path)
{
    struct bmm__instruction in;
    if (!decode(scan, path->at, &in) || is_beginning(&in))
        return false;
    uintptr_t next = path->at + in.bytes, target = next + (uintptr_t)in.immediate;
    path->at = next;
    if (apply_plain(path, &in))
        return true;
    if (in.map == BMM__MAP_0F && (in.opcode & 0xf0) == 0x80) {
        fork_to(scan, path, target);
        return true;
    }
    if (in.map == BMM__MAP_0F && in.opcode == 0x0b) /* ud2 */
        return false;
    if (in.map != BMM__MAP_ONE || in.is_vector) {
        forget_named(path, &in);
        return true;
    }
    switch (in.opcode) {
    case 0xc3:
        end_path(scan, path);
        return false;
    case 0xeb:
    case 0xe9:
        fork_to(scan, path, target);
        return false;
    case 0xc9: /* leave */
        path->sp = path->fp;
        pop(path, BMM__CODE_RBP);
        return true;
    case 0x68:
    case 0x6a:
    case 0x9c: /* push of a constant, of flags */
        push(path);
        return !in.is_short;
    case 0x9d:
        path->sp = moved(path->sp, 8);
        return !in.is_short;
    case 0x8f:
        path->sp = moved(path->sp, 8);
        return !in.is_short && in.mode != 3;
    case 0xff:
        if ((in.reg & 7) == 6)
            push(path);
        if ((in.reg & 7) == 4 || (in.reg & 7) == 5)
            return false;
        forget_named(path, &in);
        return true;
    case 0xc2: /* a return that takes arguments along; enter; far returns; interrupts; hlt */
    case 0xc8:
    case 0xca:
    case 0xcb:
    case 0xcc:
    case 0xcd:
    case 0xcf:
    case 0xf4:
        return false;
    default:
        break;
    }
    if ((in.opcode & 0xf0) == 0x50) {
        if ((in.opcode & 8) == 0)
            push(path);
        else
            pop(path, in.rm);
        return !in.is_short;
    }
    if ((in.opcode & 0xf0) == 0x70 || (in.opcode & 0xfc) == 0xe0)
        fork_to(scan, path, target);
    else
        forget_named(path, &in);
    return true;
}

enum bmm__cfi_result bmm__code_row_at(const struct bmm__module *module, uintptr_t address, struct bmm__cfi_row *row)
{
    struct scan scan;
    scan.module = module;
    scan.page = 0;
    scan.instruction_count = scan.path_count = scan.place_count = scan.end_count = 0;
    scan.row = row;
    scan.has_conflict = false;
    uintptr_t pc = address + 1;
    struct bmm__instruction in;
    if (!is_behind_call(&scan, pc) || !decode(&scan, pc, &in))
        return BMM__CFI_NO_TABLE;
    if (in.map == BMM__MAP_ONE && in.opcode == 0xf4) {
        memset(row, 0, sizeof *row);
        row->how[BMM__ARCH_RA] = BMM__CFI_UNDEFINED;
        return BMM__CFI_FOUND;
    }
    struct path path = { .at = pc, .sp = { 0, OF_SP }, .fp = { 0, OF_FP } };
    for (unsigned i = 0; i < KEPT; i++)
        path.saved[i] = nowhere;
    fork_to(&scan, &path, pc);
    while (scan.path_count > 0 && !scan.has_conflict && scan.end_count < ENDS_MAX) {
        path = scan.paths[--scan.path_count];
        while (scan.instruction_count++ < INSTRUCTIONS_MAX && step(&scan, &path))
            ;
    }
    return scan.end_count > 0 && !scan.has_conflict ? BMM__CFI_FOUND : BMM__CFI_NO_TABLE;
}

#else

enum bmm__cfi_result bmm__code_row_at(const struct bmm__module *module, uintptr_t address, struct bmm__cfi_row *row)
{
    (void)module;
    (void)address;
    (void)row;
    return BMM__CFI_NO_TABLE;
}

#endif
