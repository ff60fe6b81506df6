#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "debug/target.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *write_file(const void *bytes, size_t count)
{
    static char path[64];
    strcpy(path, "/tmp/brainmm-target-XXXXXX");
    int file = mkstemp(path);
    cr_assert_eq(write(file, bytes, count), (ssize_t)count);
    close(file);
    return path;
}

static const char *obstacle_of(const void *bytes, size_t count)
{
    const char *path = write_file(bytes, count);
    const char *obstacle = bmm__target_obstacle(path);
    unlink(path);
    return obstacle;
}

Test(target, an_ordinary_program_has_none)
{
    cr_assert_null(bmm__target_obstacle("/proc/self/exe"));
    cr_assert_null(bmm__target_obstacle("/bin/sh"));
    cr_assert_null(bmm__target_obstacle("/nowhere/at/all"));
    cr_assert_null(bmm__target_obstacle("/"));
}

static size_t make_elf(unsigned char *bytes, unsigned type)
{
    static const unsigned char ident[] = { 0x7f, 'E', 'L', 'F', sizeof(void *) == 8 ? 2 : 1, 1, 1 };
    unsigned char self[64];
    FILE *file = fopen("/proc/self/exe", "r");
    cr_assert_eq(fread(self, 1, sizeof self, file), sizeof self);
    fclose(file);
    Elf64_Ehdr header = { .e_machine = ((Elf64_Ehdr *)(void *)self)->e_machine,
                          .e_phoff = sizeof header,
                          .e_phnum = 1,
                          .e_phentsize = sizeof(Elf64_Phdr) };
    Elf64_Phdr segment = { .p_type = type };
    memcpy(header.e_ident, ident, sizeof ident);
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, &segment, sizeof segment);
    return sizeof header + sizeof segment;
}

Test(target, static_and_foreign)
{
    if (sizeof(void *) != 8)
        cr_skip_test("64-bit only");
    unsigned char bytes[256];
    cr_assert_null(obstacle_of(bytes, make_elf(bytes, PT_INTERP)));
    size_t count = make_elf(bytes, PT_LOAD);
    cr_assert_str_eq(obstacle_of(bytes, count), "it is statically linked");
    bytes[18] ^= 1;
    cr_assert_str_eq(obstacle_of(bytes, count), "it is for another kind of machine than this library");
}

Test(target, cut_files_are_no_danger)
{
    unsigned char bytes[256];
    size_t count = make_elf(bytes, PT_LOAD);
    for (size_t cut = 0; cut < count; cut++)
        obstacle_of(bytes, cut);
    ((Elf64_Ehdr *)(void *)bytes)->e_phoff = UINT64_MAX - 8;
    obstacle_of(bytes, count);
}

Test(target, scripts_are_followed)
{
    unsigned char bytes[256];
    const char *elf = strdup(write_file(bytes, make_elf(bytes, PT_LOAD)));
    char script[128];
    int length = snprintf(script, sizeof script, "#! %s -x\nbody\n", elf);
    cr_assert_str_eq(obstacle_of(script, (size_t)length), "it is statically linked");
    cr_assert_null(obstacle_of("#!/bin/sh\n", 10));
    cr_assert_null(obstacle_of("#!      ", 8));
    unlink(elf);
}

Test(target, a_script_of_itself_ends)
{
    char path[] = "/tmp/brainmm-target-XXXXXX";
    int file = mkstemp(path);
    dprintf(file, "#!%s\n", path);
    close(file);
    cr_assert_null(bmm__target_obstacle(path));
    unlink(path);
}

Test(target, search)
{
    char buffer[256];
    setenv("PATH", "/nowhere::/bin:/usr/bin", 1);
    cr_assert_str_eq(bmm__target_search("sh", buffer, sizeof buffer), "/bin/sh");
    cr_assert_str_eq(bmm__target_search("./x", buffer, sizeof buffer), "./x");
    cr_assert_null(bmm__target_search("no-such-program-here", buffer, sizeof buffer));
    cr_assert_null(bmm__target_search("sh", buffer, 3));
}
