// The exported functions: check, plan, start the threads.
#include <omp.h>
#include <pthread.h>
#include <string.h>

#include <atomic>
#include <new>

#include "check.h"
#include "team.h"

namespace elman {
namespace {

std::atomic<bool> forked{false};
const int watching_forks = pthread_atfork(nullptr, nullptr, [] { forked = true; });

int threads_for(int wanted) { return forked || wanted < 1 ? 1 : wanted > kMostThreads ? kMostThreads : wanted; }

void write_header(const ScanArguments& scan, int64_t teams) {
    const RecordHeader header = header_of(scan, teams);
    memset(scan.record, 0, kRecordHeader * (scan.float64 ? sizeof(double) : sizeof(float)));
    memcpy(scan.record, &header, sizeof header);
}

// The teams of a record, once it is known to be of this scan.
int teams_of_record(const ScanArguments& scan) {
    if (scan.numbers < kRecordHeader) refuse("record: %ld numbers are too few", long(scan.numbers));
    RecordHeader is;
    memcpy(&is, scan.record, sizeof is);
    const RecordHeader expected = header_of(scan, is.teams);
    if (is.mark != expected.mark || is.teams < 1 || is.teams > scan.batch || is.teams > kMostThreads)
        refuse("record: it is not what a forward wrote; a hook on saved tensors may have changed it");
    if (!memcmp(&is, &expected, sizeof is)) return int(is.teams);
    if (is.program != expected.program) refuse("record: it was written by another program");
    if (is.lengths != expected.lengths) refuse("record: it was written for other lengths");
    refuse(
        "record: it was written for %ld rows of %ld steps and %ld units%s (%ld planes, %ld lanes), and this is the "
        "backward "
        "of %ld rows of %ld steps and %ld units%s (%ld planes, %ld lanes)",
        long(is.batch), long(is.steps), long(is.units), is.reverse ? ", reversed" : "", long(is.planes), long(is.lanes),
        long(scan.batch), long(scan.steps), long(scan.units), scan.reverse ? ", reversed" : "", long(expected.planes),
        long(expected.lanes));
}

// `run(job, worker)` on every worker of the job; `own` bytes for each of them.
template <class J>
void on_all_threads(J& job, size_t own, void (*run)(const J&, int)) {
    if (!job.shared) throw std::bad_alloc();
    if (job.workers == 1) {
        job.own[0] = scratch(false, own);
        if (!job.own[0]) throw std::bad_alloc();
        run(job, 0);
        return;
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
    if (failed) refuse("out of memory, or fewer threads than asked for");
}

void refuse_without_kernels() {
    if (!kernels()) refuse("ELMAN_ISA names an instruction set that this machine does not have");
}

const char* run(const elman_scan* call, const int64_t* tensors, int64_t count, Use use) {
    return sentence_of([=] {
        refuse_without_kernels();
        const Bound bound(*call, tensors, count, use);
        const ScanArguments& scan = bound.scan;
        const int kind = use == Use::backward, type = scan.float64;
        const Plan plan(scan, threads_for(scan.threads), kind ? teams_of_record(scan) : 0);
        if (scan.record && scan.numbers < numbers_of_record(scan, plan))
            refuse("record: it has %ld numbers, and %ld are kept", long(scan.numbers),
                   long(numbers_of_record(scan, plan)));
        if (scan.record && !kind) write_header(scan, plan.teams);
        Signals signals[kMostThreads];
        for (int i = 0; i < plan.workers; ++i) signals[i] = {};
        Job job{&scan,
                &bound.forward,
                &bound.backward,
                plan.teams * plan.team_size,
                plan.teams,
                plan.team_size,
                plan.most_rows,
                plan.team_rows.data(),
                signals,
                nullptr,
                {},
                plan.chunk_rows,
                plan.record_gap,
                plan.workers};
        const Kernels& set = *kernels();
        job.shared = scratch(true, set.shared_bytes[kind][type](job));
        on_all_threads(job, set.own_bytes[kind][type](job), set.run[kind][type]);
    });
}

}  // namespace

bool forked_child() { return forked; }

}  // namespace elman

using namespace elman;

int32_t elman_last_failure(void) { return last_failure(); }

const char* elman_isa(void) { return kernels() ? kernels()->name : nullptr; }

const char* elman_operations(void) {
    return
#define OPERATION(name, operands, uses_value, ...) #name " " #operands " " #uses_value "\n"
#define SPECIAL(name) #name " special\n"
#include "operations.def"
        ;
}

const char* elman_forward(const elman_scan* scan, const int64_t* tensors, int64_t count) {
    return run(scan, tensors, count, Use::forward);
}

const char* elman_backward(const elman_scan* scan, const int64_t* tensors, int64_t count) {
    return run(scan, tensors, count, Use::backward);
}

const char* elman_cross_entropy_run(const elman_cross_entropy* call, const int64_t* tensors, int64_t count) {
    return sentence_of([=] {
        refuse_without_kernels();
        const CrossEntropyArguments arguments = bound(*call, tensors, count);
        const Kernels& set = *kernels();
        const int threads = threads_for(arguments.threads), type = arguments.float64;
        Signals signals[kMostThreads];
        for (int i = 0; i < threads; ++i) signals[i] = {};
        CrossEntropyJob job{&arguments, threads, threads, signals, nullptr, {}};
        job.shared = scratch(true, set.cross_entropy_shared[type](job));
        on_all_threads(job, set.cross_entropy_own[type](job), set.cross_entropy[type]);
    });
}

const char* elman_apply(int32_t op, double value, const int64_t* tensors, int64_t count) {
    return sentence_of([=] {
        refuse_without_kernels();
        const std::vector<Tensor> t = tensors_of(tensors, count);
        const int operands = operands_of(op);
        if (operands < 0) refuse("op: %d is no elementwise operation", op);
        if (int(t.size()) != 1 + operands) refuse("%d tensors are expected, and %zu came", 1 + operands, t.size());
        if (t[0].kind != ELMAN_FLOAT32 && t[0].kind != ELMAN_FLOAT64) refuse("out: expected float32 or float64");
        const void* from[3] = {};
        for (int i = 0; i <= operands; ++i) {
            expect(t[size_t(i)], {i ? "operand %d" : "out", i - 1}, t[0].kind, {t[0].size[0]});
            if (i) from[i - 1] = t[size_t(i)].data;
        }
        kernels()->apply[t[0].kind == ELMAN_FLOAT64](op, t[0].size[0], t[0].data, from[0], from[1], from[2], value);
    });
}
