// Streams: layers one above the other, prepared once and stepped one input at a time.
#include <omp.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include "check.h"
#include "team.h"

namespace elman {
namespace {

constexpr int64_t kMostRows = 256;          // that one team carries through all layers while they are in its cache
constexpr int64_t kRowsPerThread = 8;       // fewer, and the units are split instead of the rows
constexpr int64_t kWorthThreads = 1 << 18;  // multiplications a step, below which waking threads costs more

struct Free {
    void operator()(char* p) const { free(p); }
};

// What a layer takes: features that it multiplies, or what the caller has projected.
int64_t features(const ScanArguments& scan) { return scan.inputs ? scan.inputs : scan.gates * scan.units; }

int64_t multiplications(const std::vector<StreamLayer>& layers) {
    int64_t total = 0;
    for (const auto& layer : layers) {
        const ScanArguments& s = layer.scan;
        total += s.batch * s.units * (s.gates * s.inputs + s.program.products * s.units);
    }
    return total;
}

// Everything that depends on the number of threads. Each worker is a team of rows, or a member of the only team.
struct Crew {
    Crew(const std::vector<StreamLayer>& layers, int most);

    void step(int worker, const void* x, int64_t x_row, void* y, int64_t y_row, bool back) const;
    void* layer(size_t index, size_t worker) const { return made[index * size_t(jobs[0].threads) + worker].get(); }

    const std::vector<StreamLayer>& layers;
    const StreamKernels* set;
    size_t width;  // bytes of a number
    int threads;
    std::vector<int64_t> row, active;  // what teams point into
    std::vector<Rows> teams;
    std::vector<Job> jobs;                      // of each layer
    std::vector<std::vector<Signals>> signals;  // of each layer
    std::unique_ptr<char, Free> memory;
    std::vector<std::unique_ptr<void, void (*)(void*)>> made;

  private:
    void divide(int64_t batch);
    void make();
};

Crew::Crew(const std::vector<StreamLayer>& l, int most)
    : layers(l), set(&kernels()->stream[l[0].scan.float64 != 0]), width(l[0].scan.float64 ? 8 : 4),
      threads(multiplications(l) < kWorthThreads ? 1 : most) {
    divide(l[0].scan.batch);
    make();
}

void Crew::divide(int64_t batch) {
    const bool by_rows = threads == 1 || batch >= kRowsPerThread * threads;
    const int64_t parts = by_rows ? (batch + kMostRows * threads - 1) / (kMostRows * threads) * threads : 1;
    for (int64_t b = 0; b < batch; ++b) row.push_back(b);
    active.assign(size_t(4 * parts), 0);
    int64_t most_rows = 0;
    for (int64_t i = 0, first = 0; i < parts; ++i) {
        const int64_t last = batch * (i + 1) / parts, count = last - first;
        int64_t* of = &active[size_t(4 * i)];
        of[0] = of[3] = count;
        teams.push_back(Rows{&row[size_t(first)], nullptr, of, of + 2, count, 1, 0});
        most_rows = std::max(most_rows, count);
        first = last;
    }
    const int size = by_rows ? 1 : threads;
    for (const auto& each : layers) {
        signals.emplace_back(size_t(parts * size));
        jobs.push_back(Job{&each.scan,
                           nullptr,
                           nullptr,
                           int(parts) * size,
                           int(parts),
                           size,
                           most_rows,
                           teams.data(),
                           signals.back().data(),
                           nullptr,
                           {},
                           1});
    }
}

void Crew::make() {
    size_t total = 0;
    for (const Job& job : jobs) total += set->shared_bytes(job) + size_t(job.threads) * set->own_bytes(job);
    memory.reset(static_cast<char*>(aligned_alloc(64, total)));
    if (!memory) throw std::bad_alloc();
    char* at = memory.get();
    for (Job& job : jobs) {
        job.shared = at;
        at += set->shared_bytes(job);
        for (int i = 0; i < job.threads; ++i, at += set->own_bytes(job)) {
            made.emplace_back(nullptr, set->destroy);
            made.back().reset(set->make(job, i, at));
        }
    }
    for (const auto& each : made) set->prepare(each.get());
}

void Crew::step(int worker, const void* x, int64_t x_row, void* y, int64_t y_row, bool back) const {
    View inputs[ELMAN_STREAM_LAYERS];
    const int64_t first = teams.size() == 1 ? 0 : teams[size_t(worker)].row[0], panel = set->lanes;
    auto at = [&](const void* p, int64_t pitch) {
        return const_cast<char*>(static_cast<const char*>(p)) + first * pitch * int64_t(width);
    };
    inputs[0] = {at(x, x_row), x_row, panel};
    const View output{at(y, y_row), y_row, panel};
    for (size_t i = 0; i < layers.size(); ++i) {
        const bool last = i + 1 == layers.size();
        const View out =
            set->step(layer(i, size_t(worker)), inputs, layers[i], inputs[i], back, last ? &output : nullptr);
        if (!last) inputs[i + 1] = out;
    }
}

}  // namespace
}  // namespace elman

using namespace elman;

struct elman_stream {
    std::vector<Bound> bound;
    std::vector<StreamLayer> layers;
    std::unique_ptr<Crew> crew;
    bool back = false;

    void add(const elman_stream_layer* layers, int32_t count);
    void step(const int64_t* tensors, int64_t count);
    // The same states, carried on by one thread.
    void alone();
    template <class F>
    void each(F f) const;
    // Where the states of all layers are, in order; `others` tensors come after them.
    std::vector<void*> states(const std::vector<Tensor>& all, size_t others) const;
};

// Each layer takes what the one below puts out, and what is added to its own output is as wide as that. Only the
// first may take what the caller has projected.
void elman_stream::add(const elman_stream_layer* each_layer, int32_t count) {
    bound.reserve(size_t(count));
    for (int32_t i = 0; i < count; ++i) {
        const elman_stream_layer& l = each_layer[i];
        bound.emplace_back(l.scan, l.tensors, l.count, Use::stream);
        const ScanArguments& scan = bound.back().scan;
        layers.push_back({scan, l.adds, l.add});
        const ScanArguments& first = layers[0].scan;
        if (scan.batch != first.batch || scan.float64 != first.float64)
            refuse("layer %d: its rows or its dtype are not those of the first", i);
        if (i && scan.inputs != layers[size_t(i) - 1].scan.units)
            refuse("layer %d: it takes %ld features, and the layer below puts out %ld", i, long(scan.inputs),
                   long(layers[size_t(i) - 1].scan.units));
        for (int64_t k = 0; k < l.adds; ++k)
            if (l.add[k] < 0 || l.add[k] > i || layers[size_t(l.add[k])].scan.inputs != scan.units)
                refuse("layer %d: it adds the input of layer %d, which is not as wide as its output, or not there yet",
                       i, l.add[k]);
    }
}

void elman_stream::step(const int64_t* tensors, int64_t count) {
    const std::vector<Tensor> t = tensors_of(tensors, count);
    const ScanArguments &first = layers.front().scan, &last = layers.back().scan;
    if (t.size() != 2) refuse("2 tensors are expected, and %zu came", t.size());
    expect(t[0], "x", bound[0].kind, {first.batch, features(first)});
    expect(t[1], "y", bound[0].kind, {first.batch, last.units});
    bool enough = true;
    if (crew->threads > 1 && forked_child()) alone();
    const bool backwards = back;
    auto work = [&](int thread) {
        for (int i = thread; i < crew->jobs[0].threads; i += crew->threads)
            crew->step(i, t[0].data, features(first), t[1].data, last.units, backwards);
    };
    if (crew->threads > 1) {
        fenv_t caller;
        fegetenv(&caller);
#pragma omp parallel num_threads(crew->threads)
        {
            const AsCaller arithmetic(caller);
            if (omp_get_num_threads() == crew->threads) work(omp_get_thread_num());
            else if (omp_get_thread_num() == 0) enough = false;
        }
        if (!enough) alone();
    }
    if (crew->threads == 1) work(0);
    back = !backwards;
}

std::vector<void*> elman_stream::states(const std::vector<Tensor>& all, size_t others) const {
    size_t count = others;
    for (const StreamLayer& layer : layers) count += size_t(layer.scan.states);
    if (all.size() != count)
        refuse("%zu tensors are expected, and %zu came: the states of all layers", count, all.size());
    std::vector<void*> states;
    for (const StreamLayer& layer : layers)
        for (int s = 0; s < layer.scan.states; ++s) {
            const Tensor& t = all[states.size()];
            expect(t, {"state %d", int(states.size())}, bound[0].kind, {layer.scan.batch, layer.scan.units});
            states.push_back(t.data);
        }
    return states;
}

// Calls f(layer, its states' index among those of all layers) where the states are.
template <class F>
void elman_stream::each(F f) const {
    for (size_t i = 0, states = 0; i < layers.size(); states += size_t(layers[i++].scan.states))
        for (size_t team = 0; team < crew->teams.size(); ++team) f(crew->layer(i, team), states);
}

void elman_stream::alone() {
    std::vector<std::vector<char>> kept;
    std::vector<void*> states;
    for (const auto& layer : layers)
        for (int s = 0; s < layer.scan.states; ++s) {
            kept.emplace_back(size_t(layer.scan.batch * layer.scan.units) * crew->width);
            states.push_back(kept.back().data());
        }
    auto single = std::make_unique<Crew>(layers, 1);
    each([&](void* layer, size_t first) { crew->set->read(layer, &states[first]); });
    crew = std::move(single);
    each([&](void* layer, size_t first) { crew->set->write(layer, &states[first], nullptr); });
}

elman_stream* elman_stream_create(const elman_stream_layer* layers, int32_t count, const char** wrong) {
    std::unique_ptr<elman_stream> stream;
    *wrong = sentence_of([&] {
        if (!kernels()) refuse("ELMAN_ISA names an instruction set that this machine does not have");
        if (count < 1 || count > ELMAN_STREAM_LAYERS) refuse("a stream has from 1 to 64 layers, and not %d", count);
        stream = std::make_unique<elman_stream>();
        stream->add(layers, count);
        const int most = std::clamp(layers[0].scan.threads, 1, kMostThreads);
        stream->crew = std::make_unique<Crew>(stream->layers, forked_child() ? 1 : most);
    });
    return *wrong ? nullptr : stream.release();
}

const char* elman_stream_step(elman_stream* stream, const int64_t* tensors, int64_t count) {
    return sentence_of([=] { stream->step(tensors, count); });
}

const char* elman_stream_read(const elman_stream* stream, const int64_t* tensors, int64_t count) {
    return sentence_of([=] {
        const std::vector<void*> states = stream->states(tensors_of(tensors, count), 0);
        stream->each([&](void* layer, size_t first) { stream->crew->set->read(layer, &states[first]); });
    });
}

const char* elman_stream_write(elman_stream* stream, const int64_t* tensors, int64_t count) {
    return sentence_of([=] {
        const std::vector<Tensor> all = tensors_of(tensors, count);
        const std::vector<void*> states = stream->states(all, 1);
        allow(all.back(), "where", ELMAN_BOOL, {stream->layers[0].scan.batch});
        const auto* where = static_cast<const uint8_t*>(all.back().data);
        stream->each([&](void* layer, size_t first) { stream->crew->set->write(layer, &states[first], where); });
    });
}

void elman_stream_destroy(elman_stream* stream) { delete stream; }
