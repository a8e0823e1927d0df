// Compiled once per instruction set: ELMAN_ISA is its name.
#include "backward.h"
#include "cross_entropy.h"
#include "forward.h"
#include "stream.h"

namespace elman {
namespace {

// A scan built on no memory only measures how much it takes.
template <class S, class J = Job>
size_t shared_bytes(const J& job) {
    return S(job, 0, Scratch(nullptr), Scratch(nullptr)).shared_used;
}

template <class S, class J = Job>
size_t own_bytes(const J& job) {
    return S(job, 0, Scratch(nullptr), Scratch(nullptr)).own_used;
}

template <class S, class J = Job>
void run(const J& job, int thread) {
    S(job, thread, Scratch(job.shared), Scratch(job.own[thread])).run();
}

template <class T>
void run_backward(const Job& job, int worker) {
    if (job.workers == job.threads) return run<Backward<T>>(job, worker);
    Backward<T>::run_all(job, worker, Scratch(job.shared), Scratch(job.own[worker]));
}

template <class T>
void apply(int op, int64_t count, void* out, const void* a, const void* b, const void* c, double value) {
    constexpr int kL = kLanes<T>;
    const elman_instruction one = {op, 3, 0, 1, 2, 0, value};
    for (long i = 0; i < count; i += kL) {
        const int n = int(min_of<long>(kL, count - i));
        const void* from[3] = {a, b, c};
        T tile[4][kL] = {};
        T* pointer[4] = {tile[0], tile[1], tile[2], tile[3]};
        for (int k = 0; k < 3; ++k)
            if (from[k]) store(tile[k], load_some(static_cast<const T*>(from[k]) + i, n));
        execute(&one, &one + 1, pointer, Range{0, 1, 1, 1, kL}, Surroundings<T>{});
        store_some(static_cast<T*>(out) + i, load(tile[3]), n);
    }
}

template <class T>
constexpr StreamKernels kStream = {
    shared_bytes<Streamed<T>>,
    own_bytes<Streamed<T>>,
    [](const Job& job, int thread, char* own) -> void* {
        return new Streamed<T>(job, thread, Scratch(job.shared), Scratch(own));
    },
    [](void* layer) { delete static_cast<Streamed<T>*>(layer); },
    [](void* layer) { static_cast<Streamed<T>*>(layer)->prepare(); },
    [](void* layer, const View* inputs, const StreamLayer& how, const View& x, bool back, const View* y) {
        return static_cast<Streamed<T>*>(layer)->step(inputs, how, x, back, y);
    },
    [](const void* layer, void* const* states) { static_cast<const Streamed<T>*>(layer)->read(states); },
    [](void* layer, const void* const* states, const uint8_t* where) {
        static_cast<Streamed<T>*>(layer)->write(states, where);
    },
    kLanes<T>,
};

}  // namespace

#define ELMAN_NAME2(set) kernels_##set
#define ELMAN_NAME1(set) ELMAN_NAME2(set)
#define ELMAN_TEXT2(set) #set
#define ELMAN_TEXT1(set) ELMAN_TEXT2(set)

extern const Kernels ELMAN_NAME1(ELMAN_ISA);
const Kernels ELMAN_NAME1(ELMAN_ISA) = {
    ELMAN_TEXT1(ELMAN_ISA),
    {{shared_bytes<Forward<float>>, shared_bytes<Forward<double>>},
     {shared_bytes<Backward<float>>, shared_bytes<Backward<double>>}},
    {{own_bytes<Forward<float>>, own_bytes<Forward<double>>},
     {own_bytes<Backward<float>>, own_bytes<Backward<double>>}},
    {{run<Forward<float>>, run<Forward<double>>}, {run_backward<float>, run_backward<double>}},
    {apply<float>, apply<double>},
    {kLanes<float>, kLanes<double>},
    {shared_bytes<CrossEntropy<float>>, shared_bytes<CrossEntropy<double>>},
    {own_bytes<CrossEntropy<float>>, own_bytes<CrossEntropy<double>>},
    {run<CrossEntropy<float>>, run<CrossEntropy<double>>},
    {kStream<float>, kStream<double>},
};

}  // namespace elman
