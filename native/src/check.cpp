#include "check.h"

#include <algorithm>

namespace elman {

// The tensors of a call one after the other.
struct Bound::Reading {
    Bound& to;
    const elman_program& p;
    std::vector<Tensor> tensors;
    bool starts;  // whether there are states after a reset
    size_t next = 0;
    int kind = ELMAN_ABSENT;
    int64_t steps = 0, batch = 0, units = 0;

    const Tensor& take() { return tensors[next++]; }

    void** pointers(int64_t count) {
        const size_t first = to.pointers_.size();
        to.pointers_.resize(first + size_t(count));
        return to.pointers_.data() + first;
    }

    Sequence* sequences(int64_t count) {
        const size_t first = to.sequences_.size();
        to.sequences_.resize(first + size_t(count));
        return to.sequences_.data() + first;
    }

    Sequence sequence(const Tensor& t) const { return {t.data, t.stride[1], t.stride[0]}; }

    int64_t incoming() const { return p.projected ? 4 : p.inputs; }

    // (time, batch, gates * units) each, as a sequence for each gate.
    const Sequence* gates(const char* name, bool written) {
        Sequence* gate = sequences(p.gates);
        const int64_t width = width_of(kind);
        for (int i = 0, at = 0; i < p.inputs; ++i) {
            const Tensor& t = take();
            if (t.there() || !written)
                expect(t, {name, i}, kind, {steps, batch, p.width[i] * units}, written ? Lies::apart : Lies::in_rows);
            for (int g = 0; g < p.width[i]; ++g, ++at) {
                gate[at] = sequence(t);
                if (t.there()) gate[at].data = static_cast<char*>(t.data) + g * units * width;
            }
        }
        return gate;
    }

    void* const* rows(const char* name, int64_t count, bool optional) {
        void** state = pointers(count);
        for (int64_t i = 0; i < count; ++i) {
            const Tensor& t = take();
            if (!optional || t.there()) expect(t, {name, int(i)}, kind, {batch, units});
            state[i] = t.data;
        }
        return state;
    }

    const Sequence* watched(const char* name, bool optional, Lies lies) {
        Sequence* seen = sequences(p.watched);
        for (int i = 0; i < p.watched; ++i) {
            const Tensor& t = take();
            if (!optional || t.there()) expect(t, {name, i}, kind, {steps, batch, units}, lies);
            seen[i] = sequence(t);
        }
        return seen;
    }

    // Matrices in blocks of units; each holds all blocks that are taken of it.
    void* const* matrices(const char* name, bool optional) {
        void** matrix = pointers(p.matrices);
        const size_t first = next;
        for (int i = 0; i < p.matrices; ++i) {
            const Tensor& t = take();
            matrix[i] = t.data;
            if (optional && !t.there()) continue;
            expect(t, {name, i}, kind,
                   {std::max(t.size[0] / units, int64_t(1)) * units, std::max(t.size[1] / units, int64_t(1)) * units});
        }
        for (int i = 0; i < p.blocks; ++i) {
            const elman_block& b = p.block[i];
            const Tensor& t = tensors[first + size_t(b.matrix)];
            if (t.there() && ((b.row + 1) * units > t.size[0] || b.columns * units != t.size[1]))
                expect(t, {name, b.matrix}, kind, {(b.row + 1) * units, b.columns * units});
        }
        return matrix;
    }

    // One number for each unit, or a single one, in pieces of the other own tensors.
    void* const* parameters(const char* name, bool optional) {
        void** parameter = pointers(p.slots);
        const size_t first = next - size_t(p.matrices);
        next += size_t(p.own - p.matrices);
        for (int i = 0; i < p.slots; ++i) {
            const elman_slot& s = p.slot[i];
            const Tensor& t = tensors[first + size_t(s.tensor)];
            parameter[i] = nullptr;
            if (optional && !t.there()) continue;
            const int64_t end = s.is_scalar ? 1 : (s.piece + 1) * units;
            if (!t.there() || t.kind != kind || !t.contiguous || t.numbers < end)
                refuse("%s @%d: expected %s, contiguous, at least %ld numbers; got %s, %ld%s", name, i,
                       name_of_kind(kind), long(end), t.there() ? name_of_kind(t.kind) : "nothing", long(t.numbers),
                       t.contiguous ? "" : ", not contiguous");
            parameter[i] = static_cast<char*>(t.data) + s.piece * units * width_of(kind);
        }
        return parameter;
    }

    void read_inputs(ScanArguments& scan);
    void read_masks(ScanArguments& scan);
    void read_record(ScanArguments& scan, Use use);
    void read_gradients(BackwardResults& out, const ScanArguments& scan);
};

void Bound::Reading::read_inputs(ScanArguments& scan) {
    const Tensor& x = tensors[0];
    const size_t first_state = size_t(incoming());
    if (x.kind != ELMAN_FLOAT32 && x.kind != ELMAN_FLOAT64)
        refuse("x: expected float32 or float64, got %s", x.there() ? name_of_kind(x.kind) : "nothing");
    if (x.dims != 3 || x.size[0] < 1 || x.size[1] < 1 || x.size[2] < 1)
        refuse("x: expected (time, batch, features), none of them 0; got %d dimensions (%ld, %ld, %ld)", x.dims,
               long(x.size[0]), long(x.size[1]), long(x.size[2]));
    const Tensor& state = tensors[first_state];
    if (state.dims != 2 || state.size[1] < 1) refuse("state 0: expected (batch, units), got %d dimensions", state.dims);
    kind = x.kind, steps = x.size[0], batch = x.size[1], units = state.size[1];
    scan.float64 = kind == ELMAN_FLOAT64, scan.batch = batch, scan.steps = steps, scan.units = units;
    if (!p.projected) {
        scan.input = gates("input %d", false);
        return;
    }
    expect(take(), "x", kind, {steps, batch, x.size[2]}, Lies::in_rows);
    scan.inputs = x.size[2], scan.x = sequence(x);
    const Tensor &weight = take(), &bias_ih = take(), &bias_hh = take();
    expect(weight, "weight_ih", kind, {p.gates * units, scan.inputs});
    allow(bias_ih, "bias_ih", kind, {p.gates * units});
    allow(bias_hh, "bias_hh", kind, {p.gates * units});
    scan.weight_ih = weight.data, scan.bias_ih = bias_ih.data, scan.bias_hh = bias_hh.data;
}

void Bound::Reading::read_masks(ScanArguments& scan) {
    const Tensor &lengths = take(), &reset = take();
    allow(lengths, "lengths", ELMAN_INT64, {batch});
    scan.lengths = static_cast<const int64_t*>(lengths.data);
    for (int64_t b = 0; scan.lengths && b < batch; ++b)
        if (scan.lengths[b] < 0 || scan.lengths[b] > steps)
            refuse("lengths: row %ld has %ld steps, outside of [0, %ld]", long(b), long(scan.lengths[b]), long(steps));
    if (!reset.there()) return;
    if (reset.kind != ELMAN_BOOL || reset.dims != 2 || reset.size[0] != steps || reset.size[1] != batch ||
        reset.stride[0] < 0 || reset.stride[1] < 0)
        refuse("reset: expected bool of (%ld, %ld), got %s of (%ld, %ld)", long(steps), long(batch),
               name_of_kind(reset.kind), long(reset.size[0]), long(reset.size[1]));
    scan.reset = static_cast<const uint8_t*>(reset.data);
    scan.reset_row = reset.stride[1], scan.reset_step = reset.stride[0];
}

void Bound::Reading::read_record(ScanArguments& scan, Use use) {
    const bool back = use == Use::backward;
    const Tensor &y = take(), &record = take();
    expect(y, "output", kind, {steps, batch, units}, back ? Lies::in_rows : Lies::apart);
    if (back || record.there()) expect(record, "record", kind, {record.size[0]});
    scan.y = sequence(y), scan.record = record.data, scan.numbers = record.size[0];
    scan.watch = watched(back ? "gradient of watched %d" : "watched %d", back, back ? Lies::in_rows : Lies::apart);
}

void Bound::Reading::read_gradients(BackwardResults& out, const ScanArguments& scan) {
    const Tensor& dy = take();
    allow(dy, "gradient of the output", kind, {steps, batch, units}, Lies::in_rows);
    out.dy = sequence(dy);
    out.dfinal = rows("gradient of final state %d", p.states, true);
    if (p.projected) {
        const Tensor &dx = take(), &weight = take(), &bias_ih = take(), &bias_hh = take();
        allow(dx, "gradient of x", kind, {steps, batch, scan.inputs}, Lies::apart);
        allow(weight, "gradient of weight_ih", kind, {p.gates * units, scan.inputs});
        allow(bias_ih, "gradient of bias_ih", kind, {p.gates * units});
        allow(bias_hh, "gradient of bias_hh", kind, {p.gates * units});
        out.dx = sequence(dx), out.dweight_ih = weight.data, out.dbias_ih = bias_ih.data, out.dbias_hh = bias_hh.data;
    } else {
        out.dinput = gates("gradient of input %d", true);
    }
    out.dinitial = rows("gradient of state %d", p.states, true);
    out.dfresh = starts ? rows("gradient of state %d after a reset", p.states, true) : pointers(p.states);
    out.dmatrix = matrices("gradient of matrix W%d", true);
    out.dparameter = parameters("gradient of parameter", true);
    out.gate_grads = p.gate_grads, out.groups = p.groups, out.blocks = p.blocks;
    out.input_grad = p.input_grad, out.group = p.group;
}

Bound::Bound(const elman_scan& call, const int64_t* numbers, int64_t count, Use use) {
    const elman_program& p = *call.program;
    check_tables(p);
    if (call.starts != 0 && call.starts != p.states)
        refuse("starts: expected 0 or %d states after a reset, got %d", p.states, call.starts);
    Reading read{*this, p, tensors_of(numbers, count), call.starts != 0};
    const int64_t cell = read.incoming() + p.states + call.starts + p.own;
    const int64_t expected = cell + 2 +
                             (use == Use::stream    ? 0
                              : use == Use::forward ? 2 + p.watched + p.states
                                                    : 2 + p.watched + 1 + p.states + cell);
    if (int64_t(read.tensors.size()) != expected)
        refuse("%ld tensors are expected, and %zu came", long(expected), read.tensors.size());
    pointers_.reserve(size_t(5 * p.states + 2 * (p.matrices + p.slots)));
    sequences_.reserve(size_t(2 * p.gates + p.watched));

    scan.threads = call.threads, scan.split = call.split, scan.reverse = call.reverse != 0;
    scan.gates = p.gates, scan.states = p.states, scan.saved = p.saved, scan.slots = p.slots;
    scan.watched = p.watched, scan.digest = p.digest, scan.block = p.block;
    read.read_inputs(scan);
    scan.initial = read.rows("state %d", p.states, false);
    scan.fresh = read.starts ? read.rows("state %d after a reset", p.states, false) : read.pointers(p.states);
    scan.matrix = read.matrices("matrix W%d", false);
    scan.parameter = read.parameters("parameter", false);
    for (int i = 0; i < p.slots; ++i) scalars_.push_back(p.slot[i].is_scalar != 0);
    scan.parameter_is_scalar = scalars_.data();
    read.read_masks(scan);
    kind = read.kind;
    if (read.starts && !scan.reset) refuse("starts: there are states after a reset, and no reset");
    if (use == Use::stream) {
        if (scan.steps != 1 || scan.lengths || scan.reset)
            refuse("x: a stream takes one step of all rows, got %ld", long(scan.steps));
        check_routine(p, use, false);
        scan.program = p.inference;
        return;
    }
    read.read_record(scan, use);
    check_routine(p, use, scan.record != nullptr);
    scan.program = use == Use::backward ? p.backward : scan.record ? p.forward : p.inference;
    if (use == Use::forward) forward.final = read.rows("final state %d", p.states, false);
    else read.read_gradients(backward, scan);
}

CrossEntropyArguments bound(const elman_cross_entropy& call, const int64_t* numbers, int64_t count) {
    const std::vector<Tensor> t = tensors_of(numbers, count);
    if (t.size() != 10) refuse("10 tensors are expected, and %zu came", t.size());
    const Tensor &h = t[0], &weight = t[1];
    if (h.kind != ELMAN_FLOAT32 && h.kind != ELMAN_FLOAT64)
        refuse("h: expected float32 or float64, got %s", h.there() ? name_of_kind(h.kind) : "nothing");
    if (h.dims != 2 || weight.dims != 2 || h.size[0] < 1 || h.size[1] < 1 || weight.size[0] < 1)
        refuse("h and weight: expected (rows, inputs) and (outputs, inputs), none of them 0");
    const int64_t rows = h.size[0], inputs = h.size[1], outputs = weight.size[0];
    const int kind = h.kind;
    expect(h, "h", kind, {rows, inputs});
    expect(weight, "weight", kind, {outputs, inputs});
    allow(t[2], "bias", kind, {outputs});
    expect(t[3], "target", ELMAN_INT64, {rows});
    allow(t[4], "scale", kind, {rows});
    allow(t[5], "loss", kind, {rows});
    expect(t[6], "normalizer", kind, {rows});
    allow(t[7], "gradient of h", kind, {rows, inputs});
    allow(t[8], "gradient of weight", kind, {outputs, inputs});
    allow(t[9], "gradient of bias", kind, {outputs});
    const bool gradient = t[7].there() || t[8].there() || t[9].there();
    if (gradient && !t[4].there()) refuse("scale: gradients are wanted, and there is none");
    if (!t[5].there() && !t[4].there()) refuse("loss: neither it nor a gradient is wanted");
    const auto* target = static_cast<const int64_t*>(t[3].data);
    for (int64_t r = 0; r < rows; ++r)
        if (target[r] != call.ignore && (target[r] < 0 || target[r] >= outputs))
            refuse_target(r, target[r], outputs, call.ignore);
    return {kind == ELMAN_FLOAT64,
            int32_t(call.threads),
            rows,
            inputs,
            outputs,
            call.ignore,
            call.smoothing,
            h.data,
            weight.data,
            t[2].data,
            target,
            t[4].data,
            t[5].data,
            t[6].data,
            t[7].data,
            t[8].data,
            t[9].data};
}

}  // namespace elman
