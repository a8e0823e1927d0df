// Matrix products on panels. A matrix of rows x units lies as [panel][row][lane], a panel being as many
// units as a vector has lanes, so that a block of rows by any panels is contiguous whichever way a
// product runs through it, and no stride is ever a power of two. Weights are packed column group by
// column group, [group][k][column][lane], and stream through the micro-kernel once per block of rows.
#pragma once

#include "isa.h"

namespace elman {
namespace {

constexpr long kCachedBytes = 24576;  // of weights that are read again and again

// The left factor: `segments` runs of `units` columns each.
template <class T>
struct Left {
    const T* data;
    long row, panel, segment;
    long units;
    int segments;
};

// One vector of output columns: it starts from `start` (a bias, or what is there already) and goes to
// `out`. `moves` says whether the start has a value per row (1) or one for all (0).
template <class T>
struct Column {
    const T* start;
    T* out;
    int moves;
};

template <class T>
ELMAN_INLINE long panels_of(long units) {
    return (units + kLanes<T> - 1) / kLanes<T>;
}

template <class T>
ELMAN_INLINE long min_of(T a, T b) {
    return a < b ? a : b;
}

// Weights that are read after these, of which a block fetches its share while it computes: they come from a
// cache far away, or from memory, and at one cache line in a step of k they arrive in time.
template <class T>
struct Soon {
    const T* share;
    long pace;
};

// M rows by N columns of vectors, all in registers. With few of them, several sums run side by side,
// since an addition takes longer to finish than to start. `resumes` says that the sums go on from `out`.
template <class T, int M, int N>
__attribute__((noinline)) void block(const Left<T>& left, long first_row, const T* w, const Column<T>* column,
                                     const long* offset, bool resumes, Soon<T> soon) {
    constexpr int kChains = M * N >= 8 ? 1 : M * N >= 4 ? 2 : M * N >= 2 ? 4 : 8;
    constexpr int kL = kLanes<T>;
    Vec<T> sum[kChains][M][N];
    ELMAN_UNROLL
    for (int v = 0; v < N; ++v) {
        const T* start = resumes ? column[v].out : column[v].start;
        const long moves = resumes || column[v].moves;
        ELMAN_UNROLL
        for (int m = 0; m < M; ++m) {
            sum[0][m][v] = load(start + moves * offset[m]);
            ELMAN_UNROLL
            for (int u = 1; u < kChains; ++u) sum[u][m][v] = Vec<T>{};
        }
    }
    for (int s = 0; s < left.segments; ++s) {
        const T* a = left.data + first_row * left.row + s * left.segment;
        const long row = left.row;
        for (long remaining = left.units; remaining > 0; remaining -= kL, a += left.panel) {
            const int lanes = int(remaining < kL ? remaining : kL);
            int k = 0;
            for (; k + kChains <= lanes; k += kChains) {
                ELMAN_UNROLL
                for (int u = 0; u < kChains; ++u) {
                    if constexpr (M >= 4) {  // fewer rows wait for their loads as it is
                        __builtin_prefetch(soon.share, 0, 2);
                        soon.share += soon.pace;
                    }
                    Vec<T> b[N];
                    ELMAN_UNROLL
                    for (int v = 0; v < N; ++v) b[v] = load(w + v * kL);
                    w += N * kL;
                    ELMAN_UNROLL
                    for (int m = 0; m < M; ++m) {
                        const Vec<T> x = splat(a[m * row + k + u]);
                        ELMAN_UNROLL
                        for (int v = 0; v < N; ++v) sum[u][m][v] += x * b[v];
                    }
                }
            }
            for (; k < lanes; ++k, w += N * kL) {
                ELMAN_UNROLL
                for (int m = 0; m < M; ++m) {
                    const Vec<T> x = splat(a[m * row + k]);
                    ELMAN_UNROLL
                    for (int v = 0; v < N; ++v) sum[0][m][v] += x * load(w + v * kL);
                }
            }
        }
    }
    ELMAN_UNROLL
    for (int m = 0; m < M; ++m) {
        ELMAN_UNROLL
        for (int v = 0; v < N; ++v) {
            ELMAN_UNROLL
            for (int u = 1; u < kChains; ++u) sum[0][m][v] += sum[u][m][v];
            store(column[v].out + offset[m], sum[0][m][v]);
        }
    }
}

template <class T, int N, int M>
ELMAN_INLINE void block_of(int rows, const Left<T>& left, long first_row, const T* w, const Column<T>* column,
                           const long* offset, bool resumes, Soon<T> soon) {
    if constexpr (M > 0) {
        if (rows == M) return block<T, M, N>(left, first_row, w, column, offset, resumes, soon);
        block_of<T, N, M - 1>(rows, left, first_row, w, column, offset, resumes, soon);
    }
}

// All rows by one group of columns, in row blocks as equal as they can be.
template <class T, int N>
void row_blocks(const Left<T>& left, long rows, const T* w, const Column<T>* column, const long* offset, bool resumes) {
    const long blocks = (rows + kBlockRows - 1) / kBlockRows;
    const long size = left.units * left.segments * N * kLanes<T>;
    Soon<T> soon{w + size, N * kLanes<T> / blocks};
    long done = 0;
    for (long i = 0; i < blocks; ++i, soon.share += size / blocks) {
        const int count = int(rows / blocks + (i < rows % blocks));
        block_of<T, N, kBlockRows>(count, left, done, w, column, offset + done, resumes, soon);
        done += count;
    }
}

// Where many blocks of rows read a group's weights, they go through them a part at a time that stays in the
// first cache.
template <class T, int N>
void group(const Left<T>& left, long rows, const T* w, const Column<T>* column, const long* offset) {
    constexpr long kPart = kCachedBytes / (kWidth * kVectorBytes) / kLanes<T> * kLanes<T>;
    if (rows <= 2 * kBlockRows || left.units * left.segments <= kPart * 3 / 2)
        return row_blocks<T, N>(left, rows, w, column, offset, false);
    bool resumes = false;
    for (int s = 0; s < left.segments; ++s)
        for (long k = 0, here; k < left.units; k += here, resumes = true) {
            here = min_of<long>(kPart, left.units - k);
            const Left<T> part{
                left.data + s * left.segment + k / kLanes<T> * left.panel, left.row, left.panel, 0, here, 1};
            row_blocks<T, N>(part, rows, w, column, offset, resumes);
            w += here * N * kLanes<T>;
        }
}

// Calls f(first, width) for groups of at most kWidth columns, as equal as they can be.
template <class F>
ELMAN_INLINE void each_group(long columns, F f) {
    const long groups = (columns + kWidth - 1) / kWidth;
    for (long i = 0, first = 0, width; i < groups; ++i, first += width) {
        width = columns / groups + (i < columns % groups);
        f(first, width);
    }
}

template <class T, int N>
ELMAN_INLINE void group_of(long width, const Left<T>& left, long rows, const T* w, const Column<T>* column,
                           const long* offset) {
    if constexpr (N > 0) {
        if (width == N) return group<T, N>(left, rows, w, column, offset);
        group_of<T, N - 1>(width, left, rows, w, column, offset);
    }
}

// rows x columns: column[v].out[offset[r]] = start + left[r] . w. Columns were packed group by group.
template <class T>
void product(const Left<T>& left, long rows, const T* w, long columns, const Column<T>* column, const long* offset) {
    if (rows <= 0) return;
    const long depth = left.units * left.segments;
    each_group(columns, [&](long first, long width) {
        group_of<T, kWidth>(width, left, rows, w + first * depth * kLanes<T>, column + first, offset);
    });
}

// Rows of two panelled matrices, step by step: what a gradient of weights sums over.
template <class T>
struct Run {
    const T *a, *b;
    long a_panel, b_panel, rows;
};

template <class T>
constexpr int kOuterRows = kLanes<T> < 8 ? kLanes<T> : (kBlockRows == 9 ? 8 : 4);
constexpr int kOuterWidth = 3;

// A matrix in plain rows that are added to: null where nobody wants it.
template <class T>
struct Target {
    T* data;
    long row;
};

// out[m][v] += sum over rows of a[row][m] b[row][v], for M units and N panels, of the last the first `lanes`.
template <class T, int N>
__attribute__((noinline)) void outer_block(const Run<T>* run, long runs, long a_panel, int lane, long b_panel, T* out,
                                           long out_row, int units, int lanes) {
    constexpr int M = kOuterRows<T>, kL = kLanes<T>;
    Vec<T> sum[M][N];
    ELMAN_UNROLL
    for (int m = 0; m < M; ++m) {
        ELMAN_UNROLL
        for (int v = 0; v < N; ++v) sum[m][v] = Vec<T>{};
    }
    for (long i = 0; i < runs; ++i) {
        const T* a = run[i].a + a_panel * run[i].a_panel + lane;
        const T* b = run[i].b + b_panel * run[i].b_panel;
        const long next = run[i].b_panel;
        for (long r = 0; r < run[i].rows; ++r, a += kL, b += kL) {
            Vec<T> y[N];
            ELMAN_UNROLL
            for (int v = 0; v < N; ++v) y[v] = load(b + v * next);
            ELMAN_UNROLL
            for (int m = 0; m < M; ++m) {
                const Vec<T> x = splat(a[m]);
                ELMAN_UNROLL
                for (int v = 0; v < N; ++v) sum[m][v] += x * y[v];
            }
        }
    }
    ELMAN_UNROLL
    for (int m = 0; m < M; ++m)
        if (m < units) {
            ELMAN_UNROLL
            for (int v = 0; v < N; ++v) {
                T* to = out + m * out_row + v * kL;
                const int here = v < N - 1 ? kL : lanes;
                store_some(to, load_some(to, here) + sum[m][v], here);
            }
        }
}

// target(i) += a^T b for each segment i of `units` in the panels [first, last) of a.
template <class T, class F>
void outer(const Run<T>* run, long runs, long first, long last, long units, long b_units, F target) {
    const long panels = panels_of<T>(units), columns = panels_of<T>(b_units);
    for (long v = 0; v < columns; v += kOuterWidth)
        for (long p = first; p < last; ++p) {
            const Target<T> out = target(p / panels);
            const long row = p % panels * kLanes<T>, here = min_of<long>(kLanes<T>, units - row);
            const long width = min_of<long>(kOuterWidth, columns - v);
            const int lanes = int(min_of<long>(kLanes<T>, b_units - (v + width - 1) * kLanes<T>));
            for (int lane = 0; out.data && lane < here; lane += kOuterRows<T>) {
                T* to = out.data + (row + lane) * out.row + v * kLanes<T>;
                const int m = int(min_of<long>(kOuterRows<T>, here - lane));
                switch (width) {
                    case 1: outer_block<T, 1>(run, runs, p, lane, v, to, out.row, m, lanes); break;
                    case 2: outer_block<T, 2>(run, runs, p, lane, v, to, out.row, m, lanes); break;
                    case 3: outer_block<T, 3>(run, runs, p, lane, v, to, out.row, m, lanes); break;
                }
            }
        }
}

}  // namespace
}  // namespace elman
