// The C ABI: plain structures that Python fills through ctypes. Nothing here knows torch or a cell.
//
// Tensors are described by strides in elements; the last dimension is always contiguous. A null pointer
// means "absent": zeros when read, not wanted when written.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ELMAN_ABI 5

// Where an operand of an instruction lives. TEMPORARY is a tile in cache, WIDE a whole step's worth that
// outlives a row sum, ROW one number per row; all others are arrays of the step at hand.
enum elman_bank {
    ELMAN_TEMPORARY,
    ELMAN_WIDE,
    ELMAN_ROW,
    ELMAN_INPUT,      // a gate of the projected input
    ELMAN_PRODUCT,    // what a matrix product of the step gives
    ELMAN_PREVIOUS,   // a state before the step
    ELMAN_NEXT,       // a state after the step
    ELMAN_SAVED,      // kept by the forward for the backward
    ELMAN_COTANGENT,  // the loss's gradient of a state after the step
    ELMAN_GRADIENT,   // ... of a state before it, without the part that flows through W_hh
    ELMAN_GATE,       // ... of the gates, and what else the gradient of a matrix needs
    ELMAN_WATCHED,    // shown to those who look
    ELMAN_WATCHED_COTANGENT
};

typedef struct {
    int32_t op, out, a, b, c, slot;  // out, a, b, c index the routine's operands; slot a parameter
    double value;
} elman_instruction;

typedef struct {
    int32_t bank, index;
} elman_operand;

// A block of a matrix of the cell's own, units x units: of which, where, and of how many side by side.
typedef struct {
    int32_t matrix, row, column, columns;
} elman_block;

// Product i of the forward: a block times the operand (bank, index) of the step, and what it starts from
// (its bank is -1 for a bias). Those of one phase and operand follow each other.
typedef struct {
    int32_t phase, bank, index, start_bank, start_index, block;
} elman_product;

// A phase first makes its products. Then it runs its row instructions once, then its tile instructions on
// every tile; what a row_sum adds up is there in the next phase. `ends` holds, per phase, where its row and
// its tile instructions end.
typedef struct {
    int32_t phases, operands, temporaries, wides, rows, products;
    const int32_t* ends;
    const elman_instruction* instructions;
    const elman_operand* operand;
    const elman_product* product;  // null in the backward, whose products are in its groups
} elman_routine;

typedef struct {
    void* data;
    int64_t row, step;  // strides over the batch and over time
} elman_sequence;

typedef struct {
    int32_t float64, threads, split, reverse;  // split: 0 choose, 1 rows, 2 units
    int32_t gates, states, saved, slots;       // slots: parameters of the program's own
    int64_t batch, steps, inputs, units;       // inputs: features of x; 0 where `input` is given
    const int64_t* lengths;
    const uint8_t* reset;
    int64_t reset_row, reset_step;
    elman_sequence x, y;
    const void *weight_ih, *bias_ih, *bias_hh;  // bias_hh: of the products, by block
    const void* const* initial;  // per state, (batch, units)
    const void* const* fresh;    // per state, what a reset starts from
    const void* const* parameter;
    const uint8_t* parameter_is_scalar;
    const elman_sequence* input;  // per gate, projected by the caller
    const elman_block* block;
    const void* const* matrix;
    void* record;          // of all steps, states but the first, which is y, and saved values; null: nothing is kept
    int64_t numbers;       // that the record has room for
    int64_t watched;
    const elman_sequence* watch;  // each watched value, or its cotangent, of every step
    elman_routine program;
} elman_scan;

typedef struct {
    void* const* final;  // per state, (batch, units)
} elman_forward_out;

// Gate gradients [first, first + count), each with the block that it meets. Times the operand (bank, index)
// they are the blocks' gradients (bank -1: not here); times the blocks they flow back, to a state with the
// next step, or to a product of this one in its phase (-1: not there).
typedef struct {
    int32_t first, count, bank, index, state, product, phase, unused;
    const int32_t* block;
} elman_group;

typedef struct {
    int32_t kinds, groups, blocks, unused;
    const int32_t* input_kind;  // per gate of the input: its gradient, or -1; with a weight_ih, the first
    const elman_group* group;
    elman_sequence dy, dx;
    const void* const* dfinal;
    void *dweight_ih, *dbias_ih, *dbias_hh;
    void* const* dinitial;
    void* const* dfresh;
    void* const* dparameter;
    const elman_sequence* dinput;
    void* const* dmatrix;
} elman_backward_out;

// loss = cross-entropy of softmax(h W^T + b), per row. With gradients, and `scale` the factor of each row's
// loss: the losses are computed too, unless `loss` is null, when `normaliser` is what an earlier call wrote.
typedef struct {
    int32_t float64, threads;
    int64_t rows, inputs, outputs, ignore;  // a target of `ignore` counts as nothing
    double smoothing;
    const void *h, *weight, *bias;  // (rows, inputs), (outputs, inputs), (outputs), contiguous
    const int64_t* target;
    const void* scale;
    void *loss, *normaliser;
    void *dh, *dweight, *dbias;
} elman_cross_entropy;
#define ELMAN_STREAM_LAYERS 64  // at most

// A layer of a stream: its scan, without sequences, and the layers whose input is added to its output.
typedef struct {
    elman_scan scan;
    int32_t adds, unused;
    const int32_t* add;
} elman_stream_layer;

typedef struct elman_stream elman_stream;

#define ELMAN_EXPORT __attribute__((visibility("default")))

ELMAN_EXPORT int elman_abi(void);
ELMAN_EXPORT const char* elman_isa(void);                                    // of this process
ELMAN_EXPORT const char* elman_operations(void);                             // "add 2 0,sub 2 0,..."
ELMAN_EXPORT const char* elman_forward(const elman_scan*, const elman_forward_out*);    // null, or what is wrong
ELMAN_EXPORT const char* elman_backward(const elman_scan*, const elman_backward_out*);
ELMAN_EXPORT const char* elman_cross_entropy_run(const elman_cross_entropy*);
// One instruction on arrays of `count` elements: what the tests compare with torch.
ELMAN_EXPORT const char* elman_apply(int32_t op, int32_t float64, int64_t count, void* out, const void* a,
                        const void* b, const void* c, double value);

// What the layers point to must stay as it is for as long as the stream lives; one thread at a time. The
// states of all layers, each (batch, units), are read to and written from `states`; where `where` is 1.
ELMAN_EXPORT elman_stream* elman_stream_create(const elman_stream_layer*, int32_t layers, const char** wrong);
ELMAN_EXPORT const char* elman_stream_step(elman_stream*, const void* x, int64_t x_row, void* y, int64_t y_row);
ELMAN_EXPORT void elman_stream_read(const elman_stream*, void* const* states);
ELMAN_EXPORT void elman_stream_write(elman_stream*, const void* const* states, const uint8_t* where);
ELMAN_EXPORT void elman_stream_destroy(elman_stream*);
#ifdef __cplusplus
}
#endif
