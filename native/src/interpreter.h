// The interpreter: one instruction at a time over a range of vectors that stays in the first cache.
#pragma once

#include "abi.h"
#include "functions.h"
#include "gemm.h"

namespace elman {
namespace {

enum class Op : int {
#define OPERATION(name, operands, uses_value, ...) name,
#define SPECIAL(name) name,
#include "operations.def"
#undef OPERATION
#undef SPECIAL
};

// Vectors [first, first + count) of arrays that lie as [panel][row]; `tail` lanes of the last panel count.
struct Range {
    long first, count, rows, panels;
    int tail;
};

// What the special instructions reach: parameters and their gradients, and sums over rows.
template <class T>
struct Surroundings {
    const T* units;        // [slot][panel][lane]
    const T* scalars;      // [slot]
    T* unit_sums;          // [slot][panel][lane]
    T* scalar_sums;        // [slot]; null where another thread does it
    T* row_sums;           // [row register][row][lane]
    long padded, row_sum;  // from slot to slot, from row register to row register
};

// Calls f(first, last, row) for the part of the range in each panel.
template <class F>
ELMAN_INLINE void by_panel(const Range& range, F f) {
    long at = range.first;
    const long end = range.first + range.count;
    while (at < end) {
        const long panel = at / range.rows, stop = min_of<long>(end, (panel + 1) * range.rows);
        f(panel, at - panel * range.rows, at - range.first, stop - at);
        at = stop;
    }
}

template <class T>
void expand(T* out, const T* row, const Range& range) {
    by_panel(range, [&](long, long r, long to, long count) {
        for (long i = 0; i < count; ++i) store(out + (to + i) * kLanes<T>, splat(row[r + i]));
    });
}

template <class T>
void expand_unit(T* out, const T* unit, const Range& range) {
    by_panel(range, [&](long panel, long, long to, long count) {
        const Vec<T> v = load(unit + panel * kLanes<T>);
        for (long i = 0; i < count; ++i) store(out + (to + i) * kLanes<T>, v);
    });
}

template <class T>
void add_rows(T* sums, const T* a, const Range& range) {
    by_panel(range, [&](long panel, long r, long from, long count) {
        const int lanes = panel + 1 == range.panels ? range.tail : kLanes<T>;
        for (long i = 0; i < count; ++i) {
            T* to = sums + (r + i) * kLanes<T>;
            store(to, load(to) + keep_some<T>(load(a + (from + i) * kLanes<T>), lanes));
        }
    });
}

template <class T>
void largest_of_rows(T* sums, const T* a, const Range& range) {
    by_panel(range, [&](long panel, long r, long from, long count) {
        const int lanes = panel + 1 == range.panels ? range.tail : kLanes<T>;
        for (long i = 0; i < count; ++i) {
            T* to = sums + (r + i) * kLanes<T>;
            Vec<T> v = load(a + (from + i) * kLanes<T>);
            for (int k = lanes; k < kLanes<T>; ++k) v[k] = -kInfinity<T>;
            store(to, maximum<T>(load(to), v));
        }
    });
}

template <class T>
void add_units(T* sums, const T* a, const Range& range) {
    by_panel(range, [&](long panel, long, long from, long count) {
        Vec<T> sum{};
        for (long i = 0; i < count; ++i) sum += load(a + (from + i) * kLanes<T>);
        T* to = sums + panel * kLanes<T>;
        store(to, load(to) + sum);
    });
}

template <int kOperands, class T, class F>
ELMAN_INLINE void map(T* out, const T* a, const T* b, const T* c, long count, F f) {
    for (long i = 0; i < count; i += kLanes<T>) {
        Vec<T> x{}, y{}, z{};
        if constexpr (kOperands > 0) x = load(a + i);
        if constexpr (kOperands > 1) y = load(b + i);
        if constexpr (kOperands > 2) z = load(c + i);
        store(out + i, f(x, y, z));
    }
}

// Runs the instructions [at, end) on `range`; pointer[i] is where operand i begins in it.
template <class T>
void execute(const elman_instruction* at, const elman_instruction* end, T* const* pointer, const Range& range,
             const Surroundings<T>& around) {
    const long count = range.count * kLanes<T>;
    for (; at != end; ++at) {
        T* out = pointer[at->out];
        const T *a = pointer[at->a], *b = pointer[at->b], *c = pointer[at->c];
        const Vec<T> s = splat(T(at->value));
        switch (Op(at->op)) {
#define OPERATION(name, operands, uses_value, ...)                                                                     \
    case Op::name:                                                                                                     \
        map<operands>(out, a, b, c, count,                                                                             \
                      [=]([[maybe_unused]] Vec<T> a, [[maybe_unused]] Vec<T> b, [[maybe_unused]] Vec<T> c) -> Vec<T> { \
                          return __VA_ARGS__;                                                                          \
                      });                                                                                              \
        break;
#define SPECIAL(name)
#include "operations.def"
#undef OPERATION
#undef SPECIAL
            case Op::expand: expand(out, a, range); break;
            case Op::row_sum: add_rows(around.row_sums + at->slot * around.row_sum, a, range); break;
            case Op::row_max: largest_of_rows(around.row_sums + at->slot * around.row_sum, a, range); break;
            case Op::unit: expand_unit(out, around.units + at->slot * around.padded, range); break;
            case Op::scalar:
                map<0>(out, a, b, c, count, [=](Vec<T>, Vec<T>, Vec<T>) { return splat(around.scalars[at->slot]); });
                break;
            case Op::accumulate: add_units(around.unit_sums + at->slot * around.padded, a, range); break;
            case Op::accumulate_row:
                if (around.scalar_sums)
                    for (long r = 0; r < range.rows; ++r) around.scalar_sums[at->slot] += a[r];
                break;
        }
    }
}

}  // namespace
}  // namespace elman
