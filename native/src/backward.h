// The backward scan: for each step, last to first, the gradient of the state through the matrices that
// multiply it, then the program that turns it into gradients of the gates; for each chunk of steps, what
// gradients.h does with those.
#pragma once

#include "gradients.h"

namespace elman {
namespace {

template <class T>
struct Backward : Gradients<T> {
    using Base = Gradients<T>;
    using Base::Base;
    using Base::buffers, Base::column, Base::count, Base::flows_back, Base::for_groups, Base::gate_of, Base::gates_of,
        Base::hidden, Base::input_grads, Base::input_panels, Base::inputs, Base::job, Base::offset, Base::out,
        Base::padded, Base::panels, Base::rows, Base::scan, Base::states_after, Base::states_before, Base::tiles,
        Base::tiling, Base::units, Base::weight, Base::weight_ih;
    using typename Base::Bank;

    void run() {
        start();
        this->wait_all();
        through_time();
        this->wait_all();
        finish();
    }

    // All teams that a worker plays; they meet only between these stages. Each begins with `own` as the last left it.
    static void run_all(const Job& job, int worker, Scratch shared, Scratch own) {
        unsigned waits = 0;
        void (Backward::* const stages[])() = {&Backward::start, &Backward::through_time, &Backward::finish};
        for (auto stage : stages) {
            for (int team = worker; team < job.teams; team += job.workers) (Backward(job, team, shared, own).*stage)();
            wait_for_all(job.signals, job.workers, worker, ++waits);
        }
    }

    void start() {
        this->start_own();
        this->pack_parameters();
        this->start_team();
        this->clear();
        pack_weights();
    }

    void through_time() {
        const long most = this->chunk_steps(rows.active[0]);
        bool flows = false;
        for_groups([&](const elman_group& g, int) { flows |= flows_back(g); });
        const bool meet = this->units_meet(flows);
        if (rows.steps) gather_hidden(rows.steps - 1);
        for (long end = rows.steps, first; end > 0; end = first) {
            first = end > most ? end - most : 0;
            for (long t = end; t-- > first;) {
                // Where rows end, the next step's arrays lie otherwise, and a thread's part of them is another's before.
                const bool lie_otherwise = t + 1 == rows.steps || rows.active[t + 1] != rows.active[t];
                if (!meet && lie_otherwise) this->wait_team();
                step(t);
                if (meet || lie_otherwise) this->wait_team();
            }
            this->finish_chunk(first, end);
        }
        put_initial();
        this->finish_rows();
    }

    void finish() {
        this->put_weights();
        this->put_biases();
        this->put_parameters();
    }

    // Columns [from, from + width) of panels of n matrices (units, size): to[i][unit][column].
    template <class F>
    void pack_group(long n, F matrix, long size, long from, long width, T* to) const {
        for (long i = 0; i < n; ++i, to += units * width * kLanes<T>) {
            const Source<T> source = matrix(i);
            pack_rows(source.data, source.row, units, size, from * kLanes<T>, to, int(width));
        }
    }

    void pack_weights() const {
        Share mine = share_of(tiling.tiles, this->thread, job.threads);
        for_groups([&](const elman_group& g, int at) {
            auto of_grad = [&](long grad) {
                return Source<T>{this->block(g.block[grad], scan.matrix), this->row_of(g.block[grad])};
            };
            for (long i = mine.first; flows_back(g) && i < mine.last; ++i)
                each_group(this->panels_in(i), [&](long first, long width) {
                    const long from = i * tiling.panels + first;
                    pack_group(g.count, of_grad, units, from, width, weight[at] + from * kLanes<T> * g.count * units);
                });
        });
        if (!out.dx.data) return;
        mine = share_of(input_panels, this->thread, job.threads);
        const T* ih = static_cast<const T*>(scan.weight_ih);
        auto of_gate = [&](long grad) { return Source<T>{ih + gate_of(grad) * units * inputs, inputs}; };
        each_group(input_panels, [&](long from, long width) {
            if (mine.has(from))
                pack_group(input_grads, of_gate, inputs, from, width,
                           weight_ih + from * kLanes<T> * input_grads * units);
        });
    }

    void step(long t) {
        const long n = rows.active[t], later = t + 1 < rows.steps ? rows.active[t + 1] : 0, plane = padded * n;
        if (t) gather_hidden(t - 1);
        const Planes<T> before = states_before(t);
        if (this->must_move(t)) this->move_states(states_after(t - 1), t ? rows.active[t - 1] : count, before, t);
        T* cotangent = later == n ? buffers.carry[0] : buffers.carry[2];
        Bank bank[Base::kBanks] = {};
        this->set_common_banks(bank, plane);
        bank[ELMAN_PREVIOUS] = before;
        bank[ELMAN_NEXT] = states_after(t);
        bank[ELMAN_SAVED] = {this->saved(t), plane};
        bank[ELMAN_COTANGENT] = {cotangent, plane};
        bank[ELMAN_GRADIENT] = {buffers.carry[1], plane};
        bank[ELMAN_GATE] = {gates_of(t), plane};
        bank[ELMAN_WATCHED_COTANGENT] = {buffers.watched, plane};
        for (int phase = 0; phase < this->program().phases; ++phase) {
            const bool multiplies = multiplies_in(phase);
            this->enter(phase, multiplies, n);
            if (phase && !multiplies) {
                this->tile_phase(phase, bank, this->panel_first(), this->panel_last(), n);
                continue;
            }
            for (long i = tiles.first; i < tiles.last; ++i) {
                const long p0 = i * tiling.panels, p1 = p0 + this->panels_in(i);
                if (phase == 0) gather_cotangent(i, t, n, later, cotangent), gather_watched(i, t, n);
                else multiply(phase, p0, p1, t, n);
                this->tile_phase(phase, bank, p0, p1, n);
            }
        }
        T* spent = buffers.carry[0];
        buffers.carry[0] = buffers.carry[1], buffers.carry[1] = spent;
    }

    // The output of step t, this thread's units of it.
    void gather_hidden(long t) const {
        const long n = rows.active[t], kL = kLanes<T>, first = this->panel_first() * kL;
        const long here = min_of(units, this->panel_last() * kL) - first;
        for (long b = 0; b < n; ++b)
            gather_row(this->at(scan.y, b, t) + first, hidden(t) + first * n + b * kL, here, n * kL);
    }

    // The gradient of the states after step t: what step t + 1 sent back, through W_hh and without; what
    // the output got; for rows that end here, what the final state got.
    void gather_cotangent(long tile, long t, long n, long later, T* to) {
        const long p0 = tile * tiling.panels, p1 = p0 + this->panels_in(tile), kL = kLanes<T>;
        if (to != buffers.carry[0]) spread(p0, p1, n, later, to);
        through_recurrence(p0, p1, t + 1, later, to, n);
        if (!out.dy.data) return;
        const long first = p0 * kL, here = min_of(units - first, (p1 - p0) * kL);
        for (long b = 0; b < n; ++b) add_row<T>(this->at(out.dy, b, t) + first, to + first * n + b * kL, here, n * kL);
    }

    void gather_watched(long tile, long t, long n) const {
        const long p0 = tile * tiling.panels, p1 = p0 + this->panels_in(tile), kL = kLanes<T>, first = p0 * kL;
        const long here = min_of(units - first, (p1 - p0) * kL);
        for (long w = 0; w < scan.watched; ++w)
            for (long b = 0; b < n; ++b) {
                T* row = buffers.watched + ((w * panels + p0) * n + b) * kL;
                if (scan.watch[w].data) gather_row(this->at(scan.watch[w], b, t) + first, row, here, n * kL);
                else
                    for (long p = p0; p < p1; ++p) store(row + (p - p0) * n * kL, Vec<T>{});
            }
    }

    // From carry[0], with the rows of step t + 1, to the rows of step t.
    void spread(long p0, long p1, long n, long later, T* to) const {
        const long kL = kLanes<T>, first = p0 * kL, here = min_of(units - first, (p1 - p0) * kL);
        for (int s = 0; s < scan.states; ++s) {
            for (long p = p0; p < p1; ++p)
                for (long b = 0; b < later; ++b)
                    store(to + ((s * panels + p) * n + b) * kL,
                          load(buffers.carry[0] + ((s * panels + p) * later + b) * kL));
            const T* dfinal = static_cast<const T*>(out.dfinal[s]);
            for (long b = later; b < n; ++b) {
                T* row = to + ((s * panels + p0) * n + b) * kL;
                if (dfinal) gather_row(dfinal + rows.row[b] * units + first, row, here, n * kL);
                else
                    for (long p = p0; p < p1; ++p) store(row + (p - p0) * n * kL, Vec<T>{});
            }
        }
    }

    bool multiplies_in(int phase) const {
        bool any = false;
        for_groups([&](const elman_group& g, int) { any |= g.product >= 0 && g.phase == phase; });
        return any;
    }

    // What flows back within the step.
    void multiply(int phase, long p0, long p1, long t, long n) {
        for_groups([&](const elman_group& g, int i) {
            if (g.product >= 0 && g.phase == phase)
                flow_back(g, weight[i], p0, p1, t, n, this->products + g.product * padded * n, n, false);
        });
    }

    // to (an array with `pitch` rows) = dz W of step t, for its `n` rows, or += that.
    void flow_back(const elman_group& g, const T* w, long p0, long p1, long t, long n, T* to, long pitch, bool adds) {
        const long kL = kLanes<T>, depth = g.count * units;
        for (long p = p0; p < p1; ++p) {
            T* at = to + p * pitch * kL;
            column[p - p0] = {adds ? at : this->zeros(), at, adds};
        }
        const Left<T> left{gates_of(t) + g.first * padded * n, kL, n * kL, padded * n, units, g.count};
        product(left, n, w + p0 * kL * depth, p1 - p0, column, offset);
    }

    // What flows back from step t, for its `n` rows, to the states before it; restarted rows drop out.
    void through_recurrence(long p0, long p1, long t, long n, T* to, long pitch) {
        if (n == 0) return;
        for_groups([&](const elman_group& g, int i) {
            if (g.state >= 0) flow_back(g, weight[i], p0, p1, t, n, to + g.state * padded * pitch, pitch, true);
        });
        for (long b = 0; this->reset && b < n; ++b)
            if (this->restarts(b, t)) move_to_fresh(p0, p1, b, to, pitch);
    }

    void move_to_fresh(long p0, long p1, long b, T* from, long pitch) {
        for (int s = 0; s < scan.states; ++s)
            for (long p = p0; p < p1; ++p) {
                T* source = from + ((s * panels + p) * pitch + b) * kLanes<T>;
                T* sum = buffers.dfresh + ((s * panels + p) * count + b) * kLanes<T>;
                store(sum, load(sum) + load(source));
                store(source, Vec<T>{});
            }
    }

    void put_initial() {
        const long n = rows.active[0], kL = kLanes<T>;
        for (long i = tiles.first; i < tiles.last; ++i) {
            const long p0 = i * tiling.panels, p1 = p0 + this->panels_in(i), first = p0 * kL;
            const long here = min_of(units - first, (p1 - p0) * kL);
            through_recurrence(p0, p1, 0, n, buffers.carry[0], n);
            for (int s = 0; s < scan.states; ++s)
                for (long b = 0; b < n; ++b) {
                    const long row = rows.row[b] * units + first;
                    if (out.dinitial[s])
                        scatter_row(buffers.carry[0] + ((s * panels + p0) * n + b) * kL,
                                    static_cast<T*>(out.dinitial[s]) + row, here, n * kL);
                }
        }
    }
};

}  // namespace
}  // namespace elman
