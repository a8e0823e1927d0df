// Tensors as they come over the boundary (abi.h), and what is expected of them.
#pragma once

#include <vector>

#include "abi.h"

namespace elman {

// Leaves a call, whose caller gets the sentence, and can ask what it is about.
struct Refused {
    const char* sentence;
    elman_failure failure;
};
[[noreturn]] __attribute__((format(printf, 1, 2))) void refuse(const char* format, ...);
[[noreturn]] void refuse_target(int64_t row, int64_t target, int64_t outputs, int64_t ignore);

elman_failure& last_failure();  // of the thread

// Runs `work`; null, or why it was refused or had no memory.
template <class F>
const char* sentence_of(F work);

struct Tensor {
    void* data = nullptr;
    int kind = ELMAN_ABSENT, dims = 0;
    int64_t size[3] = {}, stride[3] = {};  // the first three, at most
    int64_t numbers = 1;
    bool contiguous = true;

    bool there() const { return data != nullptr; }
};

std::vector<Tensor> tensors_of(const int64_t* numbers, int64_t count);

// How a tensor lies: all of it together; its rows anywhere; or anywhere, but no two on each other.
enum class Lies { together, in_rows, apart };

// Which tensor: `number` is put where the name has %d.
struct Which {
    const char* name;
    int number;
    Which(const char* n, int i = 0) : name(n), number(i) {}
};

// Refuses a tensor that is not of this kind and these sizes, or lies otherwise.
void expect(const Tensor&, Which, int kind, std::initializer_list<int64_t> sizes, Lies = Lies::together);

// The same where it may be absent.
inline void allow(const Tensor& t, Which which, int kind, std::initializer_list<int64_t> sizes,
                  Lies lies = Lies::together) {
    if (t.there()) expect(t, which, kind, sizes, lies);
}

const char* name_of_kind(int kind);
inline int64_t width_of(int kind) {
    return kind == ELMAN_FLOAT32 ? 4 : kind == ELMAN_FLOAT64 || kind == ELMAN_INT64 ? 8 : 1;
}

}  // namespace elman

#include <new>

template <class F>
const char* elman::sentence_of(F work) {
    try {
        work();
        return nullptr;
    } catch (const Refused& refused) {
        last_failure() = refused.failure;
        return refused.sentence;
    } catch (const std::bad_alloc&) {
        last_failure() = ELMAN_REFUSED;
        return "out of memory";
    }
}
