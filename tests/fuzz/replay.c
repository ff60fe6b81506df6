/* Runs a fuzz target over the inputs in folders: the main of fuzz_*.c where libFuzzer is not linked. One case per input; one named
 * seed_… fails if it is not accepted, for then none leads far enough. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool replay(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    fseek(file, 0, SEEK_END);
    long bytes = ftell(file);
    rewind(file);
    uint8_t *data = malloc(bytes > 0 ? (size_t)bytes : 1);
    size_t got = data ? fread(data, 1, (size_t)bytes, file) : 0;
    fclose(file);
    if (got == (size_t)bytes) {
        printf("%s\n", path);
        fflush(stdout);
        LLVMFuzzerTestOneInput(data, got);
    }
    free(data);
    return got == (size_t)bytes && (fuzz_is_accepted || strncmp(name, "seed_", 5) != 0);
}

int main(int argument_count, char **arguments)
{
    int passed = 0, failed = 0;
    LLVMFuzzerInitialize(&argument_count, &arguments);
    for (int i = 1; i < argument_count; i++) {
        DIR *folder = opendir(arguments[i]);
        int before = passed;
        for (struct dirent *entry; folder && (entry = readdir(folder));) {
            if (entry->d_name[0] == '.')
                continue;
            bool is_good = replay(arguments[i], entry->d_name);
            passed += is_good;
            failed += !is_good;
        }
        if (folder)
            closedir(folder);
        failed += passed == before; /* an empty folder tests nothing */
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed || !passed;
}
