/* What is refused before it runs, and with which words. */
#define _GNU_SOURCE
#include "viewer/program.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/brainmm-program-XXXXXX";

static const char *place(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *make(const char *name, const void *bytes, size_t count, mode_t mode)
{
    const char *path = place(name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fwrite(bytes, 1, count, file);
    fclose(file);
    chmod(path, mode);
    return path;
}

static const char *make_text(const char *name, const char *text, mode_t mode)
{
    return make(name, text, strlen(text), mode);
}

/* "" if it can be checked. */
static const char *verdict(const char *name)
{
    static struct bmm__program program;
    static struct bmm__why why;
    why.text[0] = 0;
    return bmm__program_find(&program, name, &why) ? "" : why.text;
}

static void setup(void)
{
    cr_assert_not_null(mkdtemp(folder));
}

static void teardown(void)
{
    char command[256];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(program, .init = setup, .fini = teardown);

static void make_elf(const char *name, unsigned machine, unsigned class, const char *loader)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segment;
        char loader[64];
    } file = { .header = { .e_type = ET_DYN,
                           .e_machine = (Elf64_Half)machine,
                           .e_phoff = sizeof(Elf64_Ehdr),
                           .e_phentsize = sizeof(Elf64_Phdr),
                           .e_phnum = 1 },
               .segment = { .p_type = loader != NULL ? PT_INTERP : PT_LOAD,
                            .p_offset = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) } };
    memcpy(file.header.e_ident, ELFMAG, SELFMAG);
    file.header.e_ident[EI_CLASS] = (unsigned char)class;
    file.header.e_ident[EI_DATA] = ELFDATA2LSB;
    if (loader != NULL) {
        snprintf(file.loader, sizeof file.loader, "%s", loader);
        file.segment.p_filesz = strlen(loader) + 1;
    }
    make(name, &file, sizeof file, 0755);
}

Test(program, what_can_be_checked)
{
    cr_expect_str_eq(verdict("sh"), "");
    cr_expect_str_eq(verdict("/bin/sh"), "");
    cr_expect_str_eq(verdict(make_text("script", "#!/bin/sh\nexit 0\n", 0755)), "");
    cr_expect_str_eq(verdict(make_text("blank", "#!  /usr/bin/env sh\n", 0755)), "");
    cr_expect_str_eq(verdict(make_text("bare", "exit 0\n", 0755)), "", "execvp runs it with sh");
}

Test(program, what_is_not_there)
{
    cr_expect_str_eq(verdict("no-such-program-anywhere"), "no such program in PATH");
    cr_expect_str_eq(verdict(place("missing")), strerror(2));
    cr_expect_str_eq(verdict(""), "it has no name");
    cr_expect_str_eq(verdict(folder), "it is not a regular file");
    cr_expect_str_eq(verdict(make_text("plain", "exit 0\n", 0644)), "it is not executable");
    setenv("PATH", folder, 1);
    cr_expect_str_eq(verdict("plain"), "it is not executable");
    if (geteuid() != 0) { /* who may search everything */
        cr_assert_eq(chmod(folder, 0), 0);
        cr_expect_not_null(strstr(verdict("plain"), "permission denied"));
        cr_assert_eq(chmod(folder, 0700), 0);
    }
    make_text("found", "#!/bin/sh\n", 0755);
    cr_expect_str_eq(verdict("found"), "");
    unsetenv("PATH");
    cr_expect_str_eq(verdict("sh"), "", "execvp's own default path");
}

Test(program, what_no_library_gets_into)
{
    cr_expect_not_null(strstr(verdict(make_text("setuid", "#!/bin/sh\n", 04755)), "it is set-uid"));
    cr_expect_not_null(strstr(verdict(make_text("setgid", "#!/bin/sh\n", 02755)), "it is set-gid"));
#if defined(__x86_64__)
    make_elf("static", EM_X86_64, ELFCLASS64, NULL);
    cr_expect_str_eq(verdict(place("static")), "it is statically linked");
    make_elf("musl", EM_X86_64, ELFCLASS64, "/lib/ld-musl-x86_64.so.1");
    cr_expect(strstr(verdict(place("musl")), "another C library") || strstr(verdict(place("musl")), "is missing"));
    make_elf("arm", EM_AARCH64, ELFCLASS64, "/lib/ld-linux-aarch64.so.1");
    cr_expect_str_eq(verdict(place("arm")), "it is for another architecture (aarch64, 64-bit)");
    make_elf("i386", EM_386, ELFCLASS32, "/lib/ld-linux.so.2");
    cr_expect_str_eq(verdict(place("i386")), "it is for another architecture (i386, 32-bit)");
    make_elf("lost", EM_X86_64, ELFCLASS64, "/nowhere/ld.so");
    cr_expect_str_eq(verdict(place("lost")), "its loader /nowhere/ld.so is missing");
    char script[256];
    snprintf(script, sizeof script, "#!%s -x\n", place("static"));
    cr_expect_not_null(strstr(verdict(make_text("indirect", script, 0755)), "it is statically linked"));
    cr_expect_not_null(strstr(verdict(make("cut", "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\76\0", 20, 0755)), "cut short"));
#endif
    char loop[256];
    snprintf(loop, sizeof loop, "#!%s\n", place("loop"));
    cr_expect_not_null(strstr(verdict(make_text("loop", loop, 0755)), "too deep"));
    cr_expect_not_null(strstr(verdict(make_text("empty", "#!\n", 0755)), "names no interpreter"));
}
