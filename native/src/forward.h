// The forward scan: project a chunk of steps, then for each step multiply, run the program on the tile
// while it is hot, and hand out the new state.
#pragma once

#include "scan.h"

namespace elman {
namespace {

template <class T>
struct Forward : Scan<T> {
    using Base = Scan<T>;
    using Base::column, Base::count, Base::job, Base::member, Base::offset, Base::padded, Base::panels, Base::rows,
        Base::scan, Base::tiles, Base::tiling, Base::units;
    using typename Base::Bank;

    // Products of one phase and one operand, which are made together.
    struct Wave {
        int phase, first, count;
        T* weight;  // packed, tile by tile
    };

    const int gates;
    const bool projects;  // whether the input is multiplied here
    Wave waves[kMostProducts];
    int wave_count = 0;
    T *weight_ih, *bias_x, *bias_h;    // of everyone; biases as [panel][gate][lane]
    T *x, *inp, *ring, *moved, *seen;  // of the team; the ring has what no record has of the last two steps' states
    T* recurrent;                      // of the thread: one tile of every product
    long* chunk_offset;

    Forward(const Job& j, int thread, Scratch shared, Scratch own)
        : Base(j, thread, narrowest(*j.scan)), gates(scan.gates), projects(scan.inputs > 0) {
        for_waves(scan, [&](int first, int count) {
            waves[wave_count++] = {scan.program.product[first].phase, first, count, nullptr};
        });
        take(shared, own);
        this->shared_used = shared.used(), this->own_used = own.used();
    }

    template <class F>
    static void for_waves(const ScanArguments& scan, F f) {
        const elman_product* p = scan.program.product;
        for (int first = 0, end; first < scan.program.products; first = end) {
            for (end = first + 1; end < scan.program.products && p[end].phase == p[first].phase &&
                                  p[end].bank == p[first].bank && p[end].index == p[first].index;)
                ++end;
            f(first, end - first);
        }
    }

    static long most_gates(const ScanArguments& scan) {
        long most = scan.gates;
        for_waves(scan, [&](int, int count) { most = count > most ? count : most; });
        return most;
    }

    // How many gates are multiplied at once where that leaves most of a group over.
    static long narrowest(const ScanArguments& scan) {
        long gates = scan.inputs > 0 ? scan.gates : kWidth;
        for_waves(scan, [&](int, int count) { gates = count % kWidth ? count : gates; });
        return gates;
    }

    void take(Scratch& shared, Scratch& own) {
        const int products = this->program().products;
        this->take_common(shared);
        weight_ih = shared.take<T>(gates * padded * scan.inputs);
        for (int w = 0; w < wave_count; ++w) waves[w].weight = shared.take<T>(waves[w].count * padded * units);
        bias_x = shared.take<T>(gates * padded);
        bias_h = shared.take<T>(products * padded);
        for (int team = 0; team < job.teams; ++team) take_team(shared, team);
        this->take_own(own, most_gates(scan));
        recurrent = own.take<T>(phased() ? 0 : products * tiling.panels * kLanes<T> * job.most_rows);
        chunk_offset = own.take<long>(this->chunk_capacity());
    }

    void take_team(Scratch& s, int team) {
        const long plane = padded * job.team[team].count, chunk = this->chunk_capacity();
        Base::take_team(s, team, phased() ? this->program().products : 0);
        T* a = s.take<T>(panels_of<T>(scan.inputs) * kLanes<T> * chunk);
        T* b = s.take<T>(gates * padded * chunk);
        T* c = s.take<T>(2 * ring_states() * plane);
        T* d = s.take<T>(scan.states * plane);
        T* e = s.take<T>(scan.watched * plane);
        if (this->mine(team)) x = a, inp = b, ring = c, moved = d, seen = e;
    }

    long ring_states() const { return scan.record ? 1 : scan.states; }

    bool phased() const { return this->program().phases > 1; }

    void run() {
        this->start_own();
        this->pack_parameters();
        this->start_team();
        pack_weights();
        this->wait_all();
        const bool meet = this->units_meet(wave_count > 0);
        for (long t = 0, end; t < rows.steps; t = end) {
            const long n = rows.active[t], most = t + this->chunk_steps(n);
            for (end = t + 1; end < rows.steps && end < most && rows.active[end] == n;) ++end;
            projects ? project(t, end) : gather_input(t, end);
            for (long i = t; i < end; ++i) {
                step(i, inp + (i - t) * gates * padded * n);
                if (meet || i + 1 == end) this->wait_team();
            }
        }
        finish_rows();
    }

    T* weights_of(T* packed, long tile, long columns, long depth) const {
        return packed + tile * tiling.panels * columns * kLanes<T> * depth;
    }

    void pack_weights() {
        const Share mine = share_of(tiling.tiles, this->thread, job.threads);
        const T* ih = static_cast<const T*>(scan.weight_ih);
        for (long i = mine.first; i < mine.last; ++i) {
            if (projects)
                pack_tile(i, gates, scan.inputs, weights_of(weight_ih, i, gates, scan.inputs),
                          [&](long gate) { return Source<T>{ih + gate * units * scan.inputs, scan.inputs}; });
            for (int w = 0; w < wave_count; ++w) pack_wave(waves[w], i);
            const long first = i * tiling.panels;
            for (long panel = first; panel < first + this->panels_in(i); ++panel) pack_biases(panel);
        }
    }

    void pack_wave(const Wave& wave, long tile) const {
        const elman_product* p = this->program().product + wave.first;
        pack_tile(tile, wave.count, units, weights_of(wave.weight, tile, wave.count, units), [&](long gate) {
            return Source<T>{this->block(p[gate].block, scan.matrix), this->row_of(p[gate].block)};
        });
    }

    // matrix(gate) is where the rows of a gate are.
    template <class F>
    void pack_tile(long tile, long count, long depth, T* to, F matrix) const {
        each_group(this->panels_in(tile) * count, [&](long first_column, long width) {
            for (int v = 0; v < width; ++v) {
                const long panel = tile * tiling.panels + (first_column + v) / count;
                const long gate = (first_column + v) % count, first = panel * kLanes<T>;
                const Source<T> from = matrix(gate);
                pack_column(from.data + first * from.row, from.row, depth, units - first,
                            to + first_column * depth * kLanes<T>, v, int(width));
            }
        });
    }

    // A gate from which a product starts gets the product's bias too. Only W_hh has one; it is matrix 0.
    void pack_biases(long panel) const {
        const T *b_ih = static_cast<const T*>(scan.bias_ih), *b_hh = static_cast<const T*>(scan.bias_hh);
        const long first = panel * kLanes<T>, products = this->program().products;
        const elman_product* p = this->program().product;
        for (int lane = 0; lane < kLanes<T>; ++lane) {
            const bool real = first + lane < units;
            T *of_x = bias_x + panel * gates * kLanes<T> + lane, *of_h = bias_h + panel * products * kLanes<T> + lane;
            for (int gate = 0; projects && gate < gates; ++gate)
                of_x[gate * kLanes<T>] = real && b_ih ? b_ih[gate * units + first + lane] : T(0);
            for (int i = 0; i < products; ++i) {
                const T h = real && b_hh && p[i].block < gates ? b_hh[p[i].block * units + first + lane] : T(0);
                of_h[i * kLanes<T>] = h;
                if (projects && p[i].start_bank == ELMAN_INPUT) of_x[p[i].start_index * kLanes<T>] += h;
            }
        }
    }

    // Steps [first, last), all with the same rows: inp[step][gate][panel][row].
    void project(long first, long last) {
        const long n = rows.active[first], total = (last - first) * n, step = gates * padded * n;
        const Share mine = share_of(total, member, job.team_size);
        for (long r = mine.first; r < mine.last; ++r)
            gather_row(this->at(scan.x, r % n, first + r / n), x + r * kLanes<T>, scan.inputs, total * kLanes<T>);
        for (long r = 0; r < total; ++r) chunk_offset[r] = r / n * step + r % n * kLanes<T>;
        this->wait_team();
        const Left<T> left{x, kLanes<T>, total * kLanes<T>, 0, scan.inputs, 1};
        for (long i = tiles.first; i < tiles.last; ++i) {
            const long columns = this->panels_in(i) * gates;
            for (long c = 0; c < columns; ++c) {
                const long panel = i * tiling.panels + c / gates, gate = c % gates;
                column[c] = {bias_x + (panel * gates + gate) * kLanes<T>, inp + (gate * panels + panel) * n * kLanes<T>,
                             0};
            }
            product(left, total, weights_of(weight_ih, i, gates, scan.inputs), columns, column, chunk_offset);
        }
    }

    // The same where the caller has projected the input.
    void gather_input(long first, long last) {
        const long n = rows.active[first], total = (last - first) * n, plane = padded * n;
        const Share mine = share_of(total, member, job.team_size);
        for (long r = mine.first; r < mine.last; ++r)
            for (int gate = 0; gate < gates; ++gate)
                gather_row(this->at(scan.input[gate], r % n, first + r / n),
                           inp + (r / n * gates + gate) * plane + r % n * kLanes<T>, units, n * kLanes<T>);
        this->wait_team();
    }

    Planes<T> states_after(long t) const {
        if (t < 0) return {this->initial, padded * count};
        const long plane = padded * rows.active[t];
        T* first = ring + (t & 1) * ring_states() * padded * count;
        return {first, scan.record ? this->record(t) : first + plane, plane};
    }

    Planes<T> states_before(long t) {
        const Planes<T> last = states_after(t - 1), here{moved, padded * rows.active[t]};
        if (!this->must_move(t)) return last;
        this->move_states(last, t ? rows.active[t - 1] : count, here, t);
        this->wait_team();
        return here;
    }

    void step(long t, T* inp_t) {
        const long n = rows.active[t], plane = padded * n;
        const Planes<T> before = states_before(t), after = states_after(t);
        Bank bank[Base::kBanks] = {};
        this->set_common_banks(bank, plane);
        bank[ELMAN_INPUT] = {inp_t, plane};
        bank[ELMAN_PREVIOUS] = before;
        bank[ELMAN_NEXT] = after;
        if (scan.record) bank[ELMAN_SAVED] = {this->saved(t), plane};
        bank[ELMAN_WATCHED] = {seen, plane};
        const int phases = this->program().phases;
        for (int phase = 0; phase < phases; ++phase)
            run_phase(phase, bank, n, [&](long i) {
                if (phases == 1) put_out(i, after, t);
            });
        for (long i = tiles.first; phased() && i < tiles.last; ++i) put_out(i, after, t);
    }

    // One phase of a step; done(i) after each tile of those that begin with products.
    template <class F>
    void run_phase(int phase, Bank* bank, long n, F done) {
        const bool multiplies = waves_in(phase);
        this->enter(phase, multiplies, n);
        if (phase && !multiplies) {
            this->tile_phase(phase, bank, this->panel_first(), this->panel_last(), n);
            return;
        }
        for (long i = tiles.first; i < tiles.last; ++i) {
            multiply(phase, i, bank, n);
            this->tile_phase(phase, bank, i * tiling.panels, i * tiling.panels + this->panels_in(i), n);
            done(i);
        }
    }

    bool waves_in(int phase) const {
        for (int w = 0; w < wave_count; ++w)
            if (waves[w].phase == phase) return true;
        return false;
    }

    // One tile of the products of a phase.
    void multiply(int phase, long tile, Bank* bank, long n) {
        if (!phased()) {
            const long first = tile * tiling.panels * n * kLanes<T>;
            bank[ELMAN_PRODUCT] = {recurrent - first, this->panels_in(tile) * n * kLanes<T>};
        }
        for (int w = 0; w < wave_count; ++w)
            if (waves[w].phase == phase) multiply(waves[w], tile, bank, n);
    }

    void multiply(const Wave& wave, long tile, const Bank* bank, long n) {
        const long columns = this->panels_in(tile) * wave.count, products = this->program().products;
        const elman_product* p = this->program().product + wave.first;
        const Bank &from = bank[p->bank], &to = bank[ELMAN_PRODUCT];
        for (long c = 0; c < columns; ++c) {
            const long panel = tile * tiling.panels + c / wave.count, i = c % wave.count, at = panel * n * kLanes<T>;
            T* out = to.at(wave.first + i) + at;
            if (p[i].start_bank < 0) column[c] = {bias_h + (panel * products + wave.first + i) * kLanes<T>, out, 0};
            else column[c] = {bank[p[i].start_bank].at(p[i].start_index) + at, out, 1};
        }
        const Left<T> left{from.at(p->index), kLanes<T>, n * kLanes<T>, 0, units, 1};
        product(left, n, weights_of(wave.weight, tile, wave.count, units), columns, column, offset);
    }

    // One tile of the output, of what is watched, and of the final states of rows that end here.
    void put_out(long tile, const Planes<T>& after, long t) const {
        const long n = rows.active[t], first = tile * tiling.panels * kLanes<T>, pitch = n * kLanes<T>;
        const long here = min_of(units - first, this->panels_in(tile) * kLanes<T>);
        for (long b = 0; b < n; ++b)
            scatter_row(after.first + first * n + b * kLanes<T>, this->at(scan.y, b, t) + first, here, pitch);
        for (long w = 0; w < scan.watched; ++w)
            for (long b = 0; b < n; ++b)
                scatter_row(seen + w * padded * n + first * n + b * kLanes<T>, this->at(scan.watch[w], b, t) + first,
                            here, pitch);
        for (int s = 0; s < scan.states; ++s)
            for (long b = rows.active[t + 1]; b < n; ++b)
                scatter_row(after.at(s) + first * n + b * kLanes<T>,
                            static_cast<T*>(job.forward->final[s]) + rows.row[b] * units + first, here, pitch);
    }

    void pad(const Sequence& s, long b) const {
        T* row = static_cast<T*>(s.data) + rows.row[b] * s.row;
        for (long t = rows.length[b]; t < scan.steps; ++t) zero(row + t * s.step, units);
    }

    // Padding puts out zeros; a row without steps ends where it began.
    void finish_rows() const {
        const Share mine = share_of(count, member, job.team_size);
        for (long b = mine.first; b < mine.last; ++b) {
            pad(scan.y, b);
            for (long w = 0; w < scan.watched; ++w) pad(scan.watch[w], b);
            if (rows.length[b] == 0)
                for (int s = 0; s < scan.states; ++s)
                    scatter_row(this->initial + (s * padded * count) + b * kLanes<T>,
                                static_cast<T*>(job.forward->final[s]) + rows.row[b] * units, units, count * kLanes<T>);
        }
    }
};

}  // namespace
}  // namespace elman
