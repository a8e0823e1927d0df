// What the forward and the backward scan share: geometry, scratch memory, waiting for each other,
// states before a step, and running a routine over tiles.
#pragma once

#include <sched.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "interpreter.h"
#include "pack.h"
#include "plan.h"

namespace elman {
namespace {

constexpr long kTileBytes = 2048;  // of one operand of the interpreter, at most
constexpr int kMostOperands = 256;

// Hands out aligned pieces of one block; from a null block it only counts.
class Scratch {
  public:
    explicit Scratch(char* base) : base_(base) {}
    template <class T>
    T* take(long count) {
        char* piece = base_ ? base_ + used_ : nullptr;
        const size_t bytes = size_t(count) * sizeof(T), space = (bytes + 127) / 64 * 64;
        used_ += space;
#if defined(__SANITIZE_ADDRESS__)
        if (piece) __asan_poison_memory_region(piece + bytes, space - bytes);
#endif
        return reinterpret_cast<T*>(piece);
    }
    size_t used() const { return used_; }

  private:
    char* base_;
    size_t used_ = 0;
};

// In round r every thread signals the one 2^r after it, so that after the last all know of all: with two
// threads, a store each. (D. Hensgen, R. Finkel and U. Manber, "Two algorithms for barrier
// synchronization", International Journal of Parallel Programming 17, 1988.)
inline void wait_for_all(Signals* signals, int threads, int thread, unsigned time) {
    for (int round = 0, far = 1; far < threads; ++round, far *= 2) {
        __atomic_store_n(&signals[(thread + far) % threads].sent[round], time, __ATOMIC_RELEASE);
        const unsigned* sent = &signals[thread].sent[round];
        for (int spins = 0; int(time - __atomic_load_n(sent, __ATOMIC_ACQUIRE)) > 0;)
            ++spins < 2000 ? relax() : (void)sched_yield();
    }
}

template <class T>
void zero(T* p, long count) {
    if (count > 0) memset(p, 0, size_t(count) * sizeof(T));
}

struct Share {
    long first, last;
    bool has(long i) const { return first <= i && i < last; }
};

// Arrays of a step, each [panel][row][lane]: `plane` apart, but the first may lie elsewhere.
template <class T>
struct Planes {
    T *first = nullptr, *others = nullptr;
    long plane = 0;
    Planes() = default;
    Planes(T* base, long apart) : first(base), others(base + apart), plane(apart) {}
    Planes(T* first_, T* others_, long apart) : first(first_), others(others_), plane(apart) {}
    T* at(long i) const { return i ? others + (i - 1) * plane : first; }
};

inline Share share_of(long count, int part, int parts) { return {count * part / parts, count * (part + 1) / parts}; }

// Panels per tile: where they can, whole groups of the micro-kernel's columns.
struct Tiling {
    long panels, tiles;
};

template <class T>
Tiling tile(long panels, long gates, long rows, int team_size) {
    Tiling t;
    const long align = gates % kWidth ? kWidth : 1;
    const long vectors = kTileBytes / 2 / kVectorBytes;
    const long wanted = ((vectors + rows - 1) / rows + align - 1) / align * align;
    const long most = (panels + team_size - 1) / team_size;
    t.panels = wanted < most ? wanted : most;
    t.tiles = (panels + t.panels - 1) / t.panels;
    return t;
}

// One thread's view of a scan.
template <class T>
struct Scan {
    const Job& job;
    const ScanArguments& scan;
    const int thread, member;  // of all; of its team
    const Rows& rows;
    const long units, panels, padded, count;  // count: rows of the team
    const int tail;                           // lanes of the last panel
    const bool reset;

    // Shared by the team unless it says otherwise.
    T *initial, *fresh;         // [state][panel][row][lane]
    T *packed_units, *scalars;  // of everyone: the program's own parameters
    T *wide, *row_sums, *products;
    unsigned waits = 0;              // of the thread; a stream may wrap around
    T *temporaries, *row_registers;  // of the thread
    long* offset;                    // of the thread: i * lanes
    Column<T>* column;               // of the thread
    Tiling tiling;
    size_t shared_used = 0, own_used = 0;
    Share tiles;  // of this thread

    Scan(const Job& j, int thread_, long gates)
        : job(j), scan(*j.scan), thread(thread_), member(j.teams == 1 ? thread_ : 0),
          rows(j.team[j.teams == 1 ? 0 : thread_]), units(scan.units), panels(panels_of<T>(units)),
          padded(panels * kLanes<T>), count(rows.count), tail(int(units - (panels - 1) * kLanes<T>)),
          reset(scan.reset != nullptr), tiling(tile<T>(panels, gates, j.most_rows, j.team_size)),
          tiles(share_of(tiling.tiles, member, j.team_size)) {}

    const elman_routine& program() const { return scan.program; }

    // Where a block of a matrix begins; its rows are row_of(block) apart.
    T* block(int i, const void* const* matrices) const {
        const elman_block& b = scan.block[i];
        T* matrix = static_cast<T*>(const_cast<void*>(matrices[b.matrix]));
        return matrix ? matrix + units * (b.row * row_of(i) + b.column) : nullptr;
    }

    long row_of(int i) const { return scan.block[i].columns * units; }

    bool mine(int team) const { return job.teams == 1 || team == thread; }

    void take_common(Scratch& s) {
        packed_units = s.take<T>(scan.slots * padded);
        scalars = s.take<T>(scan.slots + 1);
    }

    // `most_products`: of which every unit is kept until the end of the step.
    void take_team(Scratch& s, int team, long most_products) {
        const Rows& of = job.team[team];
        const long plane = padded * of.count;
        T* a = s.take<T>(scan.states * plane);
        T* b = s.take<T>(reset ? scan.states * plane : 0);
        T* c = s.take<T>(program().wides * plane);
        T* d = s.take<T>(long(job.team_size) * program().rows * of.count * kLanes<T>);
        T* e = s.take<T>(most_products * plane);
        if (mine(team)) initial = a, fresh = b, wide = c, row_sums = d, products = e;
    }

    // `most_gates`: that are multiplied at once.
    void take_own(Scratch& s, long most_gates) {
        temporaries = s.take<T>(program().temporaries * tile_capacity());
        row_registers = s.take<T>(program().rows * row_capacity());
        offset = s.take<long>(chunk_capacity());
        column = s.take<Column<T>>(tiling.panels * most_gates + kWidth);
    }

    void start_own() {
        for (long i = 0; i < chunk_capacity(); ++i) offset[i] = i * kLanes<T>;
    }

    long tile_capacity() const { return kTileBytes / long(sizeof(T)); }
    long row_capacity() const { return (job.most_rows + kLanes<T> - 1) / kLanes<T> * kLanes<T>; }
    long chunk_capacity() const { return job.most_rows > job.chunk_rows ? job.most_rows : job.chunk_rows; }
    long chunk_steps(long n) const { return n < job.chunk_rows ? job.chunk_rows / (n > 0 ? n : 1) : 1; }

    void wait_all() { wait_for_all(job.signals, job.threads, thread, ++waits); }

    // Whether units depend on each other within a step: by a product, or a sum over all of them. A step of a cell that
    // is elementwise in its state needs no barrier: each thread takes its units through a chunk of steps.
    bool units_meet(bool multiplies) const { return multiplies || program().rows > 0; }

    // A team is one thread, or all of them.
    void wait_team() {
        if (job.team_size > 1) wait_all();
    }

    // Before the first barrier: what this thread packs for the others.
    void pack_parameters() {
        for (long i = thread; i < scan.slots; i += job.threads) {
            const T* p = static_cast<const T*>(scan.parameter[i]);
            if (scan.parameter_is_scalar[i]) scalars[i] = *p;
            else gather_row(p, packed_units + i * padded, units, kLanes<T>);
        }
    }

    void start_team() {
        gather_states(scan.initial, initial);
        if (reset) gather_states(scan.fresh, fresh);
    }

    // Rows of the team of each state's (batch, units); this thread's share of the rows.
    void gather_states(const void* const* from, T* to) {
        const Share mine = share_of(count, member, job.team_size);
        for (int s = 0; s < scan.states; ++s)
            for (long b = mine.first; b < mine.last; ++b) {
                T* row = to + s * padded * count + b * kLanes<T>;
                const T* state = static_cast<const T*>(from[s]);
                if (state) gather_row(state + rows.row[b] * units, row, units, count * kLanes<T>);
                else
                    for (long p = 0; p < panels; ++p) store(row + p * count * kLanes<T>, Vec<T>{});
            }
    }

    // Where row b's step t of the scan lies in time.
    long time(long b, long t) const { return scan.reverse ? rows.length[b] - 1 - t : t; }

    T* at(const Sequence& s, long b, long t) const {
        return static_cast<T*>(s.data) + rows.row[b] * s.row + time(b, t) * s.step;
    }

    // Whether row b starts step t anew. A reversed segment ends where the forward one begins.
    bool restarts(long b, long t) const {
        if (!reset || (scan.reverse && t == 0)) return false;
        const long when = time(b, t) + scan.reverse;
        return scan.reset[rows.row[b] * scan.reset_row + when * scan.reset_step] != 0;
    }

    bool any_restarts(long t) const {
        for (long b = 0; reset && b < rows.active[t]; ++b)
            if (restarts(b, t)) return true;
        return false;
    }

    // Before step t, the rows active in it: either where they are, or moved together and restarted.
    bool must_move(long t) const {
        const long before = t ? rows.active[t - 1] : count;
        return before != rows.active[t] || any_restarts(t);
    }

    long panel_first() const { return tiles.first * tiling.panels; }
    long panel_last() const { return min_of(panels, tiles.last * tiling.panels); }

    // from: the states of `had` rows; to: of the rows of step t.
    void move_states(const Planes<T>& from, long had, const Planes<T>& to, long t) const {
        const long n = rows.active[t], kL = kLanes<T>;
        const Planes<T> restarted(fresh, padded * count);
        for (long b = 0; b < n; ++b) {
            const bool anew = restarts(b, t);
            const Planes<T>& source = anew ? restarted : from;
            const long pitch = anew ? count : had;
            for (int s = 0; s < scan.states; ++s)
                for (long p = panel_first(); p < panel_last(); ++p)
                    store(to.at(s) + (p * n + b) * kL, load(source.at(s) + (p * pitch + b) * kL));
        }
    }

    // The record of step t: states but the first, which is the output; then saved values; each [panel][row][lane].
    T* record(long t) const {
        const long planes = scan.states - 1 + scan.saved;
        return static_cast<T*>(scan.record) + kRecordHeader + planes * padded * (rows.offset + rows.before[t]) +
               job.record_gap * (scan.steps * (job.teams == 1 ? 0 : thread) + t);
    }

    // What step t saved.
    T* saved(long t) const { return record(t) + (scan.states - 1) * padded * rows.active[t]; }

    using Bank = Planes<T>;

    static constexpr int kBanks = ELMAN_WATCHED_COTANGENT + 1;

    void set_common_banks(Bank* bank, long plane) const {
        bank[ELMAN_TEMPORARY] = {temporaries, tile_capacity()};
        bank[ELMAN_ROW] = {row_registers, row_capacity()};
        bank[ELMAN_WIDE] = {wide, plane};
        bank[ELMAN_PRODUCT] = {products, plane};
    }

    long panels_in(long tile) const { return min_of(panels, (tile + 1) * tiling.panels) - tile * tiling.panels; }

    // What comes before the tiles of a phase. Sums and products need all units of the phase before.
    void enter(int phase, bool multiplies, long n) {
        const bool sums = phase && has_row_sums(phase - 1);
        if (phase && (sums || multiplies)) wait_team();
        if (sums) finish_row_sums(phase - 1, n);
        row_phase(phase, n);
        clear_row_sums(phase, n);
    }

    void row_phase(int phase, long n) {
        const elman_routine& r = program();
        const long begin = phase ? r.ends[2 * phase - 1] : 0, end = r.ends[2 * phase];
        if (begin == end) return;
        T* pointer[kMostOperands];
        for (int i = 0; i < r.operands; ++i)
            pointer[i] =
                r.operand[i].bank == ELMAN_ROW ? row_registers + r.operand[i].index * row_capacity() : temporaries;
        const Range range{0, (n + kLanes<T> - 1) / kLanes<T>, n, 1, kLanes<T>};
        execute(r.instructions + begin, r.instructions + end, pointer, range, around(n, member == 0));
    }

    void tile_phase(int phase, const Bank* bank, long first_panel, long last_panel, long n) {
        const elman_routine& r = program();
        const long begin = r.ends[2 * phase], end = r.ends[2 * phase + 1];
        if (begin == end) return;
        const long vectors = (last_panel - first_panel) * n, most = tile_capacity() / kLanes<T>;
        const long parts = (vectors + most - 1) / most;
        for (long i = 0; i < parts; ++i) {
            const Share part = share_of(vectors, int(i), int(parts));
            const Range range{first_panel * n + part.first, part.last - part.first, n, panels, tail};
            T* pointer[kMostOperands];
            for (int o = 0; o < r.operands; ++o) {
                const Bank& b = bank[r.operand[o].bank];
                pointer[o] = b.at(r.operand[o].index);
                if (r.operand[o].bank != ELMAN_TEMPORARY && r.operand[o].bank != ELMAN_ROW)
                    pointer[o] += range.first * kLanes<T>;
            }
            execute(r.instructions + begin, r.instructions + end, pointer, range, around(n, true));
        }
    }

    T *unit_sums = nullptr, *scalar_sums = nullptr;  // of the backward

    Surroundings<T> around(long n, bool mine) const {
        return {packed_units,
                scalars,
                unit_sums,
                mine ? scalar_sums : nullptr,
                row_sums + long(member) * program().rows * count * kLanes<T>,
                padded,
                n * kLanes<T>};
    }

    // Before a phase's tiles: its sums start from zero, and what looks for the largest from the least.
    void clear_row_sums(int phase, long n) {
        each_row_sum(phase, [&](long slot, bool largest) {
            T* sums = row_sums + (long(member) * program().rows * count + slot * n) * kLanes<T>;
            for (long b = 0; b < n; ++b) store(sums + b * kLanes<T>, splat(largest ? -kInfinity<T> : T(0)));
        });
    }

    bool has_row_sums(int phase) const {
        bool any = false;
        each_row_sum(phase, [&](long, bool) { any = true; });
        return any;
    }

    // After a phase's tiles: everyone adds up everyone's sums, in the same order.
    void finish_row_sums(int phase, long n) {
        each_row_sum(phase, [&](long slot, bool largest) {
            for (long b = 0; b < n; ++b) {
                Vec<T> sum = splat(largest ? -kInfinity<T> : T(0));
                for (int m = 0; m < job.team_size; ++m) {
                    const Vec<T> part =
                        load(row_sums + ((long(m) * program().rows * count) + slot * n + b) * kLanes<T>);
                    sum = largest ? maximum<T>(sum, part) : sum + part;
                }
                row_registers[slot * row_capacity() + b] = largest ? largest_of<T>(sum) : sum_of<T>(sum);
            }
        });
        wait_team();
    }

    template <class F>
    void each_row_sum(int phase, F f) const {
        const elman_routine& r = program();
        for (long i = r.ends[2 * phase]; i < r.ends[2 * phase + 1]; ++i)
            if (const Op op = Op(r.instructions[i].op); op == Op::row_sum || op == Op::row_max)
                f(r.instructions[i].slot, op == Op::row_max);
    }
};

}  // namespace
}  // namespace elman
