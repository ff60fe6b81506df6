#include "core/jit_region.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/lock.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/tally.h"

#include <errno.h>
#include <string.h>

#define UNIT ((size_t)1 << BMM__JIT_UNIT_SHIFT)
#define UNITS_MAX (BMM__JIT_REGION_BYTES_MAX >> BMM__JIT_UNIT_SHIFT)
#define PIECE_WORDS_MAX ((BMM__JIT_SHARED_MAX >> BMM__JIT_UNIT_SHIFT) / 64 + 1) /* that a shared piece may lie across */
#define TABLE_BYTES(unit_count) ((unit_count) / 8 * 3 + (unit_count) / 2)
#define LOOKS_MAX 64u

_Static_assert(TABLE_BYTES(UNITS_MAX) <= BMM__GRANULE, "a table is a granule");
_Static_assert(BMM__GRANULE / 64 % UNIT == 0, "the units of a region are whole words of bits");

BMM__LOCK(pool_lock, BMM__RANK_JIT_POOL);
static struct bmm__jit_region *unused, *all; /* under it */

/* Of a run map whose free units need not be purged: nobody ever sets a bit. */
static uint64_t no_marks[UNITS_MAX / 64] BMM__TABLE;

/* ---- tables: used, first, last, filled, as densely as the region's units allow ---- */

static uint64_t *first_bits(const struct bmm__jit_region *region, uint32_t unit_count)
{
    return region->table + unit_count / 64;
}

static uint64_t *last_bits(const struct bmm__jit_region *region, uint32_t unit_count)
{
    return region->table + 2 * (unit_count / 64);
}

/* Half a byte for each unit. */
static uint8_t *filled_byte(const struct bmm__jit_region *region, uint32_t unit_count, uint32_t unit)
{
    return (uint8_t *)(region->table + 3 * (unit_count / 64)) + unit / 2;
}

static void set_filled(struct bmm__jit_region *region, uint32_t unit, unsigned value)
{
    uint8_t *byte = filled_byte(region, region->unit_count, unit);
    unsigned shift = unit % 2 * 4, other = bmm__load_relaxed(byte) & 0xf0u >> shift;
    bmm__store_release(byte, (uint8_t)(value << shift | other));
}

static unsigned filled(const struct bmm__jit_region *region, uint32_t unit_count, uint32_t unit)
{
    return bmm__load_acquire(filled_byte(region, unit_count, unit)) >> unit % 2 * 4 & 0xfu;
}

static void mark(uint64_t *bits, uint32_t unit)
{
    uint64_t bit = 1ull << unit % 64, before = bmm__or_acq_rel(&bits[unit / 64], bit);
    BMM_ASSERT((before & bit) == 0);
    (void)before;
}

static void unmark(uint64_t *bits, uint32_t unit)
{
    uint64_t bit = 1ull << unit % 64, before = bmm__and_acq_rel(&bits[unit / 64], ~bit);
    BMM_ASSERT((before & bit) != 0);
    (void)before;
}

/* The nearest marked unit at or before, and at or after, no farther than a piece is long. BMM__RUN_NONE: there is none. */
static uint32_t marked_before(const uint64_t *bits, uint32_t unit)
{
    uint32_t word = unit / 64, end = word < PIECE_WORDS_MAX ? 0 : word - PIECE_WORDS_MAX;
    uint64_t found = bmm__load_acquire(&bits[word]) & ~0ull >> (63 - unit % 64);
    while (found == 0 && word > end)
        found = bmm__load_acquire(&bits[--word]);
    return found == 0 ? BMM__RUN_NONE : word * 64 + 63 - (uint32_t)__builtin_clzll(found);
}

static uint32_t marked_after(const uint64_t *bits, uint32_t unit, uint32_t unit_count)
{
    uint32_t word = unit / 64, end = word + PIECE_WORDS_MAX;
    uint64_t found = bmm__load_acquire(&bits[word]) & ~0ull << unit % 64;
    end = end < unit_count / 64 - 1 ? end : unit_count / 64 - 1;
    while (found == 0 && word < end)
        found = bmm__load_acquire(&bits[++word]);
    return found == 0 ? BMM__RUN_NONE : word * 64 + (uint32_t)__builtin_ctzll(found);
}

/* ---- finding ---- */

/* Where the piece around offset lies. */
static bool look_at_units(const struct bmm__jit_region *region, uint32_t unit_count, uintptr_t offset,
                          struct bmm__jit_piece *piece)
{
    if (offset >> BMM__JIT_UNIT_SHIFT >= unit_count)
        return false;
    uint32_t unit = (uint32_t)(offset >> BMM__JIT_UNIT_SHIFT);
    uint32_t first = marked_before(first_bits(region, unit_count), unit);
    if (first == BMM__RUN_NONE)
        return false;
    uint32_t last = marked_after(last_bits(region, unit_count), first, unit_count);
    if (last == BMM__RUN_NONE || last < unit)
        return false;
    piece->offset = first * UNIT;
    piece->bytes = (last - first) * UNIT + filled(region, unit_count, first) + 1;
    return offset - piece->offset < piece->bytes;
}

static bool look(uintptr_t address, struct bmm__jit_piece *piece)
{
    struct bmm__jit_region *region = piece->region;
    uintptr_t views[2] = { bmm__load_acquire(&region->views[0]), bmm__load_acquire(&region->views[1]) };
    uint32_t unit_count = bmm__load_acquire(&region->unit_count);
    uintptr_t offset = address - views[piece->view];
    piece->heap = bmm__load_acquire(&region->heap);
    piece->is_frozen = bmm__load_acquire(&region->is_frozen);
    piece->offset = 0;
    piece->bytes = bmm__load_acquire(&region->own_bytes);
    bool is_found = unit_count == 0 ? offset < piece->bytes : look_at_units(region, unit_count, offset, piece);
    piece->starts[0] = views[0] + piece->offset;
    piece->starts[1] = views[1] + piece->offset;
    return is_found && piece->heap != NULL;
}

bool bmm__jit_region_find(uintptr_t address, struct bmm__jit_piece *piece)
{
    const struct bmm__span *span = bmm__page_map_find(address);
    if (span == NULL || bmm__load_acquire(&span->kind) != BMM__SPAN_JIT)
        return false;
    const struct bmm__jit_region *region = piece->region = span->region; /* J1 */
    piece->view = span == region->spans[BMM__JIT_WRITABLE] ? BMM__JIT_WRITABLE : BMM__JIT_EXECUTABLE;
    bool is_found = false;
    for (unsigned i = 0; i < LOOKS_MAX; i++) {
        uint32_t version = bmm__load_acquire(&region->version);
        is_found = look(address, piece);
        if (version % 2 == 0 &&
            bmm__load_relaxed(&region->version) == version) /* its loads acquire: this comes after */
            break;
        bmm__pause();
    }
    return is_found;
}

/* ---- changing ---- */

/* acq_rel, as all that is stored between them is stored with release: a finder that reads some of it reads the version, too. */
static void change_begin(struct bmm__jit_region *region)
{
    BMM_ASSERT(region->version % 2 == 0);
    bmm__add_acq_rel(&region->version, 1u);
}

static void change_end(struct bmm__jit_region *region)
{
    bmm__add_acq_rel(&region->version, 1u);
}

bool bmm__jit_region_take(struct bmm__jit_region *region, size_t bytes, size_t *offset)
{
    BMM_ASSERT(bytes != 0 && bytes <= BMM__JIT_SHARED_MAX && region->unit_count != 0);
    uint32_t count = (uint32_t)((bytes + UNIT - 1) >> BMM__JIT_UNIT_SHIFT), dirty_count;
    if (region->is_frozen || count > region->room)
        return false;
    uint32_t first = bmm__run_map_take(&region->map, count, 1, &dirty_count);
    if (first == BMM__RUN_NONE) {
        region->room = count - 1;
        return false;
    }
    change_begin(region);
    set_filled(region, first, (unsigned)(bytes - 1) % UNIT);
    mark(last_bits(region, region->unit_count), first + count - 1); /* before first: J2 */
    mark(first_bits(region, region->unit_count), first);
    change_end(region);
    region->piece_count++;
    *offset = first * UNIT;
    return true;
}

void bmm__jit_region_give(const struct bmm__jit_piece *piece)
{
    struct bmm__jit_region *region = piece->region;
    uint32_t first = (uint32_t)(piece->offset >> BMM__JIT_UNIT_SHIFT);
    uint32_t count = (uint32_t)((piece->bytes + UNIT - 1) >> BMM__JIT_UNIT_SHIFT);
    BMM_ASSERT(region->piece_count != 0 && region->unit_count != 0);
    change_begin(region);
    unmark(first_bits(region, region->unit_count), first); /* before last: J2 */
    unmark(last_bits(region, region->unit_count), first + count - 1);
    change_end(region);
    bmm__run_map_give(&region->map, first, count, false);
    region->piece_count--;
    region->room = region->unit_count;
}

/* ---- views ---- */

static bool has_two(const uintptr_t views[2])
{
    return views[0] != views[1];
}

static void release(const uintptr_t views[2], size_t bytes)
{
    int saved_errno = errno;
    bmm__os_release((void *)views[0], bytes); /* NOLINT */
    if (has_two(views))
        bmm__os_release((void *)views[1], bytes); /* NOLINT */
    errno = saved_errno;
}

/* By a change of rights, and not by a mapping over the reservation: one that fails late would have torn it. */
static bool map_one(size_t bytes, uintptr_t views[2])
{
    void *start = bmm__os_reserve(bytes, BMM__GRANULE);
    views[0] = views[1] = (uintptr_t)start;
    if (start == NULL)
        errno = ENOMEM;
    else if (bmm__os_protect(start, bytes, BMM__OS_READ | BMM__OS_WRITE | BMM__OS_EXECUTE))
        return true;
    else
        release(views, bytes);
    return false;
}

static bool map_two(size_t bytes, uintptr_t views[2])
{
    void *writable = bmm__os_reserve(bytes, BMM__GRANULE), *executable = bmm__os_reserve(bytes, BMM__GRANULE);
    if (writable == NULL || executable == NULL) {
        if (writable != NULL)
            bmm__os_release(writable, bytes);
        if (executable != NULL)
            bmm__os_release(executable, bytes);
        errno = ENOMEM;
        return false;
    }
    views[0] = (uintptr_t)writable;
    views[1] = (uintptr_t)executable;
    int file = bmm__os_code_file(bytes);
    bool is_done = file != -1 && bmm__os_code_views(file, bytes, writable, executable);
    if (file != -1)
        bmm__os_file_close(file);
    if (!is_done)
        release(views, bytes);
    return is_done;
}

static bool enter(struct bmm__jit_region *region, const uintptr_t views[2], size_t bytes)
{
    if (!bmm__page_map_prepare(views[0], bytes) || !bmm__page_map_prepare(views[1], bytes)) {
        errno = ENOMEM;
        return false;
    }
    bmm__page_map_enter(views[0], bytes, region->spans[0]); /* prepared */
    if (has_two(views))
        bmm__page_map_enter(views[1], bytes, region->spans[1]);
    return true;
}

/* ---- beginning and end ---- */

static bool give_span(struct bmm__jit_region *region, unsigned view)
{
    if (region->spans[view] != NULL)
        return true;
    struct bmm__span *span = bmm__span_make();
    if (span == NULL)
        return false;
    span->region = region;
    region->spans[view] = span;
    bmm__store_release(&span->kind, (uint8_t)BMM__SPAN_JIT); /* release, so that a finder sees the region */
    return true;
}

/* A descriptor that has what the region needs; what it does not need it may have as well (J1). Under the pool's lock. */
static struct bmm__jit_region *make(bool is_shared, bool has_two_views)
{
    struct bmm__jit_region *region = unused;
    if (region == NULL) {
        region = bmm__core_meta_alloc(sizeof *region);
        if (region == NULL)
            return NULL;
        region->copy = -1;
        region->all_next = all;
        region->next = unused;
        all = unused = region;
    }
    if (!give_span(region, 0) || (has_two_views && !give_span(region, 1)))
        return NULL;
    if (is_shared && region->table == NULL && (region->table = bmm__meta_map(BMM__GRANULE)) == NULL)
        return NULL;
    unused = region->next;
    return region;
}

static void retire(struct bmm__jit_region *region)
{
    region->prev = NULL;
    region->next = unused;
    unused = region;
}

/* All that finders read, at once. heap NULL: nothing is there. */
static void describe(struct bmm__jit_region *region, struct bmm_jit_heap *heap, const uintptr_t views[2],
                     size_t own_bytes, size_t shared_bytes)
{
    change_begin(region);
    bmm__store_release(&region->heap, heap);
    bmm__store_release(&region->views[0], views[0]);
    bmm__store_release(&region->views[1], views[1]);
    bmm__store_release(&region->has_two_views, has_two(views));
    bmm__store_release(&region->is_frozen, false);
    bmm__store_release(&region->own_bytes, own_bytes);
    bmm__store_release(&region->unit_count, (uint32_t)(shared_bytes >> BMM__JIT_UNIT_SHIFT));
    change_end(region);
}

static struct bmm__jit_region *open_locked(struct bmm_jit_heap *heap, size_t bytes, size_t own_bytes,
                                           bool has_two_views)
{
    uintptr_t views[2];
    struct bmm__jit_region *region =
        bmm__page_map_has_room((uint64_t)bytes * (has_two_views ? 2 : 1)) ? make(own_bytes == 0, has_two_views) : NULL;
    if (region == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    if (!(has_two_views ? map_two : map_one)(bytes, views)) {
        retire(region);
        return NULL;
    }
    if (!enter(region, views, bytes)) {
        release(views, bytes);
        retire(region);
        return NULL;
    }
    size_t shared_bytes = own_bytes == 0 ? bytes : 0;
    region->bytes = bytes;
    region->piece_count = own_bytes == 0 ? 0 : 1;
    region->room = (uint32_t)(shared_bytes >> BMM__JIT_UNIT_SHIFT);
    region->map = (struct bmm__run_map){ .start = views[0],
                                         .unit_shift = BMM__JIT_UNIT_SHIFT,
                                         .unit_count = region->room,
                                         .used = region->table,
                                         .dirty = no_marks,
                                         .aged = no_marks };
    describe(region, heap, views, own_bytes, shared_bytes);
    bmm__tally_add(BMM__TALLY_KIND(BMM_MEMORY_JIT), bytes);
    return region;
}

struct bmm__jit_region *bmm__jit_region_open(struct bmm_jit_heap *heap, size_t bytes, size_t own_bytes,
                                             bool has_two_views)
{
    BMM_ASSERT(bytes % BMM__GRANULE == 0 && bytes != 0);
    BMM_ASSERT(own_bytes != 0 ? own_bytes <= bytes : bytes <= BMM__JIT_REGION_BYTES_MAX);
    bmm__lock_take(&pool_lock);
    struct bmm__jit_region *region = open_locked(heap, bytes, own_bytes, has_two_views);
    bmm__lock_release(&pool_lock);
    return region;
}

bool bmm__jit_region_may_have_one_view(void)
{
    uintptr_t views[2];
    int saved_errno = errno;
    bool is_mapped = map_one(BMM__GRANULE, views), is_refused = !is_mapped && errno != ENOMEM;
    if (is_mapped)
        release(views, BMM__GRANULE);
    errno = saved_errno;
    return !is_refused;
}

void bmm__jit_region_close(struct bmm__jit_region *region)
{
    bmm__lock_take(&pool_lock);
    uintptr_t views[2] = { region->views[0], region->views[1] }, none[2] = { 0, 0 };
    size_t table_bytes = TABLE_BYTES((size_t)region->unit_count);
    bmm__page_map_enter(views[0], region->bytes, NULL);
    if (has_two(views))
        bmm__page_map_enter(views[1], region->bytes, NULL);
    describe(region, NULL, none, 0, 0);
    bmm__tally_sub(BMM__TALLY_KIND(BMM_MEMORY_JIT), region->bytes);
    release(views, region->bytes);
    if (table_bytes != 0 && !bmm__os_purge_own(region->table, BMM__GRANULE))
        memset(region->table, 0, table_bytes);
    retire(region);
    bmm__lock_release(&pool_lock);
}

/* ---- counting ---- */

struct bmm__jit_count bmm__jit_region_count(const struct bmm__span *span)
{
    const struct bmm__jit_region *region = span->region; /* J1 */
    struct bmm__jit_count count = { 0, 0, 0 };
    uint32_t unit_count = bmm__load_acquire(&region->unit_count);
    size_t own_bytes = bmm__load_acquire(&region->own_bytes);
    if (span != region->spans[BMM__JIT_WRITABLE] || bmm__load_acquire(&region->heap) == NULL)
        return count;
    count.bytes = own_bytes != 0 ? (own_bytes + BMM__GRANULE - 1) & ~(BMM__GRANULE - 1) : unit_count * UNIT;
    count.piece_count = own_bytes != 0;
    count.live_bytes = own_bytes != 0 ? count.bytes : 0;
    for (uint32_t word = 0; word < unit_count / 64; word++) {
        count.piece_count += (size_t)__builtin_popcountll(bmm__load_relaxed(&first_bits(region, unit_count)[word]));
        count.live_bytes += (size_t)__builtin_popcountll(bmm__load_relaxed(&region->table[word])) * UNIT;
    }
    return count;
}

/* ---- fork ---- */

/* Memory with two views is shared with a child, which would change its parent's code when it writes its own, or when it gives
 * out anew what it freed. So the child gets a copy, made here, where no heap's lock is held by another and the parent has not
 * gone on; and not by the child, who would copy what its parent has meanwhile made of it. */
static bool copy_used(const struct bmm__jit_region *region, int file)
{
    if (region->unit_count == 0)
        return bmm__os_code_file_write(file, 0, (const void *)region->views[0], region->own_bytes); /* NOLINT */
    for (uint32_t word = 0; word < region->unit_count / 64; word++) {
        size_t offset = (size_t)word * 64 * UNIT;
        if (bmm__load_relaxed(&region->table[word]) != 0 &&
            !bmm__os_code_file_write(file, offset, (const void *)(region->views[0] + offset), 64 * UNIT)) /* NOLINT */
            return false;
    }
    return true;
}

static int copy_of(const struct bmm__jit_region *region)
{
    int saved_errno = errno, file = bmm__os_code_file(region->bytes);
    if (file != -1 && !copy_used(region, file)) {
        bmm__os_file_close(file);
        file = -1;
    }
    errno = saved_errno;
    return file;
}

void bmm__jit_region_fork_prepare(void)
{
    for (struct bmm__jit_region *region = all; region != NULL; region = region->all_next)
        if (region->heap != NULL && region->has_two_views && !region->is_frozen)
            region->copy = copy_of(region);
}

static void close_copy(struct bmm__jit_region *region)
{
    if (region->copy != -1)
        bmm__os_file_close(region->copy);
    region->copy = -1;
}

void bmm__jit_region_fork_parent(void)
{
    for (struct bmm__jit_region *region = all; region != NULL; region = region->all_next)
        close_copy(region);
}

/* Where there was no copy: what is there can be executed, as long as the parent leaves it there. */
static void freeze(struct bmm__jit_region *region)
{
    bmm__os_protect((void *)region->views[BMM__JIT_WRITABLE], region->bytes, BMM__OS_READ); /* NOLINT */
    bmm__store_release(&region->is_frozen, true);
}

static void become_own(struct bmm__jit_region *region)
{
    void *writable = (void *)region->views[BMM__JIT_WRITABLE];     /* NOLINT */
    void *executable = (void *)region->views[BMM__JIT_EXECUTABLE]; /* NOLINT */
    if (region->copy == -1 || !bmm__os_code_views(region->copy, region->bytes, writable, executable))
        freeze(region);
}

void bmm__jit_region_fork_child(void)
{
    int saved_errno = errno;
    for (struct bmm__jit_region *region = all; region != NULL; region = region->all_next) {
        region->version += region->version % 2; /* a thread that is not here was at it */
        if (region->heap != NULL && region->has_two_views && !region->is_frozen)
            become_own(region);
        close_copy(region);
    }
    errno = saved_errno;
}
