/* How long 10 000 addresses of a program take to become functions, files and lines.
 *
 *     symbol_speed PROGRAM COUNT     "<milliseconds> ms, <count> addresses, <frames> frames, <lines> with lines, <inlined> inlined"
 *
 * The addresses lie evenly over the program's code. BRAINMM_CACHE as for `brainmm`. */
#include "report/symbol.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct code {
    uint64_t start, bytes;
    uint8_t build_id[20];
    uint32_t build_id_bytes;
};

static struct code code_of(const char *path)
{
    struct code code = { 0 };
    int file = open(path, O_RDONLY | O_CLOEXEC);
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(file, ELF_C_READ_MMAP, NULL);
    Elf_Scn *section = NULL;
    size_t names;
    GElf_Shdr header;
    if (elf == NULL || elf_getshdrstrndx(elf, &names) != 0) {
        fprintf(stderr, "symbol_speed: %s: not readable as ELF\n", path);
        exit(2);
    }
    while ((section = elf_nextscn(elf, section)) != NULL && gelf_getshdr(section, &header) != NULL) {
        const char *name = elf_strptr(elf, names, header.sh_name);
        if (strcmp(name, ".text") == 0) {
            code.start = header.sh_addr;
            code.bytes = header.sh_size;
        } else if (strcmp(name, ".note.gnu.build-id") == 0) {
            memcpy(code.build_id, (char *)elf_getdata(section, NULL)->d_buf + 16, sizeof code.build_id);
            code.build_id_bytes = sizeof code.build_id;
        }
    }
    elf_end(elf);
    close(file);
    return code;
}

int main(int count, char **words)
{
    if (count != 3) {
        fputs("usage: symbol_speed PROGRAM COUNT\n", stderr);
        return 2;
    }
    struct code code = code_of(words[1]);
    uint64_t addresses = strtoull(words[2], NULL, 10), frames = 0, lines = 0, inlined = 0;
    struct bmm__arena arena = { 0 };
    struct bmm__strings strings = { .arena = &arena };
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&strings);
    uint32_t module = bmm__symbolizer_module(symbolizer, words[1], code.build_id, code.build_id_bytes);
    for (uint64_t i = 0; i < addresses; i++) {
        struct bmm__chain chain = bmm__symbolizer_frames(symbolizer, module, code.start + code.bytes * i / addresses);
        frames += chain.count;
        for (uint32_t k = 0; k < chain.count; k++) {
            lines += chain.frames[k]->line > 0;
            inlined += chain.frames[k]->is_inlined;
        }
    }
    bmm__symbolizer_free(symbolizer); /* which writes to the cache */
    clock_gettime(CLOCK_MONOTONIC, &end);
    double ms = (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6;
    printf("%.1f ms, %lu addresses, %lu frames, %lu with lines, %lu inlined\n", ms, addresses, frames, lines, inlined);
    bmm__strings_free(&strings);
    bmm__arena_free(&arena);
    return 0;
}
