/* Runs a fuzz target over kept inputs: the main of fuzz_*.c where libFuzzer is not linked. One case per input. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int replay(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return -1;
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
    return got == (size_t)bytes ? 0 : -1;
}

int main(int argument_count, char **arguments)
{
    int passed = 0, failed = 0;
    DIR *folder = argument_count > 1 ? opendir(arguments[1]) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        if (replay(arguments[1], entry->d_name) == 0)
            passed++;
        else
            failed++;
    }
    if (folder)
        closedir(folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed || !passed;
}
