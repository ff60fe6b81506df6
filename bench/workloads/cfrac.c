/* Continued-fraction factoring (Morrison and Brillhart 1975): every number is a block of its own, as in a language
 * where numbers are values. Some 8 to 48 bytes each, nearly all of them dead within microseconds.
 *
 * numbers: how many products of two primes are factored. bits: of each prime. */
#include "../bench.h"
#include <stdlib.h>
#include <string.h>

enum { NUMBERS, BITS };
static struct bench_parameter parameters[] = {
    [NUMBERS] = { "numbers", 25, 1 },
    [BITS] = { "bits", 36, 0 },
    { NULL, 0, 0 },
};

/* ---- numbers: immutable, never negative, least significant limb first, no leading zero limb ---- */

struct number {
    uint32_t limb_count;
    uint32_t limbs[];
};

static struct number *number_new(uint32_t limb_count)
{
    struct number *number = malloc(sizeof *number + limb_count * sizeof number->limbs[0]);
    if (!number)
        bench_fail("out of memory");
    number->limb_count = limb_count;
    return number;
}

static struct number *trim(struct number *number)
{
    while (number->limb_count > 0 && number->limbs[number->limb_count - 1] == 0)
        number->limb_count--;
    return number;
}

static struct number *number_of(uint64_t value)
{
    struct number *number = number_new(2);
    number->limbs[0] = (uint32_t)value;
    number->limbs[1] = (uint32_t)(value >> 32);
    return trim(number);
}

/* Puts a new number where another stood. */
static void set(struct number **place, struct number *number)
{
    free(*place);
    *place = number;
}

static uint64_t low(const struct number *a)
{
    return (a->limb_count > 0 ? a->limbs[0] : 0) | (uint64_t)(a->limb_count > 1 ? a->limbs[1] : 0) << 32;
}

static int compare(const struct number *a, const struct number *b)
{
    if (a->limb_count != b->limb_count)
        return a->limb_count < b->limb_count ? -1 : 1;
    for (uint32_t i = a->limb_count; i-- > 0;)
        if (a->limbs[i] != b->limbs[i])
            return a->limbs[i] < b->limbs[i] ? -1 : 1;
    return 0;
}

static struct number *add(const struct number *a, const struct number *b)
{
    if (a->limb_count < b->limb_count) {
        const struct number *shorter = a;
        a = b;
        b = shorter;
    }
    struct number *sum = number_new(a->limb_count + 1);
    uint64_t carry = 0;
    for (uint32_t i = 0; i < a->limb_count; i++) {
        carry += (uint64_t)a->limbs[i] + (i < b->limb_count ? b->limbs[i] : 0);
        sum->limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
    sum->limbs[a->limb_count] = (uint32_t)carry;
    return trim(sum);
}

/* a - b, where a is not the smaller. */
static struct number *subtract(const struct number *a, const struct number *b)
{
    struct number *difference = number_new(a->limb_count);
    uint64_t borrow = 0;
    for (uint32_t i = 0; i < a->limb_count; i++) {
        uint64_t limb = (uint64_t)a->limbs[i] - (i < b->limb_count ? b->limbs[i] : 0) - borrow;
        difference->limbs[i] = (uint32_t)limb;
        borrow = limb >> 63;
    }
    return trim(difference);
}

static struct number *multiply(const struct number *a, const struct number *b)
{
    struct number *product = number_new(a->limb_count + b->limb_count);
    memset(product->limbs, 0, product->limb_count * sizeof product->limbs[0]);
    for (uint32_t i = 0; i < a->limb_count; i++) {
        uint64_t carry = 0;
        for (uint32_t j = 0; j < b->limb_count; j++) {
            carry += (uint64_t)a->limbs[i] * b->limbs[j] + product->limbs[i + j];
            product->limbs[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        product->limbs[i + b->limb_count] = (uint32_t)carry;
    }
    return trim(product);
}

static struct number *divide_short(const struct number *a, uint32_t divisor, uint32_t *rest)
{
    struct number *quotient = number_new(a->limb_count);
    uint64_t carry = 0;
    for (uint32_t i = a->limb_count; i-- > 0;) {
        carry = carry << 32 | a->limbs[i];
        quotient->limbs[i] = (uint32_t)(carry / divisor);
        carry %= divisor;
    }
    *rest = (uint32_t)carry;
    return trim(quotient);
}

static uint32_t bit(const struct number *a, uint32_t i)
{
    return a->limbs[i / 32] >> i % 32 & 1;
}

static struct number *twice_plus(const struct number *a, uint32_t bit)
{
    struct number *result = number_new(a->limb_count + 1);
    uint32_t carry = bit;
    for (uint32_t i = 0; i < a->limb_count; i++) {
        result->limbs[i] = a->limbs[i] << 1 | carry;
        carry = a->limbs[i] >> 31;
    }
    result->limbs[a->limb_count] = carry;
    return trim(result);
}

/* The quotient, and the rest through its pointer; bit by bit, so that it is short. */
static struct number *divide(const struct number *a, const struct number *b, struct number **rest)
{
    if (b->limb_count == 1) {
        uint32_t short_rest;
        struct number *quotient = divide_short(a, b->limbs[0], &short_rest);
        *rest = number_of(short_rest);
        return quotient;
    }
    struct number *quotient = number_new(a->limb_count);
    memset(quotient->limbs, 0, a->limb_count * sizeof quotient->limbs[0]);
    uint32_t i = a->limb_count * 32;
    struct number *left = number_new(0);
    while (i-- > 0) {
        set(&left, twice_plus(left, bit(a, i)));
        if (compare(left, b) < 0)
            continue;
        set(&left, subtract(left, b));
        quotient->limbs[i / 32] |= UINT32_C(1) << i % 32;
    }
    *rest = left;
    return trim(quotient);
}

static struct number *modulo(const struct number *a, const struct number *b)
{
    struct number *rest;
    free(divide(a, b, &rest));
    return rest;
}

static struct number *multiply_modulo(const struct number *a, const struct number *b, const struct number *n)
{
    struct number *product = multiply(a, b);
    set(&product, modulo(product, n));
    return product;
}

/* Newton's method, from above. */
static struct number *square_root(const struct number *a)
{
    struct number *root = number_new(a->limb_count / 2 + 2);
    memset(root->limbs, 0, root->limb_count * sizeof root->limbs[0]);
    root->limbs[root->limb_count - 1] = 1;
    for (;;) {
        struct number *rest, *next = divide(a, root, &rest);
        uint32_t odd;
        free(rest);
        set(&next, add(next, root));
        set(&next, divide_short(next, 2, &odd));
        if (compare(next, root) >= 0) {
            free(next);
            return root;
        }
        set(&root, next);
    }
}

/* ---- primes ---- */

__extension__ typedef unsigned __int128 wide;

static uint64_t power(uint64_t base, uint64_t exponent, uint64_t n)
{
    uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1)
            result = (uint64_t)((wide)result * base % n);
        base = (uint64_t)((wide)base * base % n);
    }
    return result;
}

/* Strong pseudoprime to enough bases to be sure below 2^64. */
static int is_prime(uint64_t n)
{
    static const uint64_t bases[] = { 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37 };
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++)
        if (n % bases[i] == 0)
            return n == bases[i];
    unsigned shift = (unsigned)__builtin_ctzll(n - 1);
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        uint64_t x = power(bases[i], (n - 1) >> shift, n);
        unsigned round = 0;
        while (x != 1 && x != n - 1 && ++round < shift)
            x = (uint64_t)((wide)x * x % n);
        if (x != n - 1 && (x != 1 || round != 0))
            return 0;
    }
    return n > 1;
}

static uint64_t next_prime(uint64_t n)
{
    for (n |= 1; !is_prime(n); n += 2)
        continue;
    return n;
}

/* ---- factoring ---- */

enum { BASE_MAX = 64, RELATIONS_MAX = BASE_MAX + 12 };

/* root² ≡ the product of base[i]^exponents[i] (mod n), where base[0] stands for -1. */
struct relation {
    struct number *root;
    uint8_t exponents[BASE_MAX];
    uint64_t odd;         /* bit i: exponents[i] is odd, in the combination */
    uint64_t combined[2]; /* which relations this one is by now the product of */
};

struct factoring {
    struct number *n, *kn;
    uint32_t base[BASE_MAX];
    uint32_t base_count;
    struct relation relations[RELATIONS_MAX];
    uint32_t relation_count, relation_goal;
};

static void choose_base(struct factoring *f)
{
    f->base[0] = 1;
    f->base_count = 1;
    for (uint32_t p = 2; f->base_count < BASE_MAX; p = p == 2 ? 3 : (uint32_t)next_prime(p + 2)) {
        uint32_t rest;
        free(divide_short(f->kn, p, &rest));
        if (p == 2 || rest == 0 || power(rest, (p - 1) / 2, p) == 1)
            f->base[f->base_count++] = p;
    }
    f->relation_goal = f->base_count + 8;
}

/* Divides by the primes of the base; a relation if nothing else is left. */
static void try_relation(struct factoring *f, const struct number *root, const struct number *q, int is_negative)
{
    struct relation *relation = &f->relations[f->relation_count];
    memset(relation, 0, sizeof *relation);
    relation->exponents[0] = (uint8_t)is_negative;
    struct number *left = number_of(0);
    set(&left, add(left, q));
    for (uint32_t i = 1; i < f->base_count;) {
        uint32_t rest;
        struct number *quotient = divide_short(left, f->base[i], &rest);
        if (rest == 0) {
            set(&left, quotient);
            relation->exponents[i]++;
        } else {
            free(quotient);
            i++;
        }
    }
    if (left->limb_count == 1 && left->limbs[0] == 1) {
        struct number *zero = number_of(0);
        relation->root = add(root, zero);
        free(zero);
        f->relation_count++;
    }
    free(left);
}

/* The expansion of √kn, until there are relations enough or the period has ended. */
static void collect(struct factoring *f)
{
    struct number *g = square_root(f->kn);
    struct number *p = number_of(0), *q = number_of(1), *q_before = multiply(g, g);
    set(&q_before, subtract(f->kn, q_before));
    set(&p, add(p, g));
    /* Now p = P1, q = Q0, q_before = Q1; a = A0. */
    struct number *a_before = number_of(1), *a = modulo(g, f->n);
    struct number *swapped = q;
    q = q_before;
    q_before = swapped;
    for (int is_negative = 1; f->relation_count < f->relation_goal; is_negative = !is_negative) {
        if (q->limb_count == 1 && q->limbs[0] == 1)
            break;
        try_relation(f, a, q, is_negative);

        struct number *rest, *sum = add(g, p);
        struct number *quotient = divide(sum, q, &rest);
        struct number *p_next = subtract(g, rest);
        int grows = compare(p, p_next) >= 0;
        struct number *step = grows ? subtract(p, p_next) : subtract(p_next, p);
        set(&step, multiply(step, quotient));
        struct number *q_next = grows ? add(q_before, step) : subtract(q_before, step);
        struct number *a_next = multiply(quotient, a);
        set(&a_next, add(a_next, a_before));
        set(&a_next, modulo(a_next, f->n));
        free(rest), free(sum), free(quotient), free(step);

        set(&p, p_next);
        set(&q_before, q);
        q = q_next;
        set(&a_before, a);
        a = a_next;
    }
    free(g), free(p), free(q), free(q_before), free(a), free(a_before);
}

/* A divisor of n from the relations that combine to a square; 1 if they give none. */
static uint64_t divisor_of_square(struct factoring *f, const uint64_t combined[2])
{
    struct number *x = number_of(1), *y = number_of(1);
    unsigned exponents[BASE_MAX] = { 0 };
    for (uint32_t r = 0; r < f->relation_count; r++) {
        if (!(combined[r / 64] >> r % 64 & 1))
            continue;
        set(&x, multiply_modulo(x, f->relations[r].root, f->n));
        for (uint32_t i = 0; i < f->base_count; i++)
            exponents[i] += f->relations[r].exponents[i];
    }
    for (uint32_t i = 1; i < f->base_count; i++) {
        struct number *prime = number_of(f->base[i]);
        for (unsigned e = 0; e < exponents[i] / 2; e++)
            set(&y, multiply_modulo(y, prime, f->n));
        free(prime);
    }
    set(&x, add(x, y));
    /* gcd(x + y, n) */
    struct number *zero = number_of(0), *b = add(f->n, zero);
    while (x->limb_count > 0) {
        struct number *rest = modulo(b, x);
        set(&b, x);
        x = rest;
    }
    uint64_t divisor = b->limb_count > 2 || compare(b, f->n) == 0 ? 1 : low(b);
    free(x), free(y), free(zero), free(b);
    return divisor;
}

/* Gaussian elimination over the parities of the exponents. */
static uint64_t combine(struct factoring *f)
{
    for (uint32_t r = 0; r < f->relation_count; r++) {
        struct relation *relation = &f->relations[r];
        relation->combined[r / 64] = UINT64_C(1) << r % 64;
        for (uint32_t i = 0; i < f->base_count; i++)
            relation->odd |= (uint64_t)(relation->exponents[i] & 1) << i;
    }
    for (uint32_t r = 0; r < f->relation_count; r++) {
        struct relation *pivot = &f->relations[r];
        if (pivot->odd == 0) {
            uint64_t divisor = divisor_of_square(f, pivot->combined);
            if (divisor != 1)
                return divisor;
            continue;
        }
        uint64_t lowest = pivot->odd & -pivot->odd;
        for (uint32_t other = r + 1; other < f->relation_count; other++) {
            if (!(f->relations[other].odd & lowest))
                continue;
            f->relations[other].odd ^= pivot->odd;
            f->relations[other].combined[0] ^= pivot->combined[0];
            f->relations[other].combined[1] ^= pivot->combined[1];
        }
    }
    return 1;
}

static uint64_t factor(struct number *n)
{
    uint64_t divisor = 1;
    for (uint64_t k = 1; divisor == 1; k++) {
        struct number *multiplier = number_of(k);
        struct factoring *f = calloc(1, sizeof *f);
        f->n = n;
        f->kn = multiply(n, multiplier);
        choose_base(f);
        collect(f);
        divisor = combine(f);
        for (uint32_t r = 0; r < f->relation_count; r++)
            free(f->relations[r].root);
        free(f->kn), free(f), free(multiplier);
    }
    return divisor;
}

static uint64_t random_prime(struct bench_random *random, uint32_t shift)
{
    uint64_t high = bench_random_next(random) | UINT32_C(1) << 31;
    return next_prime((high << 32 | bench_random_next(random)) >> shift);
}

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    struct bench_random random = { 1975 };
    uint64_t checksum = 0;
    uint32_t shift = 64 - (uint32_t)parameters[BITS].value;
    for (unsigned long i = 0; i < parameters[NUMBERS].value; i++) {
        uint64_t p = random_prime(&random, shift), q = random_prime(&random, shift);
        struct number *a = number_of(p), *b = number_of(q), *n = multiply(a, b);
        uint64_t divisor = factor(n);
        if (divisor != p && divisor != q)
            bench_fail("not a factor");
        checksum = checksum * 31 + (p < q ? p : q);
        free(a), free(b), free(n);
    }
    return bench_end(checksum);
}
