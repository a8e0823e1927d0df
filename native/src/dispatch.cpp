// Chooses the instruction set once, by the processor and ELMAN_ISA.
#include <stdlib.h>
#include <string.h>

#include "plan.h"

namespace elman {

extern const Kernels kernels_baseline;
#if defined(__x86_64__)
extern const Kernels kernels_avx2, kernels_avx512;
#endif

namespace {

const Kernels* choose() {
    const char* wanted = getenv("ELMAN_ISA");
    auto allows = [&](const char* name) { return !wanted || !*wanted || !strcmp(wanted, name); };
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && allows("avx512"))
        return &kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && allows("avx2")) return &kernels_avx2;
#endif
    return allows("baseline") ? &kernels_baseline : nullptr;
}

}  // namespace

const Kernels* kernels() {
    static const Kernels* const chosen = choose();
    return chosen;
}

}  // namespace elman
