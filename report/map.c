#include "report/map.h"

#include "report/arena.h"

#include <stdlib.h>

static inline uint64_t hash_byte(uint64_t hash, unsigned char byte)
{
    return (hash ^ byte) * 0x100000001b3u;
}

uint64_t bmm__hash(uint64_t seed, const void *bytes, uint64_t count)
{
    const unsigned char *byte = bytes;
    uint64_t hash = seed;
    for (uint64_t i = 0; i < count; i++)
        hash = hash_byte(hash, byte[i]);
    return hash;
}

uint64_t bmm__hash_text(uint64_t seed, const char *text)
{
    uint64_t hash = seed;
    for (; *text != 0; text++)
        hash = hash_byte(hash, (unsigned char)*text);
    return hash;
}

static struct bmm__map_entry *find(const struct bmm__map *map, uint64_t a, uint64_t b)
{
    uint32_t i = bmm__map_home(map, a, b);
    while (map->entries[i].is_used && (map->entries[i].a != a || map->entries[i].b != b))
        i = (i + 1) & (map->capacity - 1);
    return &map->entries[i];
}

static void rebuild(struct bmm__map *map)
{
    struct bmm__map old = *map;
    map->capacity = old.capacity > 0 ? old.capacity * 2 : 64;
    map->entries = bmm__must_zero(map->capacity, sizeof *map->entries);
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.entries[i].is_used)
            *find(map, old.entries[i].a, old.entries[i].b) = old.entries[i];
    free(old.entries);
}

uint32_t bmm__map_put_slowly(struct bmm__map *map, uint64_t a, uint64_t b, uint32_t fresh, bool *is_new)
{
    if (map->count >= map->capacity / 2)
        rebuild(map);
    struct bmm__map_entry *entry = find(map, a, b);
    *is_new = !entry->is_used;
    if (*is_new) {
        *entry = (struct bmm__map_entry){ a, b, fresh, 1 };
        map->count++;
    }
    return entry->value;
}

void bmm__map_free(struct bmm__map *map)
{
    free(map->entries);
    *map = (struct bmm__map){ 0 };
}
