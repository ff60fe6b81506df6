/* Synthetic snapshots for tests: what debug/ would write, made by hand. Modules can be those of the test itself, so
 * that frames can be compared with functions and lines that the test knows.
 *
 * The builder keeps each kind of chunk in a buffer of its own; write_snapshot lays them out. Include once per test. */
#ifndef BMM_TESTS_MAKE_SNAPSHOT_H
#define BMM_TESTS_MAKE_SNAPSHOT_H

#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: dl_iterate_phdr needs it"
#endif

#include "brainmm/snapshot.h"

#include <elf.h>
#include <execinfo.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct made_chunk {
    uint32_t type;
    unsigned char *bytes;
    size_t count, capacity;
};

enum { MADE_CHUNKS = 12 };

struct made_snapshot {
    struct bmm_snapshot_header header;
    struct made_chunk chunks[MADE_CHUNKS]; /* by type */
    uint32_t stack_count;                  /* ids given out; 0 is unused */
};

static inline void *made_room(struct made_snapshot *made, uint32_t type, size_t bytes)
{
    struct made_chunk *chunk = &made->chunks[type];
    chunk->type = type;
    while (chunk->count + bytes > chunk->capacity) {
        chunk->capacity = chunk->capacity ? 2 * chunk->capacity : 4096;
        chunk->bytes = realloc(chunk->bytes, chunk->capacity);
    }
    void *room = chunk->bytes + chunk->count;
    memset(room, 0, bytes);
    chunk->count += bytes;
    return room;
}

static inline void made_begin(struct made_snapshot *made, uint32_t mode, uint32_t state)
{
    memset(made, 0, sizeof *made);
    struct bmm_snapshot_header *header = &made->header;
    memcpy(header->magic, BMM_SNAPSHOT_MAGIC, sizeof header->magic);
    header->version = BMM_SNAPSHOT_VERSION;
    header->header_bytes = BMM_SNAPSHOT_HEADER_BYTES;
    header->byte_order = BMM_SNAPSHOT_BYTE_ORDER;
    header->word_bits = 64;
    header->machine = EM_X86_64;
    header->pid = 4321;
    header->ppid = 4320;
    header->start_unix_ns = 1700000000000000000u;
    header->mode = mode;
    header->state = state;
    header->exit_status = state == BMM_SNAPSHOT_EXITED ? 0 : -1;
    header->chunk_capacity = BMM_SNAPSHOT_CHUNKS_MAX;
    header->chunks_offset = BMM_SNAPSHOT_CHUNKS_OFFSET;
    made_room(made, BMM_CHUNK_STACKS, sizeof(uint32_t)); /* id 0 */
    made->stack_count = 1;
}

static inline void made_text(struct made_snapshot *made, uint32_t type, const char *text)
{
    strcpy(made_room(made, type, strlen(text) + 1), text);
}

static inline uint32_t made_site(struct made_snapshot *made, uint64_t pc)
{
    uint64_t mebibyte = pc >> BMM_SITE_BITS << BMM_SITE_BITS, *code;
    if (made->chunks[BMM_CHUNK_CODE].count == 0)
        made_room(made, BMM_CHUNK_CODE, sizeof *code); /* number 0 */
    uint32_t number = 0, count = (uint32_t)(made->chunks[BMM_CHUNK_CODE].count / sizeof *code);
    code = (uint64_t *)(void *)made->chunks[BMM_CHUNK_CODE].bytes;
    while (number < count && code[number] != mebibyte)
        number++;
    if (number == count)
        *(uint64_t *)made_room(made, BMM_CHUNK_CODE, sizeof *code) = mebibyte;
    return number << BMM_SITE_BITS | (uint32_t)(pc - mebibyte);
}

static inline void made_word(struct made_snapshot *made, uint32_t word)
{
    *(uint32_t *)made_room(made, BMM_CHUNK_STACKS, sizeof word) = word;
    made->stack_count++;
}

/* A frame on top of the stack parent, in its run if that is the last; returns its id. */
static inline uint32_t made_node(struct made_snapshot *made, uint32_t parent, uint64_t pc)
{
    if (parent == 0 || parent + 1 != made->stack_count) {
        made_word(made, BMM_STACK_HEAD);
        made_word(made, parent | BMM_STACK_HEAD);
    }
    made_word(made, made_site(made, pc));
    return made->stack_count - 1;
}

/* pcs innermost first, as backtrace() gives them. */
static inline uint32_t made_stack(struct made_snapshot *made, void *const *pcs, int count)
{
    uint32_t id = 0;
    for (int i = count; i > 0; i--)
        id = made_node(made, id, (uintptr_t)pcs[i - 1]);
    return id;
}

static inline void made_module(struct made_snapshot *made, const char *path, uint64_t start, uint64_t end,
                               uint64_t bias, const uint8_t *build_id, uint32_t build_id_bytes)
{
    uint32_t bytes = (uint32_t)((offsetof(struct bmm_snapshot_module, path) + strlen(path) + 1 + 7) & ~(size_t)7);
    struct bmm_snapshot_module *module = made_room(made, BMM_CHUNK_MODULES, bytes);
    module->bytes = bytes;
    module->start = start;
    module->end = end;
    module->bias = bias;
    module->build_id_bytes = build_id_bytes;
    if (build_id_bytes > 0)
        memcpy(module->build_id, build_id, build_id_bytes);
    strcpy(module->path, path);
}

static inline int made_own_module(struct dl_phdr_info *info, size_t bytes, void *context)
{
    (void)bytes;
    uint64_t start = UINT64_MAX, end = 0;
    const uint8_t *build_id = NULL;
    uint32_t build_id_bytes = 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uint64_t at = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD) {
            start = at < start ? at : start;
            end = at + segment->p_memsz > end ? at + segment->p_memsz : end;
        }
        for (uint64_t note = at; segment->p_type == PT_NOTE && note < at + segment->p_filesz;) {
            const ElfW(Nhdr) *head = (const void *)(uintptr_t)note;
            if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4) {
                build_id = (const uint8_t *)(head + 1) + 4;
                build_id_bytes = head->n_descsz;
            }
            note += sizeof *head + ((head->n_namesz + 3) & ~3u) + ((head->n_descsz + 3) & ~3u);
        }
    }
    char path[PATH_MAX] = "[vdso]";
    if (info->dlpi_name[0] == '/')
        snprintf(path, sizeof path, "%s", info->dlpi_name);
    else if (info->dlpi_name[0] == 0 && readlink("/proc/self/exe", path, sizeof path - 1) > 0)
        path[readlink("/proc/self/exe", path, sizeof path - 1)] = 0;
    made_module(context, path, start, end, info->dlpi_addr, build_id, build_id_bytes);
    return 0;
}

/* All modules of this very process. */
static inline void made_own_modules(struct made_snapshot *made)
{
    dl_iterate_phdr(made_own_module, made);
}

/* A span at address with room for count slots; returns the index of its first record. Records are set by made_block. */
static inline uint32_t made_span(struct made_snapshot *made, uint64_t address, uint64_t slot_bytes, uint32_t count)
{
    struct bmm_snapshot_span *span = made_room(made, BMM_CHUNK_SPANS, sizeof *span);
    size_t before = made->chunks[BMM_CHUNK_MIRROR].count;
    span->start = address;
    span->slot_bytes = slot_bytes;
    span->slot_count = count;
    span->kind = BMM_SPAN_SLOTS;
    span->mirror_offset = before; /* write_snapshot adds where the chunk begins */
    made_room(made, BMM_CHUNK_MIRROR, count * sizeof(struct bmm_snapshot_mirror));
    return (uint32_t)(before / sizeof(struct bmm_snapshot_mirror));
}

static inline void made_block(struct made_snapshot *made, uint32_t record, uint32_t state, uint32_t kind, uint64_t size,
                              uint32_t stack)
{
    struct bmm_snapshot_mirror *mirror =
        (struct bmm_snapshot_mirror *)(void *)made->chunks[BMM_CHUNK_MIRROR].bytes + record;
    uint64_t detail = state | (uint64_t)kind << 3 | (size >> 32 & 0xfff) << 8;
    mirror->stack = stack;
    mirror->size = (uint32_t)size;
    mirror->detail = detail | (uint64_t)bmm_mirror_check(stack, (uint32_t)size, detail) << 56;
}

static inline struct bmm_snapshot_error *made_error(struct made_snapshot *made, uint32_t kind, uint32_t moment)
{
    struct bmm_snapshot_error *error = made_room(made, BMM_CHUNK_ERRORS, sizeof *error);
    error->committed = 1;
    error->kind = kind;
    error->moment = moment;
    error->repeat_count = 1;
    return error;
}

static inline void made_unchecked(struct made_snapshot *made, uint32_t pid, const char *reason, const char *path)
{
    size_t head = offsetof(struct bmm_snapshot_unchecked, text);
    uint32_t bytes = (uint32_t)((head + strlen(reason) + 1 + strlen(path) + 1 + 7) & ~(size_t)7);
    struct bmm_snapshot_unchecked *record = made_room(made, BMM_CHUNK_UNCHECKED, bytes);
    record->bytes = bytes;
    record->pid = pid;
    strcpy(record->text, reason);
    strcpy(record->text + strlen(reason) + 1, path);
}

/* One element of each kind, two of some. */
static inline void made_sample(struct made_snapshot *made, uint32_t state)
{
    made_begin(made, BMM_MODE_CHECK, state);
    made_text(made, BMM_CHUNK_COMMAND, "program");
    made_text(made, BMM_CHUNK_COMMAND, "");
    made_text(made, BMM_CHUNK_COMMAND, "argument");
    made_text(made, BMM_CHUNK_NOTES, "a note");
    made_module(made, "/path/of/program", 0x1000, 0x9000, 0x1000, (const uint8_t *)"\1\2\3", 3);
    made_unchecked(made, 7, "it is statically linked", "/bin/static");
    uint32_t outer = made_node(made, 0, 0x2000), inner = made_node(made, outer, 0x3000);
    uint32_t record = made_span(made, 0x7f0000000000, 64, 16);
    made_block(made, record + 1, BMM_SLOT_LIVE, BMM_KIND_NEW, 40, inner);
    made_block(made, record + 2, BMM_SLOT_FREE, BMM_KIND_NEW, 40, inner);
    struct bmm_snapshot_error *error = made_error(made, BMM_ERROR_DOUBLE_FREE, BMM_MOMENT_FREE);
    error->address = 0x7f0000000040;
    error->detected_stack = inner;
    made_error(made, BMM_ERROR_DOUBLE_FREE, BMM_MOMENT_FREE)->committed = 0;
    struct bmm_snapshot_thread *thread = made_room(made, BMM_CHUNK_THREADS, sizeof *thread);
    thread->tid = 4321;
    strcpy(thread->name, "main-thread");
}

/* The bytes of the file, freed by the caller; the builder is emptied. */
static inline unsigned char *made_bytes(struct made_snapshot *made, size_t *bytes)
{
    size_t at = BMM_SNAPSHOT_DATA_OFFSET;
    struct bmm_snapshot_chunk directory[MADE_CHUNKS];
    uint32_t count = 0;
    for (uint32_t type = 0; type < MADE_CHUNKS; type++) {
        struct made_chunk *chunk = &made->chunks[type];
        if (chunk->count == 0)
            continue;
        directory[count++] = (struct bmm_snapshot_chunk){
            .type = type, .offset = at, .bytes = (chunk->count + 15) & ~(size_t)15, .used = chunk->count
        };
        if (type == BMM_CHUNK_MIRROR)
            for (size_t i = 0; i < made->chunks[BMM_CHUNK_SPANS].count / sizeof(struct bmm_snapshot_span); i++)
                ((struct bmm_snapshot_span *)(void *)made->chunks[BMM_CHUNK_SPANS].bytes)[i].mirror_offset += at;
        at += (chunk->count + 15) & ~(size_t)15;
    }
    made->header.chunk_count = count;
    made->header.file_bytes = at;
    unsigned char *file = calloc(1, at);
    memcpy(file, &made->header, sizeof made->header);
    memcpy(file + BMM_SNAPSHOT_CHUNKS_OFFSET, directory, count * sizeof *directory);
    for (uint32_t i = 0; i < count; i++)
        memcpy(file + directory[i].offset, made->chunks[directory[i].type].bytes, directory[i].used);
    for (uint32_t type = 0; type < MADE_CHUNKS; type++)
        free(made->chunks[type].bytes);
    memset(made->chunks, 0, sizeof made->chunks);
    *bytes = at;
    return file;
}

static inline void made_write_bytes(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "w");
    if (file == NULL || fwrite(bytes, 1, count, file) != count || fclose(file) != 0)
        abort();
}

static inline void made_write(struct made_snapshot *made, const char *path)
{
    size_t count;
    unsigned char *bytes = made_bytes(made, &count);
    made_write_bytes(path, bytes, count);
    free(bytes);
}

/* A name in a directory of this test, the same for the same text. */
static inline const char *made_path(const char *name)
{
    static char path[PATH_MAX];
    const char *directory = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/brainmm-test-%d-%s", directory != NULL ? directory : "/tmp", (int)getpid(), name);
    return path;
}

#endif
