// The exported functions: check, plan, start the threads.
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <atomic>
#include <new>

#include "team.h"

namespace elman {
namespace {

std::atomic<bool> forked{false};
const int watching_forks = pthread_atfork(nullptr, nullptr, [] { forked = true; });

const char* wrong(const elman_scan& scan, const elman_backward_out* backward) {
    if (!kernels()) return "ELMAN_ISA names an instruction set that this machine does not have";
    if (scan.batch < 1 || scan.steps < 1 || scan.inputs < !scan.input || scan.units < 1) return "empty batch, sequence or layer";
    if (scan.program.operands > 256) return "the program has more than 256 operands";
    if (scan.program.products > kMostProducts || (backward && backward->groups > kMostProducts))
        return "the program has more than 64 matrix products";
    for (int64_t b = 0; scan.lengths && b < scan.batch; ++b)
        if (scan.lengths[b] < 0 || scan.lengths[b] > scan.steps) return "a length is outside of [0, steps]";
    return nullptr;
}

int threads_for(int wanted) { return forked || wanted < 1 ? 1 : wanted > kMostThreads ? kMostThreads : wanted; }

void write_header(const elman_scan& scan, int64_t teams) {
    const RecordHeader header = header_of(scan, teams);
    memset(scan.record, 0, kRecordHeader * (scan.float64 ? sizeof(double) : sizeof(float)));
    memcpy(scan.record, &header, sizeof header);
}

// What is wrong with a record, as its header has it; its teams.
const char* wrong_record(const elman_scan& scan, int64_t& teams) {
    if (!scan.record) return "the backward has no record of the forward";
    if (scan.numbers < kRecordHeader) return "the record is too short to be one";
    RecordHeader is;
    memcpy(&is, scan.record, sizeof is);
    const RecordHeader expected = header_of(scan, is.teams);
    if (is.mark != expected.mark || is.teams < 1 || is.teams > scan.batch || is.teams > kMostThreads)
        return "the record is not what a forward wrote: a hook on saved tensors may have changed it";
    teams = is.teams;
    if (!memcmp(&is, &expected, sizeof is)) return nullptr;
    static thread_local char text[320];
    auto show = [](const RecordHeader& h, char (&to)[120]) {
        snprintf(to, sizeof to, "%ld rows of %ld steps and %ld units (%ld planes, %ld lanes%s, lengths %016lx)", long(h.batch),
                 long(h.steps), long(h.units), long(h.planes), long(h.lanes), h.reverse ? ", reversed" : "",
                 static_cast<unsigned long>(h.lengths));
        return to;
    };
    char written[120], called[120];
    snprintf(text, sizeof text, "the record is of a forward over %s, and this is the backward of one over %s",
             show(is, written), show(expected, called));
    return text;
}

// `run(job, worker)` on every worker of the job; `own` bytes for each of them.
template <class J>
const char* on_all_threads(J& job, size_t own, void (*run)(const J&, int)) {
    if (!job.shared) return "out of memory";
    if (job.workers == 1) {
        job.own[0] = scratch(false, own);
        if (!job.own[0]) return "out of memory";
        run(job, 0);
        return nullptr;
    }
    bool failed = false;
    fenv_t caller;
    fegetenv(&caller);
#pragma omp parallel num_threads(job.workers)
    {
        const AsCaller arithmetic(caller);
        const int thread = omp_get_thread_num();
        job.own[thread] = scratch(false, own);
        if (!job.own[thread] || omp_get_num_threads() != job.workers) failed = true;
#pragma omp barrier
        if (!failed) run(job, thread);
    }
    return failed ? "out of memory, or fewer threads than asked for" : nullptr;
}

const char* run(const elman_scan* scan, const elman_forward_out* forward, const elman_backward_out* backward) {
    if (const char* reason = wrong(*scan, backward)) return reason;
    try {
        const int kind = backward != nullptr, type = scan->float64 != 0;
        const int most = threads_for(scan->threads);
        int64_t teams = 0;
        const char* reason = backward ? wrong_record(*scan, teams) : nullptr;
        if (reason) return reason;
        const Plan plan(*scan, most, int(teams));
        if (scan->record && scan->numbers < numbers_of_record(*scan, plan)) return "the record is too short";
        if (forward && scan->record) write_header(*scan, plan.teams);
        Signals signals[kMostThreads];
        for (int i = 0; i < plan.workers; ++i) signals[i] = {};
        Job job{scan, forward, backward, plan.teams * plan.team_size, plan.teams, plan.team_size, plan.most_rows,
                plan.team_rows.data(), signals, nullptr, {}, plan.chunk_rows, plan.record_gap, plan.workers};
        const Kernels& set = *kernels();
        job.shared = scratch(true, set.shared_bytes[kind][type](job));
        return on_all_threads(job, set.own_bytes[kind][type](job), set.run[kind][type]);
    } catch (const std::bad_alloc&) {
        return "out of memory";
    }
}

}  // namespace

bool forked_child() { return forked; }

}  // namespace elman

using namespace elman;

int elman_abi(void) { return ELMAN_ABI; }

const char* elman_isa(void) { return kernels() ? kernels()->name : nullptr; }

const char* elman_operations(void) {
    return
#define OPERATION(name, operands, uses_value, ...) #name " " #operands " " #uses_value "\n"
#define SPECIAL(name) #name " special\n"
#include "operations.def"
        ;
}

const char* elman_forward(const elman_scan* scan, const elman_forward_out* out) { return run(scan, out, nullptr); }

const char* elman_backward(const elman_scan* scan, const elman_backward_out* out) {
    return run(scan, nullptr, out);
}

const char* elman_cross_entropy_run(const elman_cross_entropy* call) {
    if (!kernels()) return "ELMAN_ISA names an instruction set that this machine does not have";
    if (call->rows < 1 || call->inputs < 1 || call->outputs < 1) return "no rows, inputs or outputs";
    for (int64_t r = 0; r < call->rows; ++r)
        if (call->target[r] != call->ignore && (call->target[r] < 0 || call->target[r] >= call->outputs))
            return "a target is not one of the outputs";
    const Kernels& set = *kernels();
    const int type = call->float64 != 0;
    const int threads = threads_for(call->threads);
    Signals signals[kMostThreads];
    for (int i = 0; i < threads; ++i) signals[i] = {};
    CrossEntropyJob job{call, threads, threads, signals, nullptr, {}};
    job.shared = scratch(true, set.cross_entropy_shared[type](job));
    return on_all_threads(job, set.cross_entropy_own[type](job), set.cross_entropy[type]);
}

const char* elman_apply(int32_t op, int32_t float64, int64_t count, void* out, const void* a, const void* b,
                        const void* c, double value) {
    if (!kernels()) return "ELMAN_ISA names an instruction set that this machine does not have";
    kernels()->apply[float64 != 0](op, count, out, a, b, c, value);
    return nullptr;
}
