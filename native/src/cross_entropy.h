// A linear map and the cross-entropy of its outputs, without ever holding all of the logits.
//
// The outputs are divided among the threads, and each thread's share into tiles that stay in the cache;
// the rows go by in blocks. Logits lie as [output][row], so that the weights are read where they are, the
// softmax runs along vectors of rows, and only the few rows of h are packed. A block's gradient needs the
// sum over all outputs: a tile keeps exp(logit - reference) until the next round, which turns it into the
// gradient, uses it up, and puts the next block's in its place while the tile's weights are in the cache.
#pragma once

#include "functions.h"
#include "scan.h"

namespace elman {
namespace {

constexpr long kTileOutputs = 96;
constexpr long kLogitRows = 96;  // at least, where gradients are wanted: with few, sums are stored too often
constexpr long kLossRows = 192;  // where only the loss is

// A product whose factors are read where they lie: out[m][v] = start[m][v] + sum over k of a[m][k] b[k][v].
template <class T>
struct Map {
    const T* a;
    long a_stride;  // between its rows; where they are the inner dimension, between its columns
    const T* b;
    long b_row, depth;
    const T* start;
    long start_row, start_column;
    T* out;
    long out_row;
    const T* soon;  // what is needed next is fetched on the way, so much for each k
    long soon_step;
};

constexpr int kMapColumns = 3, kMapRows = kVectorBytes == 64 ? 8 : 4;  // these divide a vector's lanes

template <class T, int M, int N, bool kInner>
__attribute__((noinline)) void map_block(const Map<T>& map, const T* a, const T* start, T* out, const T* soon) {
    constexpr int kL = kLanes<T>;
    const long stride = map.a_stride, b_row = map.b_row, soon_step = map.soon_step;
    const T* b = map.b;
    Vec<T> sum[M][N];
    ELMAN_UNROLL
    for (int m = 0; m < M; ++m) {
        ELMAN_UNROLL
        for (int v = 0; v < N; ++v) sum[m][v] = load(start + m * map.start_row + v * map.start_column);
    }
    ELMAN_UNROLL_TWICE
    for (long k = 0; k < map.depth; ++k, a += kInner ? stride : 1, b += b_row) {
        Vec<T> y[N];
        __builtin_prefetch(soon, 0, 2);
        soon += soon_step;
        ELMAN_UNROLL
        for (int v = 0; v < N; ++v) y[v] = load(b + v * kL);
        ELMAN_UNROLL
        for (int m = 0; m < M; ++m) {
            const Vec<T> x = splat(a[kInner ? m : m * stride]);
            ELMAN_UNROLL
            for (int v = 0; v < N; ++v) sum[m][v] += x * y[v];
        }
    }
    ELMAN_UNROLL
    for (int m = 0; m < M; ++m) {
        ELMAN_UNROLL
        for (int v = 0; v < N; ++v) store(out + m * map.out_row + v * kL, sum[m][v]);
    }
}

template <class T, int M, int N, bool kInner>
ELMAN_INLINE void map_rows(const Map<T>& map, long rows) {
    const long step = kInner ? 1 : map.a_stride;
    Map<T> at = map;
    for (; rows >= M; rows -= M) {
        map_block<T, M, N, kInner>(map, at.a, at.start, at.out, at.soon);
        at.a += M * step, at.start += M * at.start_row, at.out += M * at.out_row, at.soon += at.depth * at.soon_step;
    }
    if constexpr (M > 1)
        if (rows) map_rows<T, M / 2, N, kInner>(at, rows);
}

template <class T, bool kInner = false>
void multiply(const Map<T>& map, long rows, long columns) {
    constexpr int M = kMapRows;
    switch (columns) {
        case 1: return map_rows<T, M, 1, kInner>(map, rows);
        case 2: return map_rows<T, M, 2, kInner>(map, rows);
        case 3: return map_rows<T, M, 3, kInner>(map, rows);
    }
}

// Columns in groups as equal as they can be.
struct Groups {
    long columns, count;
    explicit Groups(long columns_) : columns(columns_), count((columns_ + kMapColumns - 1) / kMapColumns) {}
    Share operator[](long i) const { return share_of(columns, int(i), int(count)); }
};

// One thread's view.
template <class T>
struct CrossEntropy {
    static constexpr long kL = kLanes<T>;

    const CrossEntropyJob& job;
    const CrossEntropyArguments& c;
    const int thread;
    const bool gradient;                    // of h, weight and bias
    const bool known;                       // the normalizer is given, so that nothing need be kept
    const int lag;                          // rounds between a block's logits and its gradient
    const long units, unit_panels, padded;  // of h
    const long most_rows, blocks;
    const Share tiles;  // of this thread
    const long whole;   // vectors of units
    const Groups unit_groups;
    const T *h, *weight, *bias;

    // Shared: factors of the block at hand, and what is known of its rows.
    T *columns, *rows, *picked, *scale, *normalizer;
    T *references[kMostThreads], *sums[kMostThreads], *totals[kMostThreads], *dh[kMostThreads];
    // Of the thread: tiles of logits with the reference of each, a tile's bias, what hangs over an edge.
    T *logits, *reference, *bias_tile, *over, *last_weights;
    size_t shared_used, own_used;
    unsigned waits = 0;

    static long rows_of(const CrossEntropyArguments& c) {
        const long wanted = !c.dweight && !c.dh ? kLossRows : c.inputs / 2 > kLogitRows ? c.inputs / 2 : kLogitRows;
        const long panels = panels_of<T>(c.rows), most = (wanted + kL - 1) / kL;
        const long blocks = (panels + most - 1) / most;
        return (panels + blocks - 1) / blocks * kL;
    }

    CrossEntropy(const CrossEntropyJob& j, int thread_, Scratch shared, Scratch own)
        : job(j), c(*j.call), thread(thread_), gradient(c.dh || c.dweight || c.dbias), known(c.scale && !c.loss),
          lag(gradient && !known), units(c.inputs), unit_panels(panels_of<T>(units)), padded(unit_panels * kL),
          most_rows(rows_of(c)), blocks((c.rows + most_rows - 1) / most_rows),
          tiles(share_of(tile_count(), thread, j.threads)), whole(units / kL), unit_groups(whole),
          h(static_cast<const T*>(c.h)), weight(static_cast<const T*>(c.weight)), bias(static_cast<const T*>(c.bias)) {
        columns = shared.take<T>(most_rows * units);
        rows = shared.take<T>(gradient ? most_rows * padded : 0);
        picked = shared.take<T>(most_rows), scale = shared.take<T>(most_rows), normalizer = shared.take<T>(most_rows);
        for (int i = 0; i < job.threads; ++i) {
            references[i] = shared.take<T>(most_rows), sums[i] = shared.take<T>(most_rows);
            totals[i] = shared.take<T>(most_rows);
            dh[i] = shared.take<T>(gradient ? most_rows * padded : 0);
        }
        const long kept = lag ? tiles.last - tiles.first : 1;
        logits = own.take<T>(kept * kTileOutputs * most_rows), reference = own.take<T>(kept * most_rows);
        bias_tile = own.take<T>(kTileOutputs * kL);
        over = own.take<T>(kTileOutputs * kL), last_weights = own.take<T>(kTileOutputs * units + kL);
        shared_used = shared.used(), own_used = own.used();
    }

    long tile_count() const {
        const long each = kTileOutputs * job.threads;
        return (c.outputs + each - 1) / each * job.threads;
    }

    Share outputs_of(long tile) const {  // whole blocks of a product but for the last
        const Share blocks_of = share_of((c.outputs + kMapRows - 1) / kMapRows, int(tile), int(tile_count()));
        return {min_of(long(c.outputs), blocks_of.first * kMapRows),
                min_of(long(c.outputs), blocks_of.last * kMapRows)};
    }

    Share rows_in(long block) const { return {block * most_rows, min_of<long>(c.rows, (block + 1) * most_rows)}; }
    T* logits_of(long tile) const { return logits + (lag ? tile - tiles.first : 0) * kTileOutputs * most_rows; }
    T* reference_of(long tile) const { return reference + (lag ? tile - tiles.first : 0) * most_rows; }
    bool ignored(long row) const { return c.target[row] == c.ignore; }

    void run() {
        if (thread == 0) zero(scale, most_rows), zero(normalizer, most_rows);  // of rows that fill a vector up
        wait();
        prepare(0);
        wait();
        for (long round = 0; round < blocks + lag; ++round) {
            start();
            for (long tile = tiles.first; tile < tiles.last; ++tile) {
                if (lag && round > 0) backward(tile, round - 1);
                if (round < blocks) forward(tile, round);
                if (gradient && !lag) backward(tile, round);
            }
            wait();
            if (!known && round < blocks) finish_loss(round);
            if (gradient && round >= lag) finish_dh(round - lag);
            if (round + 1 < blocks + lag) prepare(round + 1);
            wait();
        }
    }

    void wait() { wait_for_all(job.signals, job.threads, thread, ++waits); }

    // Before a round, this thread's share of what all of them read: both factors made from h.
    void prepare(long round) {
        if (round < blocks) pack_columns(rows_in(round));
        const long block = round - lag;
        if (!gradient || block < 0) return;
        const Share at = rows_in(block), mine = share_of(unit_groups.count + 1, thread, job.threads);
        for (long g = mine.first; g < mine.last; ++g) {
            const Share group = g < unit_groups.count ? unit_groups[g] : Share{whole, unit_panels};
            pack_rows(h + at.first * units, units, at.last - at.first, units, group.first * kL,
                      rows + group.first * kL * most_rows, int(group.last - group.first));
        }
        if (known && thread == 0)
            for (long r = at.first; r < at.last; ++r) {
                normalizer[r - at.first] = static_cast<const T*>(c.normalizer)[r];
                scale[r - at.first] = scale_of(r);
            }
    }

    T scale_of(long row) const { return ignored(row) ? T(0) : static_cast<const T*>(c.scale)[row]; }

    void pack_columns(Share at) const {
        const long panels = panels_of<T>(at.last - at.first);
        const Groups groups(panels);
        const Share mine = share_of(groups.count, thread, job.threads);
        for (long g = mine.first; g < mine.last; ++g) {
            const Share group = groups[g];
            for (long p = group.first; p < group.last; ++p)
                pack_column(h + (at.first + p * kL) * units, units, units,
                            min_of<long>(kL, at.last - at.first - p * kL), columns + group.first * kL * units,
                            int(p - group.first), int(group.last - group.first));
        }
    }

    void start() {
        for (long r = 0; r < most_rows; ++r)
            references[thread][r] = -kLargest, sums[thread][r] = 0, totals[thread][r] = 0;
        if (gradient) zero(dh[thread], most_rows * padded);
    }

    static constexpr T kLargest = sizeof(T) == 4 ? T(3.4028234663852886e38) : T(1.7976931348623157e308);

    // ---- logits, and their exponentials ----

    void forward(long tile, long block) {
        static const T zeros[kL] = {};
        const Share at = outputs_of(tile), in = rows_in(block);
        const long n = at.last - at.first, count = in.last - in.first, panels = panels_of<T>(count);
        T* z = logits_of(tile);
        for (long v = 0; bias && v < n; ++v) store(bias_tile + v * kL, splat(bias[at.first + v]));
        const Groups groups(panels);
        const long step = (kMapRows + groups.count - 1) / groups.count, part = n / kMapRows * units * step;
        for (long i = 0; i < groups.count; ++i) {
            const Share group = groups[i];
            const long width = group.last - group.first;
            multiply<T>({weight + at.first * units, units, columns + group.first * kL * units, width * kL, units,
                         bias ? bias_tile : zeros, bias ? kL : 0, 0, z + group.first * kL, most_rows,
                         weight + at.last * units + i * part, step},
                        n, width);
        }
        if (known) {
            memcpy(reference_of(tile), normalizer, size_t(count) * sizeof(T));
            for (long p = 0; p < panels; ++p) exponentials(z + p * kL, n, load(normalizer + p * kL));
            return;
        }
        for (long r = 0; r < count; ++r) {
            const long wanted = c.target[in.first + r] - at.first;
            if (wanted >= 0 && wanted < n) picked[r] = z[wanted * most_rows + r];
        }
        for (long p = 0; p < panels; ++p) add_up(z + p * kL, n, p * kL, reference_of(tile));
    }

    // The running maximum and the sum of exponentials relative to it, for a vector of rows.
    void add_up(T* z, long n, long row, T* reference_here) {
        T *reference_at = references[thread] + row, *sum_at = sums[thread] + row;
        const Vec<T> before = load(reference_at);
        Vec<T> largest = before, total{};
        for (long v = 0; v < n; ++v) {
            const Vec<T> x = load(z + v * most_rows);
            largest = select<T>(x > largest, x, largest);
            total += x;
        }
        const Vec<T> sum = exponentials(z, n, largest);
        store(totals[thread] + row, load(totals[thread] + row) + total);
        store(sum_at, load(sum_at) * exp<T>(before - largest) + sum);
        store(reference_at, largest);
        store(reference_here + row, largest);
    }

    // z becomes exp(z - reference); their sum.
    ELMAN_INLINE Vec<T> exponentials(T* z, long n, Vec<T> at) const {
        Vec<T> sum{};
        for (T* end = z + n * most_rows; z < end; z += most_rows) {
            const Vec<T> e = exp<T>(load(z) - at);
            store(z, e);
            sum += e;
        }
        return sum;
    }

    // ---- gradients ----

    void backward(long tile, long block) {
        const Share at = outputs_of(tile), in = rows_in(block);
        const long n = at.last - at.first, count = in.last - in.first, panels = panels_of<T>(count);
        T* g = logits_of(tile);
        for (long p = 0; p < panels; ++p)
            differentiate(g + p * kL, n, load(scale + p * kL),
                          load(reference_of(tile) + p * kL) - load(normalizer + p * kL));
        for (long r = 0; r < count; ++r) {
            const long wanted = c.target[in.first + r] - at.first;
            if (wanted >= 0 && wanted < n) g[wanted * most_rows + r] -= T(1 - c.smoothing) * scale[r];
        }
        if (c.dh) add_dh(g, at, panels);
        if (c.dweight) add_dweight(g, at, count, block == 0);
        if (c.dbias) add_dbias(g, at, count, block == 0);
    }

    // From exp(z - reference) to the gradient without the target's part. Probabilities that cannot matter
    // become 0: their products would be subnormal numbers, which take the processor a hundred times as long.
    ELMAN_INLINE void differentiate(T* g, long n, Vec<T> by, Vec<T> reference_less_normalizer) const {
        constexpr T kSmall = sizeof(T) == 4 ? T(1e-30) : T(1e-290);
        const Vec<T> factor = exp<T>(reference_less_normalizer), least = kSmall / factor;
        const Vec<T> by_factor = by * factor, less = by * T(c.smoothing / double(c.outputs));
        for (T* end = g + n * most_rows; g < end; g += most_rows) {
            const Vec<T> e = load(g);
            store(g, select<T>(e < least, Vec<T>{}, e) * by_factor - less);
        }
    }

    void add_dh(const T* g, Share at, long panels) {
        const long n = at.last - at.first;
        const T* w = weight + at.first * units;
        if ((at.last - 1) * units + padded > c.outputs * units) {  // its last vector would end beyond the weight
            memcpy(last_weights, w, size_t(n * units) * sizeof(T));
            w = last_weights;
        }
        const Groups groups(unit_panels);
        const T* soon = c.dweight ? static_cast<T*>(c.dweight) + at.first * units : w;
        const long blocks_of = (panels * kL + kMapRows - 1) / kMapRows,
                   step = (units + groups.count * blocks_of - 1) / (groups.count * blocks_of);
        const long part = blocks_of * n * step;
        for (long i = 0; i < groups.count; ++i) {
            const Share group = groups[i];
            T* to = dh[thread] + group.first * kL;
            multiply<T, true>(
                {g, most_rows, w + group.first * kL, units, n, to, padded, kL, to, padded, soon + i * part, step},
                panels * kL, group.last - group.first);
        }
    }

    void add_dweight(const T* g, Share at, long count, bool first) {
        static const T zeros[kL] = {};
        const long n = at.last - at.first, rest = units - whole * kL;
        T* dweight = static_cast<T*>(c.dweight) + at.first * units;
        for (long i = 0; i < unit_groups.count; ++i) {
            const Share group = unit_groups[i];
            const long width = group.last - group.first;
            T* to = dweight + group.first * kL;
            multiply<T>({g, most_rows, rows + group.first * kL * most_rows, width * kL, count, first ? zeros : to,
                         first ? 0 : units, first ? 0 : kL, to, units, to, 0},
                        n, width);
        }
        if (!rest) return;
        multiply<T>({g, most_rows, rows + whole * kL * most_rows, kL, count, zeros, 0, 0, over, kL, over, 0}, n, 1);
        for (long v = 0; v < n; ++v)
            for (long k = 0; k < rest; ++k) {
                T& to = dweight[v * units + whole * kL + k];
                to = first ? over[v * kL + k] : to + over[v * kL + k];
            }
    }

    void add_dbias(const T* g, Share at, long count, bool first) {
        const long n = at.last - at.first, panels = panels_of<T>(count);
        const int rest = int(count - (panels - 1) * kL);
        T square[kL * kL], turned[kL * kL];
        for (long v = 0; v < n; v += kL) {
            const int here = int(min_of<long>(kL, n - v));
            for (int i = 0; i < kL; ++i) {
                Vec<T> sum{};
                for (long p = 0; i < here && p < panels; ++p) {
                    const Vec<T> x = load(g + (v + i) * most_rows + p * kL);
                    sum += p + 1 < panels ? x : keep_some<T>(x, rest);
                }
                store(square + i * kL, sum);
            }
            transpose(square, kL, kL, kL, turned, kL);
            Vec<T> sum{};
            for (int i = 0; i < kL; ++i) sum += load(turned + i * kL);
            T* to = static_cast<T*>(c.dbias) + at.first + v;
            store_some(to, first ? sum : sum + load_some(to, here), here);
        }
    }

    // ---- after a round, this thread's share of the rows ----

    void finish_loss(long block) {
        const Share in = rows_in(block), mine = share_of(in.last - in.first, thread, job.threads);
        for (long r = mine.first; r < mine.last; ++r) {
            T largest = -kLargest, sum = 0, total = 0;
            for (int i = 0; i < job.threads; ++i) largest = references[i][r] > largest ? references[i][r] : largest;
            for (int i = 0; i < job.threads; ++i) {
                sum += sums[i][r] * T(::exp(double(references[i][r] - largest)));
                total += totals[i][r];
            }
            const long row = in.first + r;
            const T log_sum = T(::log(double(sum)));
            normalizer[r] = largest + log_sum;
            static_cast<T*>(c.normalizer)[row] = normalizer[r];
            // An output that is ruled out, at minus infinity, counts only where the target is spread.
            const T even = c.smoothing != 0 ? T(c.smoothing / double(c.outputs)) * total : T(0);
            const T expected = T(1 - c.smoothing) * picked[r] + even;
            // In this order, so that a loss near 0 keeps its digits.
            static_cast<T*>(c.loss)[row] = ignored(row) ? T(0) : log_sum + (largest - expected);
            if (gradient) scale[r] = scale_of(row);
        }
    }

    void finish_dh(long block) {
        if (!c.dh) return;
        const Share in = rows_in(block), mine = share_of(in.last - in.first, thread, job.threads);
        for (long r = mine.first; r < mine.last; ++r)
            for (long k = 0; k < units; k += kL) {
                Vec<T> sum = load(dh[0] + r * padded + k);
                for (int i = 1; i < job.threads; ++i) sum += load(dh[i] + r * padded + k);
                store_some(static_cast<T*>(c.dh) + (in.first + r) * units + k, sum, int(min_of<long>(kL, units - k)));
            }
    }
};

}  // namespace
}  // namespace elman
