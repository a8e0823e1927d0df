// Whether every index of a program is in range: the interpreter itself looks at none of them.
#include "check.h"
#include "plan.h"

namespace elman {
namespace {

constexpr int kBanks = ELMAN_WATCHED_COTANGENT + 1;
constexpr int kMostOperands = 256, kMostCount = 1 << 16;

struct Operation {
    const char* name;
    int operands;
    bool special;
};

constexpr Operation kOperations[] = {
#define OPERATION(name, operands, uses_value, ...) {#name, operands, false},
#define SPECIAL(name) {#name, 0, true},
#include "operations.def"
#undef OPERATION
#undef SPECIAL
};
constexpr int kOperationCount = int(sizeof kOperations / sizeof *kOperations);

enum Special {
#define OPERATION(...)
#define SPECIAL(name) special_##name,
#include "operations.def"
#undef OPERATION
#undef SPECIAL
    kSpecials
};

bool in(int64_t i, int64_t count) { return 0 <= i && i < count; }

// One routine of a program.
struct Checked {
    const elman_program& p;
    const elman_routine& r;
    const bool back;
    const char* const name;
    int count[kBanks] = {};     // arrays that each bank has
    bool written[kBanks] = {};  // whether an instruction may write there

    Checked(const elman_program& p_, const elman_routine& r_, bool back_, bool keeps, const char* name_)
        : p(p_), r(r_), back(back_), name(name_) {
        count[ELMAN_TEMPORARY] = r.temporaries, count[ELMAN_WIDE] = r.wides, count[ELMAN_ROW] = r.rows;
        count[ELMAN_PREVIOUS] = count[ELMAN_NEXT] = p.states;
        written[ELMAN_TEMPORARY] = written[ELMAN_WIDE] = written[ELMAN_ROW] = true;
        if (back) {
            for (int g = 0; g < p.groups; ++g)
                if (p.group[g].product >= count[ELMAN_PRODUCT]) count[ELMAN_PRODUCT] = p.group[g].product + 1;
            count[ELMAN_COTANGENT] = count[ELMAN_GRADIENT] = p.states;
            count[ELMAN_SAVED] = p.saved, count[ELMAN_GATE] = p.gate_grads, count[ELMAN_WATCHED_COTANGENT] = p.watched;
            written[ELMAN_GRADIENT] = written[ELMAN_GATE] = true;
        } else {
            count[ELMAN_INPUT] = p.gates, count[ELMAN_PRODUCT] = r.products;
            count[ELMAN_SAVED] = keeps ? p.saved : 0, count[ELMAN_WATCHED] = p.watched;
            written[ELMAN_NEXT] = written[ELMAN_SAVED] = written[ELMAN_WATCHED] = true;
        }
    }

    void run() const {
        if (!in(r.phases - 1, kMostCount) || !in(r.operands - 1, kMostOperands) ||
            !in(r.temporaries, kMostOperands + 1) || !in(r.wides, kMostOperands + 1) || !in(r.rows, kMostCount) ||
            !in(r.lines, kMostCount))
            refuse("program, %s: %d phases, %d operands (at most 256), %d lines, %d + %d + %d places", name, r.phases,
                   r.operands, r.lines, r.temporaries, r.wides, r.rows);
        if (!in(r.products, kMostProducts + 1)) refuse("the program has more than 64 matrix products");
        if (!r.ends || !r.instructions || !r.operand || !r.product) refuse("program, %s: a table is absent", name);
        for (int i = 0; i < r.operands; ++i)
            if (!is_place(r.operand[i].bank, r.operand[i].index))
                refuse("program, %s: operand %d is number %d of bank %d", name, i, r.operand[i].index,
                       r.operand[i].bank);
        check_products();
        for (int part = 0, at = 0; part < 2 * r.phases; at = r.ends[part++]) {
            if (r.ends[part] < at || r.ends[part] > r.lines || (part + 1 == 2 * r.phases && r.ends[part] != r.lines))
                refuse("program, %s: part %d ends at line %d of %d", name, part, r.ends[part], r.lines);
            for (int i = at; i < r.ends[part]; ++i)
                if (!(part % 2 ? is_tile_line(r.instructions[i]) : is_row_line(r.instructions[i])))
                    refuse("program, %s: line %d, %s, has an operand or a parameter that it cannot have", name, i,
                           in(r.instructions[i].op, kOperationCount) ? kOperations[r.instructions[i].op].name
                                                                     : "no operation");
        }
    }

    bool is_place(int bank, int index) const { return in(bank, kBanks) && in(index, count[bank]); }

    // What a product reads all units of: made before its phase.
    bool is_whole(int phase, int bank, int index) const {
        if (bank == ELMAN_TEMPORARY || bank == ELMAN_ROW || !is_place(bank, index)) return false;
        return phase > 0 || bank == ELMAN_PREVIOUS || bank == ELMAN_INPUT;
    }

    // Products of one phase and source that follow each other are computed at once (forward.h); the bias of W_hh is
    // what its products start from, unless they start from an input.
    bool starts_from_earlier(int i) const {
        const elman_product* q = r.product;
        int first = i;
        while (first > 0 && q[first - 1].phase == q[i].phase && q[first - 1].bank == q[i].bank &&
               q[first - 1].index == q[i].index)
            --first;
        return q[i].start_index < first && !(p.projected && q[i].block < p.gates);
    }

    void check_products() const {
        for (int i = 0, phase = 0; i < r.products; phase = r.product[i++].phase) {
            const elman_product& q = r.product[i];
            const bool starts = q.start_bank != -1;
            if (back || q.phase < phase || q.phase >= r.phases || !is_whole(q.phase, q.bank, q.index) ||
                !in(q.block, p.blocks) ||
                (starts && (q.start_bank == ELMAN_TEMPORARY || q.start_bank == ELMAN_ROW ||
                            !is_place(q.start_bank, q.start_index))))
                refuse("program, %s: product %d has no such source, start or block", name, i);
            if (q.start_bank == ELMAN_PRODUCT && !starts_from_earlier(i))
                refuse("program, %s: product %d starts from one that is computed with it, or would lose its bias", name,
                       i);
        }
    }

    bool tile(int operand) const { return r.operand[operand].bank != ELMAN_ROW; }
    bool to_tile(int operand) const { return tile(operand) && written[r.operand[operand].bank]; }
    bool slot(int i, bool scalar) const { return in(i, p.slots) && (p.slot[i].is_scalar != 0) == scalar; }

    bool is_line(const elman_instruction& line) const {
        return in(line.op, kOperationCount) && in(line.out, r.operands) && in(line.a, r.operands) &&
               in(line.b, r.operands) && in(line.c, r.operands);
    }

    bool is_tile_line(const elman_instruction& line) const {
        if (!is_line(line)) return false;
        const Operation& op = kOperations[line.op];
        if (!op.special)
            return to_tile(line.out) && (op.operands < 1 || tile(line.a)) && (op.operands < 2 || tile(line.b)) &&
                   (op.operands < 3 || tile(line.c));
        switch (line.op - (kOperationCount - kSpecials)) {
            case special_expand: return to_tile(line.out) && !tile(line.a);
            case special_row_sum:
            case special_row_max: return tile(line.a) && in(line.slot, r.rows);
            case special_unit: return to_tile(line.out) && slot(line.slot, false);
            case special_scalar: return to_tile(line.out) && slot(line.slot, true);
            case special_accumulate: return back && tile(line.a) && slot(line.slot, false);
        }
        return false;
    }

    bool is_row_line(const elman_instruction& line) const {
        if (!is_line(line)) return false;
        const Operation& op = kOperations[line.op];
        if (!op.special)
            return !tile(line.out) && (op.operands < 1 || !tile(line.a)) && (op.operands < 2 || !tile(line.b)) &&
                   (op.operands < 3 || !tile(line.c));
        switch (line.op - (kOperationCount - kSpecials)) {
            case special_scalar: return !tile(line.out) && slot(line.slot, true);
            case special_accumulate_row: return back && !tile(line.a) && slot(line.slot, true);
        }
        return false;
    }
};

void check_counts(const elman_program& p) {
    const int counts[] = {p.inputs,   p.gates, p.states, p.saved,  p.gate_grads, p.watched,
                          p.matrices, p.own,   p.slots,  p.blocks, p.groups};
    for (int count : counts)
        if (!in(count, kMostCount)) refuse("program: a count is %d", count);
    if ((p.projected != 0 && p.projected != 1) || p.states < 1 || p.own < p.matrices || p.groups > kMostProducts)
        refuse("program: projected %d, %d states, %d matrices of %d own tensors, %d groups (at most 64)", p.projected,
               p.states, p.matrices, p.own, p.groups);
    if (!p.width || !p.input_grad || !p.slot || !p.block || !p.group) refuse("program: a table is absent");
    for (int i = 0; i < p.slots; ++i)
        if (p.slot[i].tensor < p.matrices || p.slot[i].tensor >= p.own || !in(p.slot[i].piece, kMostCount))
            refuse("program: parameter @%d is piece %d of own tensor %d", i, p.slot[i].piece, p.slot[i].tensor);
    for (int i = 0; i < p.blocks; ++i) {
        const elman_block& b = p.block[i];
        if (!in(b.matrix, p.matrices) || !in(b.row, kMostCount) || !in(b.column, b.columns) ||
            !in(b.columns, kMostCount))
            refuse("program: block %d is (%d, %d) of matrix W%d, %d wide", i, b.row, b.column, b.matrix, b.columns);
    }
}

// Gates of the input and their gradients. Where W_ih is multiplied here, those that there are come first.
void check_gates(const elman_program& p) {
    int gates = 0, input_grads = 0;
    for (int i = 0; !p.projected && i < p.inputs; ++i) {
        if (!in(p.width[i] - 1, kMostCount)) refuse("program: input %d has %d gates", i, p.width[i]);
        gates += p.width[i];
    }
    if (!p.projected && (gates != p.gates || p.inputs < 1))
        refuse("program: the inputs have %d gates, and not %d", gates, p.gates);
    if (p.gates < 1) refuse("program: it has no gates");
    for (int i = 0; i < p.gates; ++i) {
        if (p.input_grad[i] < -1 || p.input_grad[i] >= p.gate_grads)
            refuse("program: gate %d has gradient z%d", i, p.input_grad[i]);
        input_grads += p.input_grad[i] >= 0;
    }
    for (int grad = 0; p.projected && grad < input_grads; ++grad) {
        int owners = 0;
        for (int i = 0; i < p.gates; ++i) owners += p.input_grad[i] == grad;
        if (owners != 1) refuse("program: %d gates have gradient z%d", owners, grad);
    }
}

void check_groups(const elman_program& p) {
    for (int i = 0; i < p.groups; ++i) {
        const elman_group& g = p.group[i];
        bool right = g.block && in(g.first, p.gate_grads) && g.count > 0 && g.count <= p.gate_grads - g.first &&
                     g.state >= -1 && g.state < p.states && g.product >= -1 && g.product < kMostProducts &&
                     (g.product < 0 || in(g.phase - 1, p.backward.phases - 1));
        for (int k = 0; right && k < g.count; ++k) right = in(g.block[k], p.blocks);
        const int most = g.bank == ELMAN_PREVIOUS || g.bank == ELMAN_NEXT ? p.states
                         : g.bank == ELMAN_SAVED                          ? p.saved
                         : g.bank == ELMAN_GATE                           ? p.gate_grads
                                                                          : 0;
        if (!right || (g.bank != -1 && !in(g.index, most)))
            refuse("program: group %d has no such gates, source or target", i);
    }
}

}  // namespace

int operands_of(int op) { return in(op, kOperationCount) && !kOperations[op].special ? kOperations[op].operands : -1; }

void check_tables(const elman_program& p) {
    check_counts(p);
    check_gates(p);
}

void check_routine(const elman_program& p, Use use, bool keeps) {
    if (use == Use::backward) check_groups(p);
    if (use == Use::backward) Checked(p, p.backward, true, true, "backward").run();
    else if (keeps) Checked(p, p.forward, false, true, "forward").run();
    else Checked(p, p.inference, false, false, "inference").run();
    if (use == Use::stream && p.watched) refuse("program: a stream shows no watched values, got %d", p.watched);
}

}  // namespace elman
