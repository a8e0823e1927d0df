// One layer of a stream: a forward scan of a single step that keeps its states, its packed weights and
// its place in memory from call to call.
#pragma once

#include "forward.h"

namespace elman {
namespace {

template <class T>
struct Streamed : Forward<T> {
    using Base = Forward<T>;
    using Base::bias_h, Base::bias_x, Base::count, Base::gates, Base::inp, Base::moved, Base::offset, Base::padded,
        Base::panels, Base::panels_in, Base::phased, Base::projects, Base::recurrent, Base::ring, Base::scan,
        Base::tail, Base::tiles, Base::tiling, Base::units, Base::waves, Base::weight_ih;
    using typename Base::Bank;

    const bool plain;                   // its products are of the first state alone, once: read with those of x
    Column<T>*from_input, *from_state;  // of this thread's tiles, which stay where they are

    Streamed(const Job& j, int thread, Scratch shared, Scratch own) : Base(j, thread, shared, own), plain(is_plain()) {
        own.take<char>(long(this->own_used));
        const long most = (tiling.tiles + j.team_size - 1) / j.team_size * tiling.panels;
        from_input = own.take<Column<T>>(projects ? most * gates : 0);
        from_state = own.take<Column<T>>(plain ? most * waves[0].count : 0);
        this->own_used = own.used();
    }

    bool is_plain() const {
        bool plain = projects && this->wave_count == 1 && !waves[0].phase;
        for (int i = 0; plain && i < this->program().products; ++i) {
            const elman_product& p = this->program().product[i];
            plain = p.bank == ELMAN_PREVIOUS && !p.index && (p.start_bank < 0 || p.start_bank == ELMAN_INPUT);
        }
        return plain;
    }

    // Before the first step, thread by thread: this one's share of the packing, and its columns.
    void prepare() {
        this->start_own();
        this->pack_parameters();
        this->pack_weights();
        for (long i = tiles.first; projects && i < tiles.last; ++i)
            for (long p = i * tiling.panels; p < i * tiling.panels + panels_in(i); ++p) aim(i, p);
    }

    // Where the columns of one panel begin and go to.
    void aim(long tile, long panel) {
        const long first = panel - tiles.first * tiling.panels;
        auto input = [&](long gate) { return inp + (gate * panels + panel) * count * kLanes<T>; };
        for (long gate = 0; gate < gates; ++gate)
            from_input[first * gates + gate] = {bias_x + (panel * gates + gate) * kLanes<T>, input(gate), 0};
        if (!plain) return;
        const Bank to = recurrent_of(tile);
        const long products = waves[0].count;
        for (long i = 0; i < products; ++i) {
            const elman_product& p = this->program().product[i];
            T* out = to.at(i) + panel * count * kLanes<T>;
            from_state[first * products + i] = p.start_bank < 0
                                                   ? Column<T>{bias_h + (panel * products + i) * kLanes<T>, out, 0}
                                                   : Column<T>{input(p.start_index), out, 1};
        }
    }

    Bank recurrent_of(long tile) const {
        if (phased()) return {this->products, padded * count};
        return {recurrent - tile * tiling.panels * count * kLanes<T>, panels_in(tile) * count * kLanes<T>};
    }

    // From x to the output: at y, or in panels here. Every second step goes through the weights backwards,
    // so as to begin with those that the cache still has.
    View step(const View* inputs, const StreamLayer& layer, const View& x, bool back, const View* y) {
        const long plane = padded * count;
        T *before = this->initial, *after = ring;
        const View state{after, kLanes<T>, count * kLanes<T>};
        const View out = y ? *y : layer.adds ? View{moved, kLanes<T>, count * kLanes<T>} : state;
        Bank bank[Base::kBanks] = {};
        this->set_common_banks(bank, plane);
        bank[ELMAN_INPUT] = {inp, plane};
        bank[ELMAN_PREVIOUS] = {before, plane};
        bank[ELMAN_NEXT] = {after, plane};
        if (plain) {
            this->enter(0, false, count);
            for (long k = tiles.first; k < tiles.last; ++k) {
                const long i = back ? tiles.first + tiles.last - 1 - k : k;
                multiply(i, x, before, back);
                bank[ELMAN_PRODUCT] = recurrent_of(i);
                this->tile_phase(0, bank, i * tiling.panels, i * tiling.panels + panels_in(i), count);
            }
        } else {
            take_input(x);
            this->wait_team();  // a product may be of the input
        }
        for (int phase = plain; phase < this->program().phases; ++phase)
            this->run_phase(phase, bank, count, [](long /*tile*/) {});
        if (out.data != state.data) put_out(state, inputs, layer, out);
        ring = before, this->initial = after;
        this->wait_team();
        return out;
    }

    // What a step that is not plain begins with: x times W_ih, or x itself where the caller has projected it.
    void take_input(const View& x) const {
        const T* from = static_cast<const T*>(x.data);
        const Left<T> below{from, x.row, x.panel, 0, scan.inputs, 1};
        for (long i = tiles.first; projects && i < tiles.last; ++i)
            product(below, count, this->weights_of(weight_ih, i, gates, scan.inputs), panels_in(i) * gates,
                    from_input + (i - tiles.first) * tiling.panels * gates, offset);
        if (projects) return;
        const Share mine = share_of(count, this->member, this->job.team_size);
        for (long b = mine.first; b < mine.last; ++b)
            for (long gate = 0; gate < gates; ++gate)
                gather_row(from + b * x.row + gate * units, inp + gate * padded * count + b * kLanes<T>, units,
                           count * kLanes<T>);
    }

    // One tile of every gate: where each has a product, a column group of W_ih and the same of W_hh in turn.
    void multiply(long tile, const View& x, const T* h, bool back) const {
        const long products = waves[0].count, first = (tile - tiles.first) * tiling.panels;
        const T* w_ih = this->weights_of(weight_ih, tile, gates, scan.inputs);
        const T* w_hh = this->weights_of(waves[0].weight, tile, products, units);
        const Left<T> below{static_cast<const T*>(x.data), x.row, x.panel, 0, scan.inputs, 1};
        const Left<T> left{h, kLanes<T>, count * kLanes<T>, 0, units, 1};
        const Column<T>*in = from_input + first * gates, *state = from_state + first * products;
        if (products != gates) {
            product(below, count, w_ih, panels_in(tile) * gates, in, offset);
            product(left, count, w_hh, panels_in(tile) * products, state, offset);
            return;
        }
        const long columns = panels_in(tile) * gates, groups = (columns + kWidth - 1) / kWidth;
        for (long k = 0; k < groups; ++k) {
            const Share of = group_at(columns, back ? groups - 1 - k : k);
            const long step = of.first * kLanes<T>, n = of.last - of.first;
            product(below, count, w_ih + step * scan.inputs, n, in + of.first, offset);
            product(left, count, w_hh + step * units, n, state + of.first, offset);
        }
    }

    // The columns of group `i` of those that each_group makes.
    static Share group_at(long columns, long i) {
        const long groups = (columns + kWidth - 1) / kWidth, width = columns / groups, more = columns % groups;
        return {i * width + min_of(i, more), (i + 1) * width + min_of(i + 1, more)};
    }

    // The state, and the inputs of layers that are added to it, to where the output is wanted.
    void put_out(const View& state, const View* inputs, const StreamLayer& layer, const View& out) const {
        for (long p = this->panel_first(); p < this->panel_last(); ++p) {
            const int lanes = p + 1 == panels ? tail : kLanes<T>;
            auto at = [=](const View& v, long b) { return static_cast<T*>(v.data) + b * v.row + p * v.panel; };
            for (long b = 0; b < count; ++b) {
                Vec<T> sum = load(at(state, b));
                for (int i = 0; i < layer.adds; ++i) sum += load_some(at(inputs[layer.add[i]], b), lanes);
                store_some(at(out, b), sum, lanes);
            }
        }
    }

    void read(void* const* states) const {
        for (int s = 0; s < scan.states; ++s)
            for (long b = 0; b < count; ++b)
                scatter_row(this->initial + s * padded * count + b * kLanes<T>,
                            static_cast<T*>(states[s]) + this->rows.row[b] * units, units, count * kLanes<T>);
    }

    void write(const void* const* states, const uint8_t* where) {
        for (int s = 0; s < scan.states; ++s)
            for (long b = 0; b < count; ++b)
                if (!where || where[this->rows.row[b]])
                    gather_row(static_cast<const T*>(states[s]) + this->rows.row[b] * units,
                               this->initial + s * padded * count + b * kLanes<T>, units, count * kLanes<T>);
    }
};

}  // namespace
}  // namespace elman
