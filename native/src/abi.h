// The C ABI: plain structures, and lists of tensors. Nothing here knows torch or a cell.
//
// A tensor travels as whole numbers: where it begins; 16 * its kind + 8 if its strides follow + its dimensions; its
// sizes; and its strides in elements, if it is not contiguous. An absent one is 0, 0. Every tensor and every index
// of a program is checked (check.h, check_program.h) before anything is read or written through it; a function
// returns null, or a sentence that names what is wrong, which lives until the thread's next call.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Of a tensor's numbers. The library computes in the first two; the others are named in what it refuses.
enum elman_kind {
    ELMAN_ABSENT,
    ELMAN_FLOAT32,
    ELMAN_FLOAT64,
    ELMAN_INT64,
    ELMAN_BOOL,
    ELMAN_UINT8,
    ELMAN_INT8,
    ELMAN_INT16,
    ELMAN_INT32,
    ELMAN_FLOAT16,
    ELMAN_BFLOAT16,
    ELMAN_COMPLEX64,
    ELMAN_COMPLEX128,
    ELMAN_OTHER
};

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
    int32_t op, out, a, b, c, slot;  // out, a, b, c index the routine's operands; slot a parameter, or a row's sum
    double value;
} elman_instruction;

typedef struct {
    int32_t bank, index;
} elman_operand;

// A block of a matrix of the cell's own, units x units: of which, where, and of how many side by side.
typedef struct {
    int32_t matrix, row, column, columns;
} elman_block;

// A parameter of the program: one number per unit, the piece-th of one of the cell's own tensors, or a single number.
typedef struct {
    int32_t tensor, piece, is_scalar, unused;
} elman_slot;

// Product i of the forward: a block times the operand (bank, index) of the step, and what it starts from
// (its bank is -1 for a bias). Those of one phase and operand follow each other.
typedef struct {
    int32_t phase, bank, index, start_bank, start_index, block;
} elman_product;

// A phase first makes its products. Then it runs its row instructions once, then its tile instructions on
// every tile; what a row_sum adds up is there in the next phase. `ends` holds, per phase, where its row and
// its tile instructions end.
typedef struct {
    int32_t phases, lines, operands, temporaries, wides, rows, products, unused;
    const int32_t* ends;
    const elman_instruction* instructions;
    const elman_operand* operand;
    const elman_product* product;  // none in the backward, whose products are in its groups
} elman_routine;

// Gate gradients [first, first + count), each with the block that it meets. Times the operand (bank, index)
// they are the blocks' gradients (bank -1: not here); times the blocks they flow back, to a state with the
// next step, or to a product of this one in its phase (-1: not there).
typedef struct {
    int32_t first, count, bank, index, state, product, phase, unused;
    const int32_t* block;
} elman_group;

typedef struct {
    int32_t projected;  // 1: what comes in is x, weight_ih, bias_ih and bias_hh; 0: what the caller has projected
    int32_t inputs, gates, states, saved, gate_grads, watched;
    int32_t matrices, own, slots, blocks, groups;  // matrices: the first of the cell's own tensors
    uint64_t digest;                               // of all of it: a record is of one program
    const int32_t* width;                          // gates of each input, where they are projected
    const int32_t* input_grad;  // per gate of the input: its gradient, or -1; with a weight_ih, the first
    const elman_slot* slot;
    const elman_block* block;
    const elman_group* group;
    elman_routine forward, inference, backward;
} elman_program;

// A scan. Its tensors: what comes in; the states before the first step, those after a reset (as many, or none), the
// cell's own; lengths, reset; output, record, what is watched. Then, of a forward, the final states. Of a backward,
// where what is watched are its gradients: the gradients of the output, of the final states, and, each for as long as
// it is wanted, of what comes in, both groups of states, and the cell's own.
typedef struct {
    const elman_program* program;
    int32_t threads, split, reverse, starts;  // split: 0 choose, 1 rows, 2 units
} elman_scan;

// loss = cross-entropy of softmax(h W^T + b), per row. Its tensors: h, weight, bias, target, scale; loss, normalizer,
// and the gradients of the first three. With those, and `scale` the factor of each row's loss: the losses are
// computed too, unless `loss` is absent, when `normalizer` is what an earlier call wrote.
typedef struct {
    int64_t threads, ignore;  // a target of `ignore` counts as nothing
    double smoothing;
} elman_cross_entropy;

#define ELMAN_STREAM_LAYERS 64  // at most

// A layer of a stream: its scan, of one step and without anything after the reset, and the layers whose input is
// added to its output.
typedef struct {
    elman_scan scan;
    const int64_t* tensors;
    int64_t count, adds;
    const int32_t* add;
} elman_stream_layer;

typedef struct elman_stream elman_stream;

#define ELMAN_EXPORT __attribute__((visibility("default")))

// What the last sentence of the calling thread is about.
enum elman_failure {
    ELMAN_REFUSED,       // a tensor, a program or a setting that does not agree with the others
    ELMAN_WRONG_TARGET,  // of the cross-entropy: a target that is no output
};
ELMAN_EXPORT int32_t elman_last_failure(void);

ELMAN_EXPORT const char* elman_layout(void);      // of each structure above: "elman_block 16 matrix 0 4 ..."
ELMAN_EXPORT const char* elman_isa(void);         // of this process
ELMAN_EXPORT const char* elman_operations(void);  // "add 2 false\nsub 2 false\n..."

// `tensors` are `count` numbers, of all tensors of a call.
ELMAN_EXPORT const char* elman_forward(const elman_scan*, const int64_t* tensors, int64_t count);
ELMAN_EXPORT const char* elman_backward(const elman_scan*, const int64_t* tensors, int64_t count);
ELMAN_EXPORT const char* elman_cross_entropy_run(const elman_cross_entropy*, const int64_t* tensors, int64_t count);
// One elementwise instruction on arrays: what the tests compare with torch. Its tensors: out, and the operands.
ELMAN_EXPORT const char* elman_apply(int32_t op, double value, const int64_t* tensors, int64_t count);

// What the layers point to must stay as it is for as long as the stream lives; one thread at a time. A step takes
// x and y; the states of all layers, each (batch, units), are read to and written from the tensors, after which
// comes where: the rows that are, or none for all.
ELMAN_EXPORT elman_stream* elman_stream_create(const elman_stream_layer*, int32_t layers, const char** wrong);
ELMAN_EXPORT const char* elman_stream_step(elman_stream*, const int64_t* tensors, int64_t count);
ELMAN_EXPORT const char* elman_stream_read(const elman_stream*, const int64_t* tensors, int64_t count);
ELMAN_EXPORT const char* elman_stream_write(elman_stream*, const int64_t* tensors, int64_t count);
ELMAN_EXPORT void elman_stream_destroy(elman_stream*);
#ifdef __cplusplus
}
#endif
