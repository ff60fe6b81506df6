#include "report/debug_info.h"

#include "report/arena.h"
#include "report/debug_unit.h"

#include <dwarf.h>
#include <elfutils/libdwelf.h>
#include <stdlib.h>

struct unit_range {
    uint64_t start, end;
    uint32_t unit;
};

struct bmm__debug_info {
    struct bmm__debug_unit *units;
    uint32_t unit_count, unit_capacity;
    struct unit_range *ranges; /* by start */
    uint32_t range_count, range_capacity;
    struct bmm__arena arena; /* of what is known of the units' functions */
    bool is_whole;
};

static int by_start(const void *left, const void *right)
{
    const struct unit_range *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

static void add_unit(struct bmm__debug_info *info, Dwarf_Die die, Dwarf_Die tree)
{
    uint32_t index = info->unit_count++;
    info->units = bmm__grow(info->units, &info->unit_capacity, info->unit_count, sizeof *info->units);
    info->units[index] = (struct bmm__debug_unit){ .die = die, .tree = tree, .blocks.arena = &info->arena };
    Dwarf_Addr base, start, end;
    ptrdiff_t at = 0;
    while ((at = dwarf_ranges(&die, at, &base, &start, &end)) > 0) {
        if (!bmm__debug_range_is_real(start, end))
            continue;
        info->ranges =
            bmm__grow(info->ranges, &info->range_capacity, (size_t)info->range_count + 1, sizeof *info->ranges);
        info->ranges[info->range_count++] = (struct unit_range){ start, end, index };
    }
}

/* What several files have in common may stand in one more (dwz). */
static bool needs_other_file(Dwarf *dwarf)
{
    const char *name;
    const void *build_id;
    return dwelf_dwarf_gnu_debugaltlink(dwarf, &name, &build_id) > 0;
}

struct bmm__debug_info *bmm__debug_info_make(Dwarf *dwarf)
{
    struct bmm__debug_info *info = bmm__must_zero(1, sizeof *info);
    info->is_whole = dwarf == NULL || !needs_other_file(dwarf) || dwarf_getalt(dwarf) != NULL;
    Dwarf_CU *unit = NULL;
    uint8_t type;
    Dwarf_Die die, split;
    while (dwarf != NULL && dwarf_get_units(dwarf, unit, &unit, NULL, &type, &die, &split) == 0) {
        /* A skeleton unit has ranges and lines; its functions are in the .dwo file, where that was found. */
        bool is_split = type == DW_UT_skeleton && split.addr != NULL;
        info->is_whole = info->is_whole && (type != DW_UT_skeleton || is_split);
        if (type == DW_UT_compile || type == DW_UT_skeleton)
            add_unit(info, die, is_split ? split : die);
    }
    if (info->range_count > 0)
        qsort(info->ranges, info->range_count, sizeof *info->ranges, by_start);
    return info;
}

bool bmm__debug_info_is_whole(const struct bmm__debug_info *info)
{
    return info->is_whole;
}

void bmm__debug_info_free(struct bmm__debug_info *info)
{
    if (info == NULL)
        return;
    for (uint32_t i = 0; i < info->unit_count; i++)
        bmm__debug_unit_free(&info->units[i]);
    bmm__arena_free(&info->arena);
    free(info->units);
    free(info->ranges);
    free(info);
}

uint32_t bmm__debug_info_frames(struct bmm__debug_info *info, uint64_t address, struct bmm__source_frame *frames,
                                uint32_t capacity)
{
    uint32_t low = 0, high = info->range_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (info->ranges[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    /* Units should not overlap; a few that do must not hide the right one. */
    for (uint32_t i = low; i > 0 && low - i < 16; i--)
        if (address < info->ranges[i - 1].end) {
            uint32_t count = bmm__debug_unit_frames(&info->units[info->ranges[i - 1].unit], address, frames, capacity);
            if (count > 0)
                return count;
        }
    return 0;
}
