#include "tensors.h"

#include <stdarg.h>
#include <stdio.h>

#include <string>

namespace elman {
namespace {

constexpr const char* kKinds[] = {"nothing", "float32", "float64", "int64",    "bool",      "uint8",     "int8",
                                  "int16",   "int32",   "float16", "bfloat16", "complex64", "complex128"};

std::string named(Which which) {
    char text[80];
    snprintf(text, sizeof text, which.name, which.number);
    return text;
}

std::string listed(const int64_t* numbers, int count) {
    std::string text = "(";
    for (int i = 0; i < count; ++i) text += (i ? ", " : "") + std::to_string(numbers[i]);
    return text + ")";
}

std::string shown(const Tensor& t) {
    if (!t.there()) return "nothing";
    if (t.dims > 3) return std::string(name_of_kind(t.kind)) + " of " + std::to_string(t.dims) + " dimensions";
    const std::string text = std::string(name_of_kind(t.kind)) + " of " + listed(t.size, t.dims);
    return t.contiguous ? text : text + " with strides " + listed(t.stride, t.dims);
}

bool is_in_rows(const Tensor& t) {
    const int last = t.dims - 1;
    for (int i = 0; i < last; ++i)
        if (t.stride[i] < 0) return false;
    return t.size[last] == 1 || t.stride[last] == 1;
}

// Of two outer strides the smaller must pass a row, and the larger all of the smaller's.
bool is_apart(const Tensor& t) {
    const int inner = t.stride[0] < t.stride[1] ? 0 : 1, outer = 1 - inner;
    const int64_t row = t.size[2], rows = t.size[inner];
    return (rows == 1 || t.stride[inner] >= row) &&
           (t.size[outer] == 1 || t.stride[outer] >= (rows == 1 ? row : t.stride[inner] * (rows - 1) + row));
}

bool lies_so(const Tensor& t, Lies lies) {
    switch (lies) {
        case Lies::together: return t.contiguous;
        case Lies::in_rows: return is_in_rows(t);
        case Lies::apart: return is_in_rows(t) && is_apart(t);
    }
    return false;
}

constexpr const char* kLies[] = {", contiguous", ", its last stride 1",
                                 ", its last stride 1 and no two rows on each other"};

}  // namespace

namespace {

thread_local char sentence[400];

}  // namespace

elman_failure& last_failure() {
    static thread_local elman_failure failure = ELMAN_REFUSED;
    return failure;
}

void refuse(const char* format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(sentence, sizeof sentence, format, values);
    va_end(values);
    throw Refused{sentence, ELMAN_REFUSED};
}

void refuse_target(int64_t row, int64_t target, int64_t outputs, int64_t ignore) {
    snprintf(sentence, sizeof sentence,
             "target %ld in row %ld is not one of the outputs: expected 0 to %ld, or ignore_index = %ld", long(target),
             long(row), long(outputs - 1), long(ignore));
    throw Refused{sentence, ELMAN_WRONG_TARGET};
}

const char* name_of_kind(int kind) { return kind >= 0 && kind < ELMAN_OTHER ? kKinds[kind] : "another type"; }

namespace {

bool is_contiguous(const Tensor& t) {
    int64_t apart = 1;
    for (int i = t.dims - 1; i >= 0; --i) {
        if (t.size[i] != 1 && t.stride[i] != apart) return false;
        apart *= t.size[i];
    }
    return true;
}

// The next tensor of the list.
Tensor tensor_at(const int64_t*& at, const int64_t* end, size_t number) {
    Tensor t;
    if (end - at < 2) refuse("the list of tensors ends within tensor %zu", number);
    t.data = reinterpret_cast<void*>(*at++);
    const int64_t how = *at++;
    t.kind = int(how >> 4), t.dims = int(how & 7);
    const bool strided = how & 8;
    if (end - at < t.dims * (strided ? 2 : 1)) refuse("the list of tensors ends within tensor %zu", number);
    const int64_t *size = at, *stride = at + t.dims;
    at += t.dims * (strided ? 2 : 1);
    const int kept = t.dims < 3 ? t.dims : 3;
    for (int i = t.dims; i-- > 0; t.numbers *= size[i])
        if (i < kept) t.size[i] = size[i], t.stride[i] = strided ? stride[i] : t.numbers;
    t.contiguous = !strided || (t.dims <= 3 && is_contiguous(t));
    return t;
}

}  // namespace

std::vector<Tensor> tensors_of(const int64_t* at, int64_t count) {
    const int64_t* const end = at + count;
    std::vector<Tensor> tensors;
    tensors.reserve(size_t(count / 2));
    while (at < end) tensors.push_back(tensor_at(at, end, tensors.size()));
    return tensors;
}

void expect(const Tensor& t, Which which, int kind, std::initializer_list<int64_t> sizes, Lies lies) {
    bool right = t.there() && t.kind == kind && t.dims == int(sizes.size());
    for (int i = 0; right && i < t.dims; ++i) right = t.size[i] == sizes.begin()[i];
    if (right && lies_so(t, lies) && reinterpret_cast<uintptr_t>(t.data) % uintptr_t(width_of(kind)) == 0) return;
    refuse("%s: expected %s of %s%s, got %s%s", named(which).c_str(), name_of_kind(kind),
           listed(sizes.begin(), int(sizes.size())).c_str(), kLies[int(lies)], shown(t).c_str(),
           right && lies_so(t, lies) ? " between two numbers" : "");
}

}  // namespace elman
