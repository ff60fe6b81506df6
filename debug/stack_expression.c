/* See stack_expression.h. Names of operations as in the DWARF standard, section 2.5. */
#include "stack_expression.h"

#include "stack_range.h"

#define STACK_MAX 16
#define STEPS_MAX 256 /* an expression may branch backwards */

struct machine {
    uintptr_t stack[STACK_MAX];
    unsigned depth;
    bool is_bad;
};

bool bmm__memory_read(uintptr_t address, uintptr_t *value)
{
    if (address == 0 || !bmm__range_is_readable(address) || !bmm__range_is_readable(address + sizeof *value - 1))
        return false;
    memcpy(value, (const void *)address, sizeof *value);
    return true;
}

static void push(struct machine *m, uintptr_t value)
{
    if (m->depth == STACK_MAX)
        m->is_bad = true;
    else
        m->stack[m->depth++] = value;
}

static uintptr_t pop(struct machine *m)
{
    if (m->depth == 0) {
        m->is_bad = true;
        return 0;
    }
    return m->stack[--m->depth];
}

static void push_register(struct machine *m, const struct bmm__registers *r, uint64_t number, int64_t offset)
{
    if (number > BMM__ARCH_REGISTERS || !r->is_known[number])
        m->is_bad = true;
    else
        push(m, r->value[number] + (uintptr_t)offset);
}

static void binary(struct machine *m, uint8_t code)
{
    uintptr_t b = pop(m), a = pop(m), value = 0;
    intptr_t sa = (intptr_t)a, sb = (intptr_t)b;
    switch (code) {
    case 0x1a:
        value = a & b;
        break;
    case 0x1c:
        value = a - b;
        break;
    case 0x1e:
        value = a * b;
        break;
    case 0x21:
        value = a | b;
        break;
    case 0x22:
        value = a + b;
        break;
    case 0x24:
        value = b < 64 ? a << b : 0;
        break;
    case 0x25:
        value = b < 64 ? a >> b : 0;
        break;
    case 0x26:
        value = (uintptr_t)(sa >> (b < 64 ? b : 63));
        break;
    case 0x27:
        value = a ^ b;
        break;
    case 0x29:
        value = sa == sb;
        break;
    case 0x2a:
        value = sa >= sb;
        break;
    case 0x2b:
        value = sa > sb;
        break;
    case 0x2c:
        value = sa <= sb;
        break;
    case 0x2d:
        value = sa < sb;
        break;
    case 0x2e:
        value = sa != sb;
        break;
    default:
        m->is_bad = true;
    }
    push(m, value);
}

static void dereference(struct machine *m, unsigned bytes)
{
    uintptr_t value = 0;
    if (bytes == 0 || bytes > sizeof value || !bmm__memory_read(pop(m), &value))
        m->is_bad = true;
    if (bytes < sizeof value)
        value &= ((uintptr_t)1 << 8 * bytes) - 1;
    push(m, value);
}

static void other(struct machine *m, struct bmm__bytes *b, uint8_t code, const uint8_t *start)
{
    uintptr_t a, second;
    int64_t distance;
    switch (code) {
    case 0x03:
        push(m, bmm__bytes_fixed(b, 8));
        break; /* addr */
    case 0x06:
        dereference(m, sizeof(uintptr_t));
        break;
    case 0x08:
        push(m, bmm__bytes_fixed(b, 1));
        break; /* const1u … const8s */
    case 0x09:
        push(m, (uintptr_t)bmm__bytes_signed(b, 1));
        break;
    case 0x0a:
        push(m, bmm__bytes_fixed(b, 2));
        break;
    case 0x0b:
        push(m, (uintptr_t)bmm__bytes_signed(b, 2));
        break;
    case 0x0c:
        push(m, bmm__bytes_fixed(b, 4));
        break;
    case 0x0d:
        push(m, (uintptr_t)bmm__bytes_signed(b, 4));
        break;
    case 0x0e:
    case 0x0f:
        push(m, bmm__bytes_fixed(b, 8));
        break;
    case 0x10:
        push(m, bmm__bytes_uleb(b));
        break;
    case 0x11:
        push(m, (uintptr_t)bmm__bytes_sleb(b));
        break;
    case 0x12:
        a = pop(m);
        push(m, a);
        push(m, a);
        break; /* dup */
    case 0x13:
        pop(m);
        break; /* drop */
    case 0x14:
    case 0x15: /* over, pick */
        a = code == 0x14 ? 1 : bmm__bytes_fixed(b, 1);
        if (a >= m->depth)
            m->is_bad = true;
        else
            push(m, m->stack[m->depth - 1 - a]);
        break;
    case 0x16:
        a = pop(m);
        second = pop(m);
        push(m, a);
        push(m, second);
        break; /* swap */
    case 0x19:
        a = pop(m);
        push(m, (intptr_t)a < 0 ? 0 - a : a);
        break; /* abs */
    case 0x1f:
        push(m, 0 - pop(m));
        break; /* neg */
    case 0x20:
        push(m, ~pop(m));
        break; /* not */
    case 0x23:
        push(m, pop(m) + bmm__bytes_uleb(b));
        break; /* plus_uconst */
    case 0x28:
    case 0x2f: /* bra, skip */
        distance = bmm__bytes_signed(b, 2);
        if (code == 0x2f || pop(m) != 0) {
            if (distance > b->end - b->at || distance < start - b->at)
                m->is_bad = true;
            else
                b->at += distance;
        }
        break;
    case 0x94:
        dereference(m, (unsigned)bmm__bytes_fixed(b, 1));
        break;
    case 0x96:
        break; /* nop */
    default:
        binary(m, code);
    }
}

bool bmm__expression_value(struct bmm__bytes expression, const struct bmm__registers *registers, bool push_first,
                           uintptr_t first, uintptr_t *result)
{
    struct machine m = { .is_bad = expression.is_bad };
    const uint8_t *start = expression.at;
    unsigned steps = 0;
    if (push_first)
        push(&m, first);
    while (!m.is_bad && !expression.is_bad && expression.at < expression.end && steps++ < STEPS_MAX) {
        uint8_t code = (uint8_t)bmm__bytes_fixed(&expression, 1);
        if (code >= 0x30 && code <= 0x4f)
            push(&m, code - 0x30u);
        else if (code >= 0x70 && code <= 0x8f)
            push_register(&m, registers, code - 0x70u, bmm__bytes_sleb(&expression));
        else if (code == 0x92) {
            uint64_t number = bmm__bytes_uleb(&expression);
            push_register(&m, registers, number, bmm__bytes_sleb(&expression));
        } else
            other(&m, &expression, code, start);
    }
    *result = pop(&m);
    return !m.is_bad && !expression.is_bad && expression.at == expression.end;
}
