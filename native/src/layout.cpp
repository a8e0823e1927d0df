// How the structures of abi.h lie, which whoever fills them compares with what it believes.
#include <stddef.h>
#include <stdio.h>

#include <string>

#include "abi.h"

namespace {

struct Text {
    std::string text;
    void begin(const char* name, size_t size) {
        text += (text.empty() ? "" : "\n") + std::string(name) + " " + std::to_string(size);
    }
    void field(const char* name, size_t offset, size_t size) {
        text += " " + std::string(name) + " " + std::to_string(offset) + " " + std::to_string(size);
    }
};

#define FIELD(name) text.field(#name, offsetof(Here, name), sizeof(Here::name));
#define STRUCTURE(name, ...)             \
    {                                    \
        using Here = name;               \
        text.begin(#name, sizeof(Here)); \
        __VA_ARGS__                      \
    }

std::string layout() {
    Text text;
    STRUCTURE(elman_instruction, FIELD(op) FIELD(out) FIELD(a) FIELD(b) FIELD(c) FIELD(slot) FIELD(value))
    STRUCTURE(elman_operand, FIELD(bank) FIELD(index))
    STRUCTURE(elman_block, FIELD(matrix) FIELD(row) FIELD(column) FIELD(columns))
    STRUCTURE(elman_slot, FIELD(tensor) FIELD(piece) FIELD(is_scalar) FIELD(unused))
    STRUCTURE(elman_product, FIELD(phase) FIELD(bank) FIELD(index) FIELD(start_bank) FIELD(start_index) FIELD(block))
    STRUCTURE(elman_routine,
              FIELD(phases) FIELD(lines) FIELD(operands) FIELD(temporaries) FIELD(wides) FIELD(rows) FIELD(products)
                  FIELD(unused) FIELD(ends) FIELD(instructions) FIELD(operand) FIELD(product))
    STRUCTURE(elman_group, FIELD(first) FIELD(count) FIELD(bank) FIELD(index) FIELD(state) FIELD(product) FIELD(phase)
                               FIELD(unused) FIELD(block))
    STRUCTURE(elman_program, FIELD(projected) FIELD(inputs) FIELD(gates) FIELD(states) FIELD(saved) FIELD(gate_grads)
                                 FIELD(watched) FIELD(matrices) FIELD(own) FIELD(slots) FIELD(blocks) FIELD(groups)
                                     FIELD(digest) FIELD(width) FIELD(input_grad) FIELD(slot) FIELD(block) FIELD(group)
                                         FIELD(forward) FIELD(inference) FIELD(backward))
    STRUCTURE(elman_scan, FIELD(program) FIELD(threads) FIELD(split) FIELD(reverse) FIELD(starts))
    STRUCTURE(elman_cross_entropy, FIELD(threads) FIELD(ignore) FIELD(smoothing))
    STRUCTURE(elman_stream_layer, FIELD(scan) FIELD(tensors) FIELD(count) FIELD(adds) FIELD(add))
    return text.text;
}

}  // namespace

const char* elman_layout(void) {
    static const std::string text = layout();
    return text.c_str();
}
