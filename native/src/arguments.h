// What the kernels read: the arguments of a call, once they were checked (check.cpp). A null pointer means "absent":
// zeros when read, not wanted when written.
#pragma once

#include "abi.h"

namespace elman {

// (time, batch, size): strides over the batch and over time, in elements; the last dimension is contiguous.
struct Sequence {
    void* data;
    int64_t row, step;
};

struct ScanArguments {
    int32_t float64, threads, split, reverse;
    int32_t gates, states, saved, slots;
    int64_t batch, steps, inputs, units;  // inputs: features of x; 0 where `input` is there instead
    uint64_t digest;
    const int64_t* lengths;
    const uint8_t* reset;
    int64_t reset_row, reset_step;
    Sequence x, y;
    const void *weight_ih, *bias_ih, *bias_hh;  // bias_hh: of the products, by block
    const void* const* initial;                 // per state, (batch, units)
    const void* const* fresh;                   // per state, what a reset starts from
    const void* const* parameter;
    const uint8_t* parameter_is_scalar;
    const Sequence* input;  // per gate, projected by the caller
    const elman_block* block;
    const void* const* matrix;
    void* record;     // of all steps, states but the first, which is y, and saved values; null: nothing is kept
    int64_t numbers;  // that it has room for
    int64_t watched;
    const Sequence* watch;  // each watched value, or its cotangent, of every step
    elman_routine program;
};

struct ForwardResults {
    void* const* final;  // per state, (batch, units)
};

struct BackwardResults {
    int32_t gate_grads, groups, blocks;
    const int32_t* input_grad;
    const elman_group* group;
    Sequence dy, dx;
    const void* const* dfinal;
    void *dweight_ih, *dbias_ih, *dbias_hh;
    void* const* dinitial;
    void* const* dfresh;
    void* const* dparameter;
    const Sequence* dinput;
    void* const* dmatrix;
};

struct CrossEntropyArguments {
    int32_t float64, threads;
    int64_t rows, inputs, outputs, ignore;
    double smoothing;
    const void *h, *weight, *bias;  // (rows, inputs), (outputs, inputs), (outputs), contiguous
    const int64_t* target;
    const void* scale;
    void *loss, *normalizer;
    void *dh, *dweight, *dbias;
};

struct StreamLayer {
    ScanArguments scan;
    int64_t adds;
    const int32_t* add;
};

}  // namespace elman
