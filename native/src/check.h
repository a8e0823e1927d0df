// What comes over the boundary, checked and made into what the kernels read.
#pragma once

#include <vector>

#include "arguments.h"
#include "tensors.h"

namespace elman {

enum class Use { forward, backward, stream };

// The arguments of a scan. Pointers into its own lists, so it is moved but not copied.
struct Bound {
    Bound(const elman_scan& call, const int64_t* numbers, int64_t count, Use use);
    Bound(Bound&&) = default;

    ScanArguments scan{};
    ForwardResults forward{};
    BackwardResults backward{};
    int kind = ELMAN_ABSENT;  // of its numbers

  private:
    struct Reading;
    std::vector<void*> pointers_;
    std::vector<Sequence> sequences_;
    std::vector<uint8_t> scalars_;
};

CrossEntropyArguments bound(const elman_cross_entropy& call, const int64_t* numbers, int64_t count);

// Operands of an elementwise operation; -1 for any other.
int operands_of(int op);

// Refuse a program with an index out of range: in its tables; in what is run of it, where an operand may also be of
// a kind that its instruction cannot have. `keeps`: whether the forward keeps a record.
void check_tables(const elman_program& program);
void check_routine(const elman_program& program, Use use, bool keeps);

}  // namespace elman
