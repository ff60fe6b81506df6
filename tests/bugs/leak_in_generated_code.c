// run: --fail-on leak
// exit: 1
// leak: bytes=100 blocks=1 kind=malloc
// leak: bytes=101 blocks=1 kind=malloc
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Calls malloc(100 + more); begins at a page. */
static void write_code(unsigned char *page, uint32_t more)
{
    void *(*function)(size_t) = malloc;
#ifdef __x86_64__
    /* sub $8, %rsp; mov $100, %edi; movabs $function, %rax; call *%rax; add $8, %rsp; ret */
    memcpy(page, "\x48\x83\xec\x08\xbf\x64\0\0\0\x48\xb8", 11);
    page[5] = (unsigned char)(100 + more);
    memcpy(page + 11, &function, sizeof function);
    memcpy(page + 19, "\xff\xd0\x48\x83\xc4\x08\xc3", 7);
#else
    /* stp x29, x30, [sp, -16]!; mov w0, 100; ldr x16, function; blr x16; ldp x29, x30, [sp], 16; ret; function: */
    uint32_t code[] = { 0xa9bf7bfd, 0x52800000 | (100 + more) << 5, 0x58000090, 0xd63f0200, 0xa8c17bfd, 0xd65f03c0 };
    memcpy(page, code, sizeof code);
    memcpy(page + sizeof code, &function, sizeof function);
#endif
    __builtin___clear_cache((char *)page, (char *)page + 64);
}

int main(void)
{
    unsigned char *pages = mmap(NULL, 131072, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (uint32_t i = 0; i < 2; i++) {
        write_code(pages + 65536 * i, i);
        if (((void *(*)(void))(uintptr_t)(pages + 65536 * i))() == NULL)
            return 2;
    }
    return 0;
}
