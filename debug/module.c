/* See module.h. What is written to the log is struct bmm_snapshot_module; the code that finds is in
 * module_loader.c. */
#include "module.h"

#include "core/assert.h"
#include "core/atomic.h"
#include "core/lock.h"
#include "core/os.h"
#include "module_loader.h"
#include "recorder.h"

#include <link.h>
#include <string.h>

#define KNOWN_MAX 4096
#define LOG_CHUNK_BYTES 65536
#define PATH_BYTES 4096
#define BUILD_ID_BYTES 20
#define HASH_SEED 0xcbf29ce484222325u

struct known {
    struct bmm__module module;
    uint32_t seen_at_load; /* load count at which the loader last named exactly this module; under the lock */
    uint32_t build_id_bytes;
    uint8_t build_id[BUILD_ID_BYTES];
    uint64_t name_hash;
};

static struct known known[KNOWN_MAX];
static uintptr_t known_start[KNOWN_MAX]; /* again, densely: this is what is searched */
static uint32_t known_count;             /* release after the entry (M1), acquire by who searches */
uint32_t bmm__module_loads = 1;
BMM__LOCK(log_lock, BMM__RANK_MODULES);

static uint8_t *log_at; /* the rest is under log_lock */
static size_t log_left;
static uint64_t log_used;
static struct bmm_snapshot_chunk *log_entry;

/* ---- what the file itself says, read where it is loaded ---- */

static void read_build_id(struct known *one, const uint8_t *at, const uint8_t *end)
{
    while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, at, sizeof note);
        at += sizeof note;
        size_t name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
        size_t description = ((size_t)note.n_descsz + 3) & ~(size_t)3;
        if (name > (size_t)(end - at) || note.n_descsz > (size_t)(end - at) - name)
            return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(at, "GNU", 4) == 0) {
            one->build_id_bytes = note.n_descsz < BUILD_ID_BYTES ? note.n_descsz : BUILD_ID_BYTES;
            memcpy(one->build_id, at + name, one->build_id_bytes);
            return;
        }
        if (description > (size_t)(end - at) - name) /* the last may end without padding */
            return;
        at += name + description;
    }
}

/* FNV-1a: some hundred bytes, once per module. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ byte[i]) * 0x100000001b3u;
    return hash;
}

/* What tells builds apart that have no build-id. */
static void read_checksum(struct known *one, const struct bmm__loaded *loaded)
{
    const ElfW(Phdr) *segments = loaded->headers;
    for (unsigned i = 0; i < loaded->header_count; i++) {
        uintptr_t start = loaded->bias + segments[i].p_vaddr;
        ElfW(Ehdr) header;
        if (segments[i].p_type != PT_LOAD || segments[i].p_offset != 0 || (segments[i].p_flags & PF_R) == 0 ||
            segments[i].p_filesz < sizeof header || start < loaded->start || start + sizeof header > loaded->end)
            continue;
        memcpy(&header, (const void *)start, sizeof header);
        if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
            return;
        header.e_shoff = header.e_shnum = header.e_shstrndx = 0; /* of sections that strip removes */
        uint64_t hash = hash_bytes(HASH_SEED, &header, sizeof header);
        hash = hash_bytes(hash, segments, loaded->header_count * sizeof *segments);
        memcpy(one->build_id, &hash, sizeof hash);
        return;
    }
}

static void read_identity(struct known *one, const struct bmm__loaded *loaded)
{
    memset(one, 0, sizeof *one);
    one->module.start = loaded->start;
    one->module.end = loaded->end;
    one->module.bias = loaded->bias;
    const char *file = strrchr(loaded->name, '/');
    one->module.is_own_name = strncmp(file ? file + 1 : loaded->name, "libbrainmm", 10) == 0;
    one->name_hash = hash_bytes(HASH_SEED, loaded->name, strlen(loaded->name));
    const ElfW(Phdr) *segments = loaded->headers;
    uintptr_t unwind = (uintptr_t)loaded->unwind_header;
    for (unsigned i = 0; i < loaded->header_count; i++) {
        uintptr_t start = loaded->bias + segments[i].p_vaddr;
        uintptr_t end = start + segments[i].p_filesz;
        if (start < loaded->start || end > loaded->end || end < start)
            continue;
        if (segments[i].p_type == PT_NOTE && one->build_id_bytes == 0)
            read_build_id(one, (const uint8_t *)start, (const uint8_t *)end);
        if (segments[i].p_type == PT_LOAD && unwind >= start && unwind < end) {
            one->module.unwind_header = loaded->unwind_header;
            one->module.unwind_low = start;
            one->module.unwind_high = end;
        }
    }
    if (one->build_id_bytes == 0)
        read_checksum(one, loaded);
}

static bool is_same(const struct known *a, const struct known *b)
{
    return a->module.start == b->module.start && a->module.end == b->module.end && a->module.bias == b->module.bias &&
           a->module.unwind_header == b->module.unwind_header && a->name_hash == b->name_hash &&
           a->build_id_bytes == b->build_id_bytes && memcmp(a->build_id, b->build_id, sizeof a->build_id) == 0;
}

/* ---- the log ---- */

/* The path as the report needs it. Returns its length. */
static size_t full_path(char *path, const char *name)
{
    long length = 0;
    if (name[0] == 0) {
        length = bmm__os_link_read("/proc/self/exe", path, PATH_BYTES);
        return length < 0 ? 0 : strlen(path);
    }
    if (strncmp(name, "linux-vdso", 10) == 0 || strncmp(name, "linux-gate", 10) == 0)
        name = "[vdso]";
    else if (name[0] != '/') { /* relative to the directory at the time of loading, which we hope is still the same */
        length = bmm__os_link_read("/proc/self/cwd", path, PATH_BYTES - 1);
        length = length < 0 ? 0 : (long)strlen(path);
        path[length++] = '/';
    }
    size_t rest = strlen(name);
    if (rest > PATH_BYTES - 1 - (size_t)length)
        rest = PATH_BYTES - 1 - (size_t)length;
    memcpy(path + length, name, rest);
    path[(size_t)length + rest] = 0;
    return (size_t)length + rest;
}

static void append_to_log(const struct known *one, const char *name)
{
    /* Not on the stack, which may be small; under the lock there is one user. */
    static char path[PATH_BYTES];
    size_t length = full_path(path, name);
    size_t bytes = (sizeof(struct bmm_snapshot_module) + length + 1 + 7) & ~(size_t)7;
    if (bytes > log_left) {
        log_at = bmm__recorder_chunk(BMM_CHUNK_MODULES, LOG_CHUNK_BYTES, 0, &log_entry);
        log_left = log_at ? LOG_CHUNK_BYTES : 0;
        log_used = 0;
        if (!log_at)
            return; /* the report will show addresses */
    }
    struct bmm_snapshot_module *record = (struct bmm_snapshot_module *)(void *)log_at;
    record->bytes = (uint32_t)bytes;
    record->epoch = one->module.epoch;
    record->start = one->module.start;
    record->end = one->module.end;
    record->bias = one->module.bias;
    record->build_id_bytes = one->build_id_bytes;
    memcpy(record->build_id, one->build_id, sizeof record->build_id);
    memcpy(record->path, path, length + 1);
    log_at += bytes;
    log_left -= bytes;
    log_used += bytes;
    if (log_entry)
        bmm__store_release(&log_entry->used, log_used); /* after the record, for the reader of the file */
}

/* ---- known modules ---- */

/* The entry that the loader meant when it said start and end, at this load count. */
static struct known *find_known(uintptr_t start, uintptr_t end, uint32_t at_load)
{
    for (uint32_t i = bmm__load_acquire(&known_count); i-- > 0;)
        if (known_start[i] == start && known[i].module.end == end &&
            bmm__load_acquire(&known[i].seen_at_load) == at_load)
            return &known[i];
    return NULL;
}

static struct known *recognise(const struct bmm__loaded *loaded, uint32_t at_load)
{
    struct known *one = find_known(loaded->start, loaded->end, at_load); /* someone else was faster */
    if (one)
        return one;
    struct known *fresh = &known[known_count];
    if (known_count == KNOWN_MAX - 1) /* the last one is scratch for ever: frames without a log entry */
        fresh = &known[KNOWN_MAX - 1];
    read_identity(fresh, loaded);
    for (uint32_t i = 0; i < known_count; i++) {
        if (is_same(&known[i], fresh)) {
            bmm__store_release(&known[i].seen_at_load, at_load);
            return &known[i];
        }
        if (known[i].module.start < fresh->module.end && fresh->module.start < known[i].module.end &&
            known[i].module.epoch >= fresh->module.epoch)
            fresh->module.epoch = known[i].module.epoch + 1; /* M2 */
    }
    if (fresh == &known[KNOWN_MAX - 1])
        return fresh;
    append_to_log(fresh, loaded->name);
    known_start[known_count] = fresh->module.start;
    fresh->seen_at_load = at_load;
    bmm__store_release(&known_count, known_count + 1);
    return fresh;
}

bool bmm__module_find(uintptr_t pc, struct bmm__module *module, bool *is_certain)
{
    struct bmm__loaded loaded;
    *is_certain = true;
    if (!bmm__loader_find(pc, &loaded))
        return false;
    uint32_t at_load = bmm__module_load_count();
    struct known *one = find_known(loaded.start, loaded.end, at_load);
    if (one) {
        *module = one->module;
        return true;
    }
    if (bmm__lock_is_mine(&log_lock)) {
        /* A signal handler interrupted this very thread below: it must not wait for itself. */
        struct known passing;
        read_identity(&passing, &loaded);
        *module = passing.module;
        *is_certain = false;
        return true;
    }
    /* Without signals: a handler's stack may come here by way of locks that a fork takes together with this one. */
    uint64_t mask = bmm__os_block_signals();
    bmm__lock_take(&log_lock);
    *module = recognise(&loaded, at_load)->module;
    bmm__lock_release(&log_lock);
    bmm__os_restore_signals(mask);
    return true;
}

bool bmm__module_start(void)
{
    return bmm__loader_start();
}

void bmm__module_changed(void)
{
    bmm__loader_read();
    bmm__add_seq_cst(&bmm__module_loads, 1); /* before rules are looked through: K2 */
}

void bmm__module_fork_child(void)
{
    bmm__lock_reset(&log_lock); /* after a raw clone no fork handler made it new */
}

void bmm__module_forget_loader(bool is_forgotten)
{
    bmm__loader_forget(is_forgotten);
}
