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

/* The value of (a, b), or a new entry with `fresh`; *is_new says which. */
uint32_t bmm__map_put(struct bmm__map *map, uint64_t a, uint64_t b, uint32_t fresh, bool *is_new);
void bmm__map_free(struct bmm__map *map);

/* A 64-bit hash of bytes (FNV-1a with a final mix); never changes, fingerprints depend on it. */
uint64_t bmm__hash(uint64_t seed, const void *bytes, uint64_t count);
uint64_t bmm__hash_text(uint64_t seed, const char *text); /* the same of its bytes but the zero at its end */
#define BMM__HASH_SEED 0xcbf29ce484222325u

#endif
