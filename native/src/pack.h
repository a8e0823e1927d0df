// Between torch's row-major tensors and the panels of gemm.h.
#pragma once

#include "gemm.h"

namespace elman {
namespace {

// One row of `units` numbers into panels that are `panel` apart, zeros in the lanes beyond.
template <class T>
ELMAN_INLINE void gather_row(const T* from, T* to, long units, long panel) {
    for (; units > 0; units -= kLanes<T>, from += kLanes<T>, to += panel)
        store(to, load_some(from, int(min_of<long>(units, kLanes<T>))));
}

template <class T>
ELMAN_INLINE void scatter_row(const T* from, T* to, long units, long panel) {
    for (; units > 0; units -= kLanes<T>, from += panel, to += kLanes<T>)
        store_some(to, load(from), int(min_of<long>(units, kLanes<T>)));
}

template <class T>
ELMAN_INLINE void add_row(const T* from, T* to, long units, long panel) {
    for (; units > 0; units -= kLanes<T>, from += kLanes<T>, to += panel)
        store(to, load(to) + load_some(from, int(min_of<long>(units, kLanes<T>))));
}

// A matrix: where its rows begin, and how far apart they are.
template <class T>
struct Source {
    const T* data;
    long row;
};

// Up to kLanes rows of weight, which are `row` apart, as column `v` of a group of `count`:
// to[k][v][lane] = weight[lane][k], zeros beyond `units`.
template <class T>
void pack_column(const T* weight, long row, long depth, long units, T* to, int v, int count) {
    constexpr int kL = kLanes<T>;
    const long step = long(count) * kL;
    const int rows = int(min_of<long>(units, kL));
    for (long k = 0; k < depth; k += kL)
        transpose(weight + k, row, rows, int(min_of<long>(depth - k, kL)), to + v * kL + k * step, step);
}

// Columns of weight (depth rows of `width` numbers, `row` apart):
// to[k][v][lane] = weight[k][first + v * kLanes + lane].
template <class T>
void pack_rows(const T* weight, long row, long depth, long width, long first, T* to, int count) {
    constexpr int kL = kLanes<T>;
    for (long k = 0; k < depth; ++k, weight += row)
        for (int v = 0; v < count; ++v, to += kL) {
            const long left = width - first - v * kL;
            store(to, left > 0 ? load_some(weight + first + v * kL, int(min_of<long>(left, kL))) : Vec<T>{});
        }
}

}  // namespace
}  // namespace elman
