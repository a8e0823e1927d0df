// What the backward scan gathers: the gate gradients of a chunk of steps, and, while those are in the cache,
// their products with x, W_ih and what the matrices multiplied, summed up for the parameters and handed out.
#pragma once

#include "scan.h"

namespace elman {
namespace {

template <class T>
struct Gradients : Scan<T> {
    using Base = Scan<T>;
    using Base::column, Base::count, Base::job, Base::member, Base::offset, Base::padded, Base::panels, Base::rows,
        Base::scan, Base::tiles, Base::tiling, Base::units;
    using typename Base::Bank;

    const BackwardResults& out;
    const bool projects;
    const long gate_grads, input_grads, inputs, input_panels, input_padded;
    T *weight[kMostProducts], *weight_ih;  // of everyone, by group: packed for dz W

    // Of a team: the gate gradients, outputs and states before each step of a chunk, by ring slot; x of the chunk; the
    // gradients of the states, which steps hand on to each other (carry); those of the states after a reset; sums of
    // the parameters' gradients of the chunk; the gradients of what is watched.
    struct TeamBuffers {
        T *ring, *outputs, *moved, *x, *carry[3], *dfresh, *unit_sums, *watched;
    };
    TeamBuffers buffers;  // of this thread's team

    // A team's sums, added up over teams at the end, in order. The first team has no weights here: it adds to the
    // gradients themselves.
    struct Sums {
        T *weights, *bias, *units, *scalars;
    };
    Sums all[kMostThreads], sums;
    T *dx_tile, *scalars_chunk;  // of the thread
    Run<T>* run_list;
    long ring_step;

    Gradients(const Job& j, int thread, Scratch shared, Scratch own)
        : Base(j, thread, 1), out(*j.backward), projects(scan.inputs > 0), gate_grads(out.gate_grads),
          input_grads(count_input_grads()), inputs(scan.inputs), input_panels(panels_of<T>(inputs)),
          input_padded(input_panels * kLanes<T>), ring_step(gate_grads * padded * count + 2 * kRecordGap) {
        take(shared, own);
        this->shared_used = shared.used(), this->own_used = own.used();
    }

    long count_input_grads() const {
        long n = 0;
        for (int gate = 0; projects && gate < scan.gates; ++gate) n += out.input_grad[gate] >= 0;
        return n;
    }

    static bool flows_back(const elman_group& g) { return g.state >= 0 || g.product >= 0; }

    template <class F>
    void for_groups(F f) const {
        for (int g = 0; g < out.groups; ++g) f(out.group[g], g);
    }

    void take(Scratch& shared, Scratch& own) {
        this->take_common(shared);
        for_groups([&](const elman_group& g, int i) {
            weight[i] = shared.take<T>(flows_back(g) ? g.count * units * padded : 0);
        });
        weight_ih = shared.take<T>(out.dx.data ? input_grads * units * input_padded : 0);
        for (int team = 0; team < job.teams; ++team) take_team(shared, team);
        this->take_own(own, 1);
        dx_tile = own.take<T>(kWidth * kLanes<T> * this->chunk_capacity());
        this->scalar_sums = scalars_chunk = own.take<T>(scan.slots);
        run_list = own.take<Run<T>>(this->chunk_capacity());
    }

    void take_team(Scratch& s, int team) {
        const Rows& of = job.team[team];
        const long plane = padded * of.count, slots = this->chunk_steps(of.active[0]) + 1;
        long products = 0;
        for_groups([&](const elman_group& g, int) { products = g.product >= products ? g.product + 1 : products; });
        Base::take_team(s, team, products);
        TeamBuffers team_buffers;
        team_buffers.ring = s.take<T>(slots * (gate_grads * plane + 2 * kRecordGap));
        team_buffers.outputs = s.take<T>(slots * plane);
        team_buffers.moved = s.take<T>(may_move() ? slots * scan.states * plane : 0);
        team_buffers.x = s.take<T>(input_padded * this->chunk_capacity());
        for (T*& states : team_buffers.carry) states = s.take<T>(scan.states * plane);
        team_buffers.dfresh = s.take<T>(this->reset ? scan.states * plane : 0);
        team_buffers.unit_sums = s.take<T>(scan.slots * padded);
        team_buffers.watched = s.take<T>(scan.watched * plane);
        Sums team_sums;
        team_sums.weights = team ? s.take<T>((out.blocks * units + scan.gates * inputs) * units) : nullptr;
        team_sums.bias = s.take<T>(projects ? gate_grads * padded : 0);
        team_sums.units = s.take<T>(scan.slots * padded);
        team_sums.scalars = s.take<T>(scan.slots);
        all[team] = team_sums;
        if (!this->mine(team)) return;
        buffers = team_buffers, sums = team_sums;
        this->unit_sums = buffers.unit_sums;
    }

    bool may_move() const { return scan.lengths || this->reset; }

    void clear() {
        auto part = [&](T* p, long n) {
            const Share s = share_of(n, member, job.team_size);
            zero(p + s.first, s.last - s.first);
        };
        part(sums.bias, projects ? gate_grads * padded : 0);
        part(buffers.dfresh, this->reset ? scan.states * padded * count : 0);
        part(this->unit_sums, scan.slots * padded);
        part(sums.units, scan.slots * padded);
        if (member == 0) zero(sums.scalars, scan.slots);
        zero(scalars_chunk, scan.slots);
        each_row(member, job.team_size, sums, [](T* row, long, long, long width) { zero(row, width); });
    }

    // Where a team sums up the gradient of block i, or, after those of the blocks, of a gate's part of W_ih.
    Target<T> target(const Sums& of, long i) const {
        const long gate = i - out.blocks, row = gate < 0 ? this->row_of(int(i)) : inputs;
        T* ih = static_cast<T*>(out.dweight_ih);
        T* to = gate < 0 ? this->block(int(i), out.dmatrix) : ih ? ih + gate * units * inputs : nullptr;
        if (!to || !of.weights) return {to, row};
        return {of.weights + (gate < 0 ? i * units : out.blocks * units + gate * inputs) * units, width(i)};
    }

    long width(long i) const { return i < out.blocks ? units : inputs; }

    // f(row, i, r, width): a part's share of the rows of all that a team sums up for the weights.
    template <class F>
    void each_row(int part, int parts, const Sums& of, F f) const {
        const Share mine = share_of(units, part, parts);
        for (long i = 0; i < out.blocks + scan.gates; ++i) {
            const Target<T> to = target(of, i);
            for (long r = mine.first; to.data && r < mine.last; ++r) f(to.data + r * to.row, i, r, width(i));
        }
    }

    // The gate of the input whose gradient this is.
    long gate_of(long grad) const {
        long gate = 0;
        while (out.input_grad[gate] != grad) ++gate;
        return gate;
    }

    long slots() const { return this->chunk_steps(rows.active[0]) + 1; }
    T* gates_of(long t) const { return buffers.ring + t % slots() * ring_step; }

    T* hidden(long t) const { return buffers.outputs + t % slots() * padded * count; }

    Planes<T> states_after(long t) const {
        if (t < 0) return {this->initial, padded * count};
        return {hidden(t), this->record(t), padded * rows.active[t]};
    }

    Planes<T> states_before(long t) const {
        if (!this->must_move(t)) return states_after(t - 1);
        return {buffers.moved + t % slots() * scan.states * padded * count, padded * rows.active[t]};
    }

    // ---- one chunk of steps ----

    void finish_chunk(long first, long end) {
        const long total = rows.before[end] - rows.before[first];
        if (projects) gather_x(first, end, total);
        this->wait_team();
        for_groups([&](const elman_group& g, int) {
            if (g.bank >= 0) sum_group(g, first, end);
        });
        if (projects) {
            sum_input_weights(first, end, total);
            sum_biases(first, end);
            if (out.dx.data) put_dx(first, end);
        } else {
            put_input(first, end);
        }
        sum_parameters();
        this->wait_team();
    }

    void gather_x(long first, long end, long total) {
        const Share mine = share_of(total, member, job.team_size);
        for (long t = first, r = 0; t < end; ++t)
            for (long b = 0; b < rows.active[t]; ++b, ++r)
                if (r >= mine.first && r < mine.last)
                    gather_row(this->at(scan.x, b, t), buffers.x + r * kLanes<T>, inputs, total * kLanes<T>);
    }

    // This thread's share of the rows, which are units of the gradients, of the weights' gradients.
    void sum_group(const elman_group& g, long first, long end) {
        for (long t = first; t < end; ++t) {
            const long n = rows.active[t], plane = padded * n;
            run_list[t - first] = {gates_of(t) + g.first * plane, operand(g, t), n * kLanes<T>, n * kLanes<T>, n};
        }
        const Share mine = share_of(g.count * panels, member, job.team_size);
        outer(run_list, end - first, mine.first, mine.last, units, units,
              [&](long grad) { return target(sums, g.block[grad]); });
    }

    void sum_input_weights(long first, long end, long total) {
        for (long t = first; t < end; ++t) {
            const long n = rows.active[t];
            const T* x_t = buffers.x + (rows.before[t] - rows.before[first]) * kLanes<T>;
            run_list[t - first] = {gates_of(t), x_t, n * kLanes<T>, total * kLanes<T>, n};
        }
        const Share mine = share_of(input_grads * panels, member, job.team_size);
        outer(run_list, end - first, mine.first, mine.last, units, inputs,
              [&](long grad) { return target(sums, out.blocks + gate_of(grad)); });
    }

    // What a group's gates meet, of a step that is over.
    const T* operand(const elman_group& g, long t) const {
        const long plane = padded * rows.active[t];
        switch (g.bank) {
            case ELMAN_PREVIOUS: return states_before(t).at(g.index);
            case ELMAN_NEXT: return states_after(t).at(g.index);
            case ELMAN_SAVED: return this->saved(t) + g.index * plane;
            default: return gates_of(t) + g.index * plane;
        }
    }

    // The gradient of an input that the caller has projected.
    void put_input(long first, long end) const {
        for (long t = first; t < end; ++t) {
            const long n = rows.active[t];
            const Share mine = share_of(n, member, job.team_size);
            for (int gate = 0; gate < scan.gates; ++gate) {
                if (!out.dinput[gate].data) continue;
                const int grad = out.input_grad[gate];
                for (long b = mine.first; b < mine.last; ++b) {
                    T* to = this->at(out.dinput[gate], b, t);
                    if (grad < 0) zero(to, units);
                    else scatter_row(gates_of(t) + (grad * padded * n + b * kLanes<T>), to, units, n * kLanes<T>);
                }
            }
        }
    }

    void sum_biases(long first, long end) {
        const Share mine = share_of(gate_grads * panels, member, job.team_size);
        for (long p = mine.first; p < mine.last; ++p) {
            Vec<T> sum{};
            for (long t = first; t < end; ++t) {
                const long n = rows.active[t];
                const T* dz = gates_of(t) + p * n * kLanes<T>;
                for (long b = 0; b < n; ++b) sum += load(dz + b * kLanes<T>);
            }
            store(sums.bias + p * kLanes<T>, load(sums.bias + p * kLanes<T>) + sum);
        }
    }

    // dx = dz W_ih, a few panels of columns at a time. With one row a chunk of steps is one product.
    void put_dx(long first, long end) {
        const Share mine = share_of(input_panels, member, job.team_size);
        each_group(input_panels, [&](long from, long width) {
            if (mine.has(from)) put_dx_group(first, end, from, width);
        });
    }

    void put_dx_group(long first, long end, long from, long width) {
        const long kL = kLanes<T>;
        const T* w = weight_ih + from * kL * input_grads * units;
        for (long t = first, steps; t < end; t += steps) {
            const long n = rows.active[t];
            steps = 1;
            while (n == 1 && t + steps < end && (t + steps) % slots()) ++steps;
            const long total = n * steps;
            const Left<T> left{gates_of(t), steps > 1 ? ring_step : kL, n * kL, padded * n, units, int(input_grads)};
            for (long v = 0; v < width; ++v) column[v] = {zeros(), dx_tile + v * total * kL, 0};
            product(left, total, w, width, column, offset);
            for (long r = 0; r < total; ++r)
                scatter_row(dx_tile + r * kL, this->at(out.dx, r % n, t + r / n) + from * kL,
                            min_of(inputs - from * kL, width * kL), total * kL);
        }
    }

    static const T* zeros() {
        static const T none[kLanes<T>] = {};
        return none;
    }

    // What a chunk added to the parameters' gradients, kept apart so that long sums stay exact.
    void sum_parameters() {
        for (long i = 0; i < scan.slots; ++i)
            for (long p = this->panel_first(); p < this->panel_last(); ++p) {
                const long at = i * padded + p * kLanes<T>;
                T *part = this->unit_sums + at, *total = sums.units + at;
                store(total, load(total) + load(part));
                store(part, Vec<T>{});
            }
        for (long i = 0; member == 0 && i < scan.slots; ++i) {
            sums.scalars[i] += scalars_chunk[i];
            scalars_chunk[i] = 0;
        }
    }

    // ---- after the last step ----

    void finish_rows() {
        this->wait_team();
        const Share mine = share_of(count, member, job.team_size);
        for (long b = mine.first; b < mine.last; ++b) {
            T* dx = static_cast<T*>(out.dx.data);
            for (long t = rows.length[b]; dx && t < scan.steps; ++t)
                zero(dx + rows.row[b] * out.dx.row + t * out.dx.step, inputs);
            for (int gate = 0; !projects && gate < scan.gates; ++gate) put_no_input(out.dinput[gate], b);
            for (int s = 0; s < scan.states; ++s) {
                const long row = rows.row[b] * units;
                if (out.dfresh[s])
                    scatter_row(buffers.dfresh + (s * panels * count + b) * kLanes<T>,
                                static_cast<T*>(out.dfresh[s]) + row, units, count * kLanes<T>);
                if (rows.length[b] > 0 || !out.dinitial[s]) continue;
                T* to = static_cast<T*>(out.dinitial[s]) + row;
                if (out.dfinal[s]) memcpy(to, static_cast<const T*>(out.dfinal[s]) + row, size_t(units) * sizeof(T));
                else zero(to, units);
            }
        }
    }

    void put_no_input(const Sequence& to, long b) const {
        T* row = static_cast<T*>(to.data);
        for (long t = rows.length[b]; row && t < scan.steps; ++t) zero(row + rows.row[b] * to.row + t * to.step, units);
    }

    // The sum over teams of `width` numbers; from the second on it is added to what is there.
    template <class F>
    void put_sum(F part, T* to, long width, int first = 0) const {
        for (long i = 0; i < width; i += kLanes<T>) {
            const int lanes = int(min_of<long>(width - i, kLanes<T>));
            Vec<T> sum = first ? load_some(to + i, lanes) : Vec<T>{};
            for (int team = first; team < job.teams; ++team) sum += load_some(part(all[team]) + i, lanes);
            store_some(to + i, sum, lanes);
        }
    }

    void put_weights() const {
        if (job.teams == 1) return;
        each_row(this->thread, job.threads, all[0], [&](T* row, long i, long r, long width) {
            put_sum([&](const Sums& s) { return target(s, i).data + r * width; }, row, width, 1);
        });
    }

    // Those of W_hh are of matrix 0, whose gates are all in one group.
    void put_biases() const {
        for (int gate = this->thread; projects && gate < scan.gates; gate += job.threads) {
            put_bias(out.dbias_ih, gate, out.input_grad[gate]);
            put_bias(out.dbias_hh, gate, -1);
            for_groups([&](const elman_group& g, int) {
                for (int grad = 0; grad < g.count; ++grad)
                    if (g.bank >= 0 && g.block[grad] == gate) put_bias(out.dbias_hh, gate, g.first + grad);
            });
        }
    }

    // A gate without a gradient had no part in the result.
    void put_bias(void* to, long gate, long grad) const {
        if (!to) return;
        T* row = static_cast<T*>(to) + gate * units;
        if (grad < 0) zero(row, units);
        else put_sum([=](const Sums& s) { return s.bias + grad * padded; }, row, units);
    }

    void put_parameters() const {
        for (long i = this->thread; i < scan.slots; i += job.threads) {
            T* to = static_cast<T*>(out.dparameter[i]);
            if (!to) continue;
            if (scan.parameter_is_scalar[i]) put_sum([=](const Sums& s) { return s.scalars + i; }, to, 1);
            else put_sum([=](const Sums& s) { return s.units + i * padded; }, to, units);
        }
    }
};

}  // namespace
}  // namespace elman
