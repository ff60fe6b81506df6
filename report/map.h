/* A hash map from a pair of words to a number: the one look-up structure of the report.
 *
 * Open addressing, linear probing, at most half full. Nothing is ever removed.
 */
#ifndef BMM_REPORT_MAP_H
#define BMM_REPORT_MAP_H

#include <stdbool.h>
#include <stdint.h>

struct bmm__map_entry {
    uint64_t a, b;
    uint32_t value;
    uint32_t is_used;
};

/* All zero is an empty map. */
struct bmm__map {
    struct bmm__map_entry *entries;
    uint32_t capacity; /* power of two, or 0 */
    uint32_t count;
};

/* bmm__map_put where (a, b) was not found. */
uint32_t bmm__map_put_slowly(struct bmm__map *map, uint64_t a, uint64_t b, uint32_t fresh, bool *is_new);

/* Where the search for (a, b) begins; capacity not 0. */
static inline uint32_t bmm__map_home(const struct bmm__map *map, uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9e3779b97f4a7c15u ^ (b + 0x7f4a7c159e3779b9u) * 0xc2b2ae3d27d4eb4fu;
    x ^= x >> 32;
    x *= 0x9e3779b97f4a7c15u;
    return (uint32_t)(x >> 32) & (map->capacity - 1);
}

/* The value of (a, b), or a new entry with `fresh`; *is_new says which. */
static inline uint32_t bmm__map_put(struct bmm__map *map, uint64_t a, uint64_t b, uint32_t fresh, bool *is_new)
{
    if (map->capacity != 0)
        for (uint32_t i = bmm__map_home(map, a, b); map->entries[i].is_used; i = (i + 1) & (map->capacity - 1))
            if (map->entries[i].a == a && map->entries[i].b == b) {
                *is_new = false;
                return map->entries[i].value;
            }
    return bmm__map_put_slowly(map, a, b, fresh, is_new);
}

void bmm__map_free(struct bmm__map *map);

/* A 64-bit hash of bytes (FNV-1a with a final mix); never changes, fingerprints depend on it. */
uint64_t bmm__hash(uint64_t seed, const void *bytes, uint64_t count);
uint64_t bmm__hash_text(uint64_t seed, const char *text); /* the same of its bytes but the zero at its end */
/* One step of a hash of words; never changes either. */
static inline uint64_t bmm__hash_word(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}
#define BMM__HASH_SEED 0xcbf29ce484222325u

#endif
