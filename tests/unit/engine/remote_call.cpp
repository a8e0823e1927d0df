// Calls the library on memory that another process wrote down: REMOTE_CALL IMAGE FUNCTION ARGUMENT...
// An argument is a place in the image, or a number. The image ends with the places of its own addresses.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../native/src/abi.h"

int main(int, char** argv) {
    FILE* file = fopen(argv[1], "r+b");
    int64_t size, addresses;
    if (!file || !fread(&size, 8, 1, file) || !fread(&addresses, 8, 1, file)) return 2;
    char* base = static_cast<char*>(aligned_alloc(4096, size_t(size + 4095) / 4096 * 4096));
    if (fread(base, 1, size_t(size), file) != size_t(size)) return 2;
    for (int64_t i = 0, place; i < addresses; ++i) {
        if (!fread(&place, 8, 1, file)) return 2;
        char** address = reinterpret_cast<char**>(base + place);
        *address = base + reinterpret_cast<int64_t>(*address);
    }
    char** rest = argv + 3;
    auto at = [&](int i) { return *rest[i] == '0' ? nullptr : base + atoll(rest[i]); };
    const char* reason = "no such function";
    auto list = [&](int i) { return (const int64_t*)at(i); };
    if (!strcmp(argv[2], "forward")) reason = elman_forward((elman_scan*)at(0), list(1), atoll(rest[2]));
    if (!strcmp(argv[2], "backward")) reason = elman_backward((elman_scan*)at(0), list(1), atoll(rest[2]));
    if (!strcmp(argv[2], "apply")) reason = elman_apply(atoi(rest[0]), atof(rest[1]), list(2), atoll(rest[3]));
    if (reason) return fprintf(stderr, "%s", reason), 1;
    fseek(file, 16, SEEK_SET);
    return fwrite(base, 1, size_t(size), file) == size_t(size) && !fclose(file) ? 0 : 2;
}
