// The backward scan: for each step, last to first, the gradient of the state through W_hh, then the
// program that turns it into gradients of the gates; for each chunk of steps, while those are in the
// cache, their products with x, h and W_ih.
#pragma once

#include "scan.h"

namespace elman {
namespace {

template <class T>
struct Backward : Scan<T> {
    using Base = Scan<T>;
    using typename Base::Bank;
    using Base::column, Base::count, Base::job, Base::member, Base::offset, Base::padded, Base::panels,
        Base::rows, Base::scan, Base::tiles, Base::tiling, Base::units;

    const elman_backward_out& out;
    const long kinds, input_kinds, recurrent_kinds, inputs, input_panels, input_padded;
    T *weight_hh, *weight_ih;  // of everyone, packed for dz W
    T *ring, *moved, *x;       // of the team: gate gradients and states before each step of a chunk
    T* seen;                   // of the team: cotangents of what is watched
    T* carry[3];
    T* dfresh;

    // A team's sums: rows of weights are [kind][unit]; added up over teams at the end, in order.
    struct Sums {
        T *weight_hh, *weight_ih, *bias, *units, *scalars;
    };
    Sums all[kMostThreads], sums;
    T *dx_tile, *scalars_chunk;  // of the thread
    Run<T>* run_list;
    long ring_step;

    Backward(const Job& j, int thread, Scratch shared, Scratch own)
        : Base(j, thread, 1), out(*j.backward), kinds(out.kinds), input_kinds(out.input_kinds),
          recurrent_kinds(kinds - out.recurrent_first), inputs(scan.inputs),
          input_panels(panels_of<T>(inputs)), input_padded(input_panels * kLanes<T>),
          ring_step(kinds * padded * count + 2 * kRecordPadding) {
        take(shared, own);
        this->shared_used = shared.used(), this->own_used = own.used();
    }

    void take(Scratch& shared, Scratch& own) {
        this->take_common(shared);
        weight_hh = shared.take<T>(recurrent_kinds * units * padded);
        weight_ih = shared.take<T>(out.dx.data ? input_kinds * units * input_padded : 0);
        for (int team = 0; team < job.teams; ++team)
            take_team(shared, team);
        this->take_own(own);
        dx_tile = own.take<T>(kWidth * kLanes<T> * this->chunk_capacity());
        scalars_chunk = own.take<T>(scan.slots);
        run_list = own.take<Run<T>>(this->chunk_capacity());
    }

    void take_team(Scratch& s, int team) {
        const Rows& of = job.team[team];
        const long plane = padded * of.count, slots = this->chunk_steps(of.active[0]) + 1;
        Base::take_team(s, team);
        T* a = s.take<T>(slots * (kinds * plane + 2 * kRecordPadding));
        T* b = s.take<T>(may_move() ? slots * scan.states * plane : 0);
        T* c = s.take<T>(input_padded * this->chunk_capacity());
        T *d = s.take<T>(scan.states * plane), *e = s.take<T>(scan.states * plane), *f = s.take<T>(scan.states * plane);
        T* g = s.take<T>(this->reset ? scan.states * plane : 0);
        T* h = s.take<T>(scan.slots * padded);
        T* i = s.take<T>(scan.watched * plane);
        Sums of_team;
        of_team.weight_hh = s.take<T>(recurrent_kinds * padded * padded);
        of_team.weight_ih = s.take<T>(input_kinds * padded * input_padded);
        of_team.bias = s.take<T>(kinds * padded);
        of_team.units = s.take<T>(scan.slots * padded);
        of_team.scalars = s.take<T>(scan.slots);
        all[team] = of_team;
        if (!this->mine(team)) return;
        ring = a, moved = b, x = c, carry[0] = d, carry[1] = e, carry[2] = f;
        dfresh = g, this->unit_sums = h, seen = i, sums = of_team;
    }

    bool may_move() const { return scan.lengths || this->reset; }

    void run() {
        this->start_own();
        this->pack_parameters();
        this->start_team();
        clear();
        pack_weights();
        this->wait_all();
        const long most = this->chunk_steps(rows.active[0]);
        for (long end = rows.steps, first; end > 0; end = first) {
            first = end > most ? end - most : 0;
            for (long t = end; t-- > first;) step(t);
            finish_chunk(first, end);
        }
        put_initial();
        finish_rows();
        this->wait_all();
        put_weights();
        put_parameters();
    }

    // ---- before the first step ----

    void clear() {
        auto part = [&](T* p, long n) {
            const Share s = share_of(n, member, job.team_size);
            zero(p + s.first, s.last - s.first);
        };
        part(sums.weight_hh, recurrent_kinds * padded * padded);
        part(sums.weight_ih, input_kinds * padded * input_padded);
        part(sums.bias, kinds * padded);
        part(dfresh, this->reset ? scan.states * padded * count : 0);
        part(this->unit_sums, scan.slots * padded);
        part(sums.units, scan.slots * padded);
        if (member == 0) zero(sums.scalars, scan.slots);
        zero(scalars_chunk, scan.slots);
        this->scalar_sums = scalars_chunk;
    }

    // Columns [from, from + width) of panels of W (gates * units, size), rows by kind: to[kind][unit][column].
    void pack_group(const T* weight, const int32_t* gate, long first, long last, long size, long from, long width,
                    T* to) const {
        for (long kind = first; kind < last; ++kind, to += units * width * kLanes<T>)
            pack_rows(weight + gate[kind] * units * size, units, size, from * kLanes<T>, to, int(width));
    }

    void pack_weights() const {
        const T *hh = static_cast<const T*>(scan.weight_hh), *ih = static_cast<const T*>(scan.weight_ih);
        Share mine = share_of(tiling.tiles, this->thread, job.threads);
        for (long i = mine.first; i < mine.last; ++i)
            each_group(panels_in(i), [&](long first, long width) {
                const long from = i * tiling.panels + first;
                pack_group(hh, out.recurrent_gate, out.recurrent_first, kinds, units, from, width,
                           weight_hh + from * kLanes<T> * recurrent_kinds * units);
            });
        mine = share_of(input_panels, this->thread, job.threads);
        if (!out.dx.data) return;
        each_group(input_panels, [&](long from, long width) {
            if (mine.has(from))
                pack_group(ih, out.input_gate, 0, input_kinds, inputs, from, width,
                           weight_ih + from * kLanes<T> * input_kinds * units);
        });
    }

    // ---- one step ----

    long slots() const { return this->chunk_steps(rows.active[0]) + 1; }
    T* gates_of(long t) const { return ring + t % slots() * ring_step; }

    T* state_before(long t) const {
        if (this->must_move(t)) return moved + t % slots() * scan.states * padded * count;
        return t ? this->record(t - 1) : this->initial;
    }

    long panels_in(long tile) const {
        return min_of(panels, (tile + 1) * tiling.panels) - tile * tiling.panels;
    }

    void step(long t) {
        const long n = rows.active[t], later = t + 1 < rows.steps ? rows.active[t + 1] : 0, plane = padded * n;
        T* before = state_before(t);
        if (this->must_move(t))
            this->move_states(t ? this->record(t - 1) : this->initial, t ? rows.active[t - 1] : count, before, t);
        T* after = this->record(t);
        T* cotangent = later == n ? carry[0] : carry[2];
        Bank bank[Base::kBanks] = {};
        this->set_common_banks(bank, plane);
        bank[ELMAN_PREVIOUS] = {before, plane};
        bank[ELMAN_NEXT] = {after, plane};
        bank[ELMAN_SAVED] = {after + scan.states * plane, plane};
        bank[ELMAN_COTANGENT] = {cotangent, plane};
        bank[ELMAN_GRADIENT] = {carry[1], plane};
        bank[ELMAN_GATE] = {gates_of(t), plane};
        bank[ELMAN_WATCHED_COTANGENT] = {seen, plane};
        this->row_phase(0, n);
        this->clear_row_sums(0, n);
        for (long i = tiles.first; i < tiles.last; ++i) {
            gather_cotangent(i, t, n, later, cotangent);
            gather_watched(i, t, n);
            this->tile_phase(0, bank, i * tiling.panels, i * tiling.panels + panels_in(i), n);
        }
        for (int phase = 1; phase < this->program().phases; ++phase) {
            this->finish_row_sums(phase - 1, n);
            this->row_phase(phase, n);
            this->clear_row_sums(phase, n);
            this->tile_phase(phase, bank, this->panel_first(), this->panel_last(), n);
        }
        T* spent = carry[0];
        carry[0] = carry[1], carry[1] = spent;
        this->wait_team();
    }

    // The gradient of the states after step t: what step t + 1 sent back, through W_hh and without; what
    // the output got; for rows that end here, what the final state got.
    void gather_cotangent(long tile, long t, long n, long later, T* to) {
        const long p0 = tile * tiling.panels, p1 = p0 + panels_in(tile), kL = kLanes<T>;
        if (to != carry[0]) spread(p0, p1, n, later, to);
        through_recurrence(p0, p1, t + 1, later, to, n);
        if (!out.dy.data) return;
        const long first = p0 * kL, here = min_of(units - first, (p1 - p0) * kL);
        for (long b = 0; b < n; ++b)
            add_row<T>(this->at(out.dy, b, t) + first, to + first * n + b * kL, here, n * kL);
    }

    void gather_watched(long tile, long t, long n) const {
        const long p0 = tile * tiling.panels, p1 = p0 + panels_in(tile), kL = kLanes<T>, first = p0 * kL;
        const long here = min_of(units - first, (p1 - p0) * kL);
        for (long w = 0; w < scan.watched; ++w)
            for (long b = 0; b < n; ++b) {
                T* row = seen + ((w * panels + p0) * n + b) * kL;
                if (scan.watch[w].data) gather_row(this->at(scan.watch[w], b, t) + first, row, here, n * kL);
                else for (long p = p0; p < p1; ++p) store(row + (p - p0) * n * kL, Vec<T>{});
            }
    }

    // From carry[0], with the rows of step t + 1, to the rows of step t.
    void spread(long p0, long p1, long n, long later, T* to) const {
        const long kL = kLanes<T>, first = p0 * kL, here = min_of(units - first, (p1 - p0) * kL);
        for (int s = 0; s < scan.states; ++s) {
            for (long p = p0; p < p1; ++p)
                for (long b = 0; b < later; ++b)
                    store(to + ((s * panels + p) * n + b) * kL, load(carry[0] + ((s * panels + p) * later + b) * kL));
            const T* dfinal = static_cast<const T*>(out.dfinal[s]);
            for (long b = later; b < n; ++b) {
                T* row = to + ((s * panels + p0) * n + b) * kL;
                if (dfinal) gather_row(dfinal + rows.row[b] * units + first, row, here, n * kL);
                else for (long p = p0; p < p1; ++p) store(row + (p - p0) * n * kL, Vec<T>{});
            }
        }
    }

    // to += dz W_hh of step t, for its `n` rows, in an array with `pitch` rows; restarted rows drop out.
    void through_recurrence(long p0, long p1, long t, long n, T* to, long pitch) {
        if (n == 0) return;
        const long kL = kLanes<T>, depth = recurrent_kinds * units;
        for (long p = p0; p < p1; ++p) {
            T* at = to + p * pitch * kL;
            column[p - p0] = {at, at, 1};
        }
        const Left<T> left{gates_of(t) + out.recurrent_first * padded * n, kL, n * kL, padded * n, units, int(recurrent_kinds)};
        product(left, n, weight_hh + p0 * kL * depth, p1 - p0, column, offset);
        for (long b = 0; this->reset && b < n; ++b)
            if (this->restarts(b, t)) move_to_fresh(p0, p1, b, to, pitch);
    }

    void move_to_fresh(long p0, long p1, long b, T* from, long pitch) {
        for (int s = 0; s < scan.states; ++s)
            for (long p = p0; p < p1; ++p) {
                T* source = from + ((s * panels + p) * pitch + b) * kLanes<T>;
                T* sum = dfresh + ((s * panels + p) * count + b) * kLanes<T>;
                store(sum, load(sum) + load(source));
                store(source, Vec<T>{});
            }
    }

    // ---- one chunk of steps ----

    void finish_chunk(long first, long end) {
        const long kL = kLanes<T>, total = rows.before[end] - rows.before[first];
        const Share mine = share_of(total, member, job.team_size);
        for (long t = first, r = 0; t < end; ++t)
            for (long b = 0; b < rows.active[t]; ++b, ++r)
                if (r >= mine.first && r < mine.last)
                    gather_row(this->at(scan.x, b, t), x + r * kL, inputs, total * kL);
        this->wait_team();
        sum_weights(first, end, total);
        sum_biases(first, end);
        if (out.dx.data) put_dx(first, end);
        sum_parameters();
        this->wait_team();
    }

    // Panels of all kinds: this thread's share of the rows of a weight's gradient.
    void sum_weights(long first, long end, long total) {
        const long kL = kLanes<T>, runs = end - first;
        auto run_of = [&](long t, const T* dz, const T* b, long b_panel) {
            run_list[t - first] = {dz, b, rows.active[t] * kL, b_panel, rows.active[t]};
        };
        for (long t = first; t < end; ++t)
            run_of(t, gates_of(t) + out.recurrent_first * padded * rows.active[t], state_before(t), rows.active[t] * kL);
        Share mine = share_of(recurrent_kinds * panels, member, job.team_size);
        outer(run_list, runs, mine.first, mine.last, units, units, sums.weight_hh, padded);
        for (long t = first; t < end; ++t)
            run_of(t, gates_of(t), x + (rows.before[t] - rows.before[first]) * kL, total * kL);
        mine = share_of(input_kinds * panels, member, job.team_size);
        outer(run_list, runs, mine.first, mine.last, units, inputs, sums.weight_ih, input_padded);
    }

    void sum_biases(long first, long end) {
        const Share mine = share_of(kinds * panels, member, job.team_size);
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
        const T* w = weight_ih + from * kL * input_kinds * units;
        for (long t = first, steps; t < end; t += steps) {
            const long n = rows.active[t];
            steps = 1;
            while (n == 1 && t + steps < end && (t + steps) % slots()) ++steps;
            const long total = n * steps;
            const Left<T> left{gates_of(t), steps > 1 ? ring_step : kL, n * kL, padded * n, units, int(input_kinds)};
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

    void put_initial() {
        const long n = rows.active[0], kL = kLanes<T>;
        for (long i = tiles.first; i < tiles.last; ++i) {
            const long p0 = i * tiling.panels, p1 = p0 + panels_in(i), first = p0 * kL;
            const long here = min_of(units - first, (p1 - p0) * kL);
            through_recurrence(p0, p1, 0, n, carry[0], n);
            for (int s = 0; s < scan.states; ++s)
                for (long b = 0; b < n; ++b) {
                    const long row = rows.row[b] * units + first;
                    if (out.dinitial[s])
                        scatter_row(carry[0] + ((s * panels + p0) * n + b) * kL,
                                    static_cast<T*>(out.dinitial[s]) + row, here, n * kL);
                }
        }
    }

    void finish_rows() {
        this->wait_team();
        const Share mine = share_of(count, member, job.team_size);
        for (long b = mine.first; b < mine.last; ++b) {
            T* dx = static_cast<T*>(out.dx.data);
            for (long t = rows.length[b]; dx && t < scan.steps; ++t)
                zero(dx + rows.row[b] * out.dx.row + t * out.dx.step, inputs);
            for (int s = 0; s < scan.states; ++s) {
                const long row = rows.row[b] * units;
                if (out.dfresh[s])
                    scatter_row(dfresh + (s * panels * count + b) * kLanes<T>,
                                static_cast<T*>(out.dfresh[s]) + row, units, count * kLanes<T>);
                if (rows.length[b] > 0 || !out.dinitial[s]) continue;
                T* to = static_cast<T*>(out.dinitial[s]) + row;
                if (out.dfinal[s]) memcpy(to, static_cast<const T*>(out.dfinal[s]) + row, size_t(units) * sizeof(T));
                else zero(to, units);
            }
        }
    }

    int kind_of(const int32_t* gate, long first, long last, long wanted) const {
        for (long kind = first; kind < last; ++kind)
            if (gate[kind] == wanted) return int(kind);
        return -1;
    }

    // The sum over teams of `width` numbers.
    template <class F>
    void put_sum(F part, T* to, long width) const {
        for (long i = 0; i < width; i += kLanes<T>) {
            const int lanes = int(min_of<long>(width - i, kLanes<T>));
            Vec<T> sum{};
            for (int team = 0; team < job.teams; ++team) sum += load_some(part(all[team]) + i, lanes);
            store_some(to + i, sum, lanes);
        }
    }

    // A gate whose gradient is not among the kinds had no part in the result.
    template <class F>
    void put_gates(const int32_t* gate, long first, long last, void* to, long width, F part) const {
        const Share mine = share_of(scan.gates * units, this->thread, job.threads);
        for (long row = mine.first; to && row < mine.last; ++row) {
            const int kind = kind_of(gate, first, last, row / units);
            T* out_row = static_cast<T*>(to) + row * width;
            const long from = (kind - first) * padded + row % units;
            if (kind < 0) zero(out_row, width);
            else put_sum([&](const Sums& s) { return part(s, from); }, out_row, width);
        }
    }

    void put_weights() const {
        const long first = out.recurrent_first;
        auto ih = [this](const Sums& s, long row) { return s.weight_ih + row * input_padded; };
        auto hh = [this](const Sums& s, long row) { return s.weight_hh + row * padded; };
        auto b_ih = [](const Sums& s, long row) { return s.bias + row; };
        auto b_hh = [=](const Sums& s, long row) { return s.bias + first * padded + row; };
        put_gates(out.input_gate, 0, input_kinds, out.dweight_ih, inputs, ih);
        put_gates(out.input_gate, 0, input_kinds, out.dbias_ih, 1, b_ih);
        put_gates(out.recurrent_gate, first, kinds, out.dweight_hh, units, hh);
        put_gates(out.recurrent_gate, first, kinds, out.dbias_hh, 1, b_hh);
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
