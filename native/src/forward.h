// The forward scan: project a chunk of steps, then for each step multiply, run the program on the tile
// while it is hot, and hand out the new state.
#pragma once

#include "scan.h"

namespace elman {
namespace {

template <class T>
struct Forward : Scan<T> {
    using Base = Scan<T>;
    using typename Base::Bank;
    using Base::column, Base::count, Base::job, Base::member, Base::offset, Base::padded, Base::panels,
        Base::rows, Base::scan, Base::tiles, Base::tiling, Base::units;

    const int gates;
    T *weight_ih, *weight_hh, *bias_x, *bias_h;  // of everyone; biases as [panel][gate][lane]
    T *x, *inp, *ring, *moved, *wide_recurrent, *seen;  // of the team
    T* recurrent;                                // of the thread: one tile of every gate
    long* chunk_offset;

    Forward(const Job& j, int thread, Scratch shared, Scratch own)
        : Base(j, thread, j.scan->gates), gates(scan.gates) {
        take(shared, own);
        this->shared_used = shared.used(), this->own_used = own.used();
    }

    void take(Scratch& shared, Scratch& own) {
        const long columns = gates * padded;
        this->take_common(shared);
        weight_ih = shared.take<T>(columns * scan.inputs);
        weight_hh = shared.take<T>(columns * units);
        bias_x = shared.take<T>(columns);
        bias_h = shared.take<T>(columns);
        for (int team = 0; team < job.teams; ++team)
            take_team(shared, team);
        this->take_own(own);
        recurrent = own.take<T>(gates * tiling.panels * kLanes<T> * job.most_rows);
        chunk_offset = own.take<long>(this->chunk_capacity());
    }

    void take_team(Scratch& s, int team) {
        const long plane = padded * job.team[team].count, chunk = this->chunk_capacity();
        Base::take_team(s, team);
        T* a = s.take<T>(panels_of<T>(scan.inputs) * kLanes<T> * chunk);
        T* b = s.take<T>(gates * padded * chunk);
        T* c = s.take<T>(scan.record ? 0 : 2 * scan.states * plane);
        T* d = s.take<T>(scan.states * plane);
        T* e = s.take<T>(phased() ? gates * plane : 0);
        T* f = s.take<T>(scan.watched * plane);
        if (this->mine(team)) x = a, inp = b, ring = c, moved = d, wide_recurrent = e, seen = f;
    }

    bool phased() const { return this->program().phases > 1; }

    void run() {
        this->start_own();
        this->pack_parameters();
        this->start_team();
        pack_weights();
        this->wait_all();
        for (long t = 0, end; t < rows.steps; t = end) {
            const long n = rows.active[t], most = t + this->chunk_steps(n);
            for (end = t + 1; end < rows.steps && end < most && rows.active[end] == n;) ++end;
            project(t, end);
            for (long i = t; i < end; ++i) step(i, inp + (i - t) * gates * padded * n);
        }
        finish_rows();
    }

    long panels_in(long tile) const {
        return min_of(panels, (tile + 1) * tiling.panels) - tile * tiling.panels;
    }

    T* weights_of(T* packed, long tile, long depth) const {
        return packed + tile * tiling.panels * gates * kLanes<T> * depth;
    }

    void pack_weights() {
        const Share mine = share_of(tiling.tiles, this->thread, job.threads);
        for (long i = mine.first; i < mine.last; ++i) {
            pack_tile(static_cast<const T*>(scan.weight_ih), scan.inputs, i, weights_of(weight_ih, i, scan.inputs));
            pack_tile(static_cast<const T*>(scan.weight_hh), units, i, weights_of(weight_hh, i, units));
            const long first = i * tiling.panels * gates;
            for (long c = first; c < first + panels_in(i) * gates; ++c) pack_bias(c / gates, int(c % gates));
        }
    }

    void pack_tile(const T* weight, long depth, long tile, T* to) const {
        each_group(panels_in(tile) * gates, [&](long first_column, long width) {
            for (int v = 0; v < width; ++v) {
                const long panel = tile * tiling.panels + (first_column + v) / gates;
                const long gate = (first_column + v) % gates, first = panel * kLanes<T>;
                pack_column(weight + (gate * units + first) * depth, depth, units - first,
                            to + first_column * depth * kLanes<T>, v, int(width));
            }
        });
    }

    // A gate whose recurrent sum starts from the projection gets both biases there.
    void pack_bias(long panel, int gate) const {
        const T *b_ih = static_cast<const T*>(scan.bias_ih), *b_hh = static_cast<const T*>(scan.bias_hh);
        const long first = panel * kLanes<T>, to = (panel * gates + gate) * kLanes<T>;
        for (int lane = 0; lane < kLanes<T>; ++lane) {
            const long unit = gate * units + first + lane;
            const bool real = first + lane < units;
            const T h = real && b_hh ? b_hh[unit] : T(0);
            bias_x[to + lane] = (real && b_ih ? b_ih[unit] : T(0)) + (scan.fused[gate] ? h : T(0));
            bias_h[to + lane] = h;
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
            const long columns = panels_in(i) * gates;
            for (long c = 0; c < columns; ++c) {
                const long panel = i * tiling.panels + c / gates, gate = c % gates;
                column[c] = {bias_x + (panel * gates + gate) * kLanes<T>,
                             inp + (gate * panels + panel) * n * kLanes<T>, 0};
            }
            product(left, total, weights_of(weight_ih, i, scan.inputs), columns, column, chunk_offset);
        }
    }

    T* state_after(long t) const {
        if (t < 0) return this->initial;
        return scan.record ? this->record(t) : ring + (t & 1) * scan.states * padded * count;
    }

    T* state_before(long t) {
        T* last = state_after(t - 1);
        if (!this->must_move(t)) return last;
        this->move_states(last, t ? rows.active[t - 1] : count, moved, t);
        this->wait_team();
        return moved;
    }

    void step(long t, T* inp_t) {
        const long n = rows.active[t], plane = padded * n;
        T *before = state_before(t), *after = state_after(t);
        Bank bank[Base::kBanks] = {};
        this->set_common_banks(bank, plane);
        bank[ELMAN_INPUT] = {inp_t, plane};
        bank[ELMAN_RECURRENT] = {wide_recurrent, plane};
        bank[ELMAN_PREVIOUS] = {before, plane};
        bank[ELMAN_NEXT] = {after, plane};
        bank[ELMAN_SAVED] = {after + scan.states * plane, plane};
        bank[ELMAN_WATCHED] = {seen, plane};
        this->row_phase(0, n);
        this->clear_row_sums(0, n);
        for (long i = tiles.first; i < tiles.last; ++i) {
            multiply(i, before, inp_t, n, bank[ELMAN_RECURRENT]);
            this->tile_phase(0, bank, i * tiling.panels, i * tiling.panels + panels_in(i), n);
            if (!phased()) put_out(i, after, t);
        }
        for (int phase = 1; phase < this->program().phases; ++phase) later_phase(phase, bank, n);
        for (long i = tiles.first; phased() && i < tiles.last; ++i) put_out(i, after, t);
        this->wait_team();
    }

    void later_phase(int phase, const Bank* bank, long n) {
        this->finish_row_sums(phase - 1, n);
        this->row_phase(phase, n);
        this->clear_row_sums(phase, n);
        this->tile_phase(phase, bank, this->panel_first(), this->panel_last(), n);
    }

    // The recurrent part of one tile of every gate.
    void multiply(long tile, const T* h, T* inp_t, long n, Bank& to) {
        const long first = tile * tiling.panels, columns = panels_in(tile) * gates, plane = padded * n;
        if (!phased()) {
            const long small = panels_in(tile) * n * kLanes<T>;
            to = {recurrent - first * n * kLanes<T>, small};
        }
        for (long c = 0; c < columns; ++c) {
            const long panel = first + c / gates, gate = c % gates, at = panel * n * kLanes<T>;
            T* out = to.base + gate * to.plane + at;
            if (scan.fused[gate]) column[c] = {inp_t + gate * plane + at, out, 1};
            else column[c] = {bias_h + (panel * gates + gate) * kLanes<T>, out, 0};
        }
        const Left<T> left{h, kLanes<T>, n * kLanes<T>, 0, units, 1};
        product(left, n, weights_of(weight_hh, tile, units), columns, column, offset);
    }

    // One tile of the output, of what is watched, and of the final states of rows that end here.
    void put_out(long tile, const T* after, long t) const {
        const long n = rows.active[t], first = tile * tiling.panels * kLanes<T>, pitch = n * kLanes<T>;
        const long here = min_of(units - first, panels_in(tile) * kLanes<T>);
        for (long b = 0; b < n; ++b)
            scatter_row(after + first * n + b * kLanes<T>, this->at(scan.y, b, t) + first, here, pitch);
        for (long w = 0; w < scan.watched; ++w)
            for (long b = 0; b < n; ++b)
                scatter_row(seen + w * padded * n + first * n + b * kLanes<T>,
                            this->at(scan.watch[w], b, t) + first, here, pitch);
        for (int s = 0; s < scan.states; ++s)
            for (long b = rows.active[t + 1]; b < n; ++b)
                scatter_row(after + s * padded * n + first * n + b * kLanes<T>,
                            static_cast<T*>(job.forward->final[s]) + rows.row[b] * units + first, here, pitch);
    }

    void pad(const elman_sequence& s, long b) const {
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
                                static_cast<T*>(job.forward->final[s]) + rows.row[b] * units, units,
                                count * kLanes<T>);
        }
    }
};

}  // namespace
}  // namespace elman
