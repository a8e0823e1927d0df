// Who computes what: decided before any thread starts, in plain C++ that is compiled once.
#pragma once

#include <stddef.h>

#include "arguments.h"

namespace elman {

constexpr int kMostThreads = 256;
constexpr int kMostProducts = 64;  // of a forward, and groups of a backward

// Rows that a team carries through time, longest first, so that the active ones are always a prefix.
struct Rows {
    const int64_t* row;     // [count] rows of the batch
    const int64_t* length;  // [count]
    const int64_t* active;  // [steps + 1] how many rows have step t; active[steps] is 0
    const int64_t* before;  // [steps + 1] row-steps before step t
    int64_t count, steps;   // steps: of the longest row
    int64_t offset;         // row-steps of the teams before this one
};

// A record begins with this. The backward takes the teams from here, not from the threads that it has itself,
// and refuses a record that is not of this very scan.
struct RecordHeader {
    int64_t mark, teams, batch, steps, units, planes, lanes, reverse;
    uint64_t program, lengths;  // digests
};
constexpr int64_t kRecordHeader = 32;  // elements that it takes
static_assert(sizeof(RecordHeader) <= kRecordHeader * sizeof(float), "in a record of float32 too");
constexpr int64_t kRecordGap = 16;  // elements between the records of two steps

// How often a thread was signaled in each round of a barrier; see wait_for_all.
struct Signals {
    alignas(64) unsigned sent[8];
};
static_assert(kMostThreads <= 1 << 8, "a round for each doubling");

// Either one team of all threads, that share every row and split the units, or a team for each thread. Of the
// latter a worker may play several, one after the other, where the forward had more threads than the backward.
struct Job {
    const ScanArguments* scan;
    const ForwardResults* forward;
    const BackwardResults* backward;
    int threads, teams, team_size;
    int64_t most_rows;
    const Rows* team;
    Signals* signals;                  // of each thread
    char *shared, *own[kMostThreads];  // scratch memory: of everyone, of each thread
    int64_t chunk_rows = 256;          // row-steps whose projection, or gate gradients, stay in the cache
    int64_t record_gap = 0;            // elements between the records of two steps
    int workers = threads;
};

// Rows of units: number u of row r is at data[r * row + u / lanes * panel + u % lanes].
struct View {
    void* data;
    int64_t row, panel;
};

// One layer of a stream (stream.h) on memory of its own, made for one thread of its job.
struct StreamKernels {
    size_t (*shared_bytes)(const Job&);
    size_t (*own_bytes)(const Job&);
    void* (*make)(const Job&, int thread, char* own);
    void (*destroy)(void* layer);
    void (*prepare)(void* layer);
    View (*step)(void* layer, const View* inputs, const StreamLayer&, const View& x, bool back, const View* y);
    void (*read)(const void* layer, void* const* states);
    void (*write)(void* layer, const void* const* states, const uint8_t* where);
    int lanes;
};

struct CrossEntropyJob {
    const CrossEntropyArguments* call;
    int threads, workers;
    Signals* signals;
    char *shared, *own[kMostThreads];
};

// What is compiled once per instruction set; the arrays are by backward and by float64.
struct Kernels {
    const char* name;
    size_t (*shared_bytes[2][2])(const Job&);
    size_t (*own_bytes[2][2])(const Job&);
    void (*run[2][2])(const Job&, int thread);
    void (*apply[2])(int op, int64_t count, void* out, const void* a, const void* b, const void* c, double value);
    int lanes[2];
    size_t (*cross_entropy_shared[2])(const CrossEntropyJob&);
    size_t (*cross_entropy_own[2])(const CrossEntropyJob&);
    void (*cross_entropy[2])(const CrossEntropyJob&, int thread);
    StreamKernels stream[2];
};

const Kernels* kernels();  // of the chosen instruction set; null if ELMAN_ISA names none of this machine

}  // namespace elman
