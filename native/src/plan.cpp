// Sorts rows by length, hands them to teams, and measures out memory.
#include "team.h"

#include <stdlib.h>

#include <algorithm>
#include <vector>

namespace elman {
namespace {

constexpr int64_t kRowsPerTeam = 8;  // at least; elman/engine/runtime/_operators.py counts on it

// Whether threads take rows of their own, without waiting for each other, or share all rows and split the
// units, so that each reads its part of the weights only: with few rows, or weights that no second cache
// holds, reading them is what takes the time.
bool split_by_rows(const ScanArguments& scan, int threads) {
    constexpr int64_t kBytesPerRow = 128 << 10;
    const int64_t rows = scan.batch / threads, size = scan.float64 ? 8 : 4;
    return rows >= kRowsPerTeam && scan.gates * scan.units * scan.units * size <= kBytesPerRow * rows;
}

// How many threads may share a step: one without a whole vector of units would only wait, and where a step is
// short, waiting for each other takes longer than a share of it. Whoever asks for a split gets it.
int64_t worth_waiting_for(const ScanArguments& scan) {
    constexpr int64_t kBytesPerThread = 96 << 10;  // of weights, which each row of the batch reads
    const int64_t panels = (scan.units + 15) / 16, size = scan.float64 ? 8 : 4;
    const int64_t bytes = scan.batch * scan.gates * scan.units * (scan.units + scan.inputs) * size;
    return scan.split ? panels : std::clamp<int64_t>(bytes / kBytesPerThread, 1, panels);
}

// As many as keep the work of a chunk well above that of adding it to the gradients of the weights; half of that
// where those are in a core's second cache, and every team has its own buffers.
int64_t rows_of_chunk(const ScanArguments& scan, int teams) {
    const int64_t weights = scan.gates * scan.units * (scan.units + scan.inputs), size = scan.float64 ? 8 : 4;
    return teams > 1 && weights * size < 3 << 19 ? 128 : 256;
}

std::vector<int64_t> longest_first(const ScanArguments& scan) {
    std::vector<int64_t> order(static_cast<size_t>(scan.batch));
    for (int64_t i = 0; i < scan.batch; ++i) order[size_t(i)] = i;
    if (scan.lengths)
        std::stable_sort(order.begin(), order.end(),
                         [&](int64_t a, int64_t b) { return scan.lengths[a] > scan.lengths[b]; });
    return order;
}

}  // namespace

Plan::Plan(const ScanArguments& scan, int threads, int of_record) {
    const bool by_rows = of_record    ? of_record > 1 || threads == 1
                         : scan.split ? scan.split == 1
                                      : threads == 1 || split_by_rows(scan, threads);
    teams = of_record ? of_record : by_rows ? int(std::min<int64_t>(threads, scan.batch)) : 1;
    team_size = by_rows ? 1 : int(std::min<int64_t>(threads, worth_waiting_for(scan)));
    workers = teams > 1 ? std::min(threads, teams) : team_size;
    // Only where teams have few rows, which none but a test asks for, would the gaps not fit into a record, whose
    // size knows nothing of threads.
    record_gap = teams == 1 || scan.batch / teams >= kRowsPerTeam ? kRecordGap : 0;
    chunk_rows = rows_of_chunk(scan, teams);
    const std::vector<int64_t> order = longest_first(scan);
    int64_t offset = 0;
    for (int team = 0; team < teams; ++team) {
        offset += add_team(scan, order, team, offset);
        most_rows = std::max(most_rows, team_rows.back().count);
    }
}

// Neighboring rows; where they differ in length every `teams`-th, so that each team gets long and short ones.
// Returns its row-steps.
int64_t Plan::add_team(const ScanArguments& scan, const std::vector<int64_t>& order, int team, int64_t offset) {
    auto keep = [&](size_t n) {
        numbers.emplace_back(n);
        return numbers.back().data();
    };
    Rows rows{};
    const int64_t first = scan.lengths ? team : scan.batch * team / teams, step = scan.lengths ? teams : 1;
    rows.count = scan.lengths ? (scan.batch - team + teams - 1) / teams : scan.batch * (team + 1) / teams - first;
    rows.offset = offset;
    int64_t *row = keep(size_t(rows.count)), *length = keep(size_t(rows.count));
    for (int64_t b = 0; b < rows.count; ++b) {
        row[b] = order[size_t(first + b * step)];
        length[b] = scan.lengths ? scan.lengths[row[b]] : scan.steps;
    }
    rows.steps = length[0];
    int64_t *active = keep(size_t(rows.steps) + 1), *before = keep(size_t(rows.steps) + 1);
    int64_t now = rows.count, total = 0;
    for (int64_t t = 0; t <= rows.steps; ++t) {
        while (now > 0 && length[now - 1] <= t) --now;
        active[t] = now;
        before[t] = total;
        total += now;
    }
    rows.row = row, rows.length = length, rows.active = active, rows.before = before;
    team_rows.push_back(rows);
    return total;
}

RecordHeader header_of(const ScanArguments& scan, int64_t teams) {
    uint64_t lengths = 0xcbf29ce484222325;  // FNV-1a of whole numbers
    for (int64_t b = 0; scan.lengths && b < scan.batch; ++b)
        lengths = (lengths ^ uint64_t(scan.lengths[b])) * 0x100000001b3;
    return {0x6e616d6c65,
            teams,
            scan.batch,
            scan.steps,
            scan.units,
            scan.states - 1 + scan.saved,
            kernels()->lanes[scan.float64 != 0],
            scan.reverse,
            scan.digest,
            lengths};
}

int64_t numbers_of_record(const ScanArguments& scan, const Plan& plan) {
    const int64_t lanes = kernels()->lanes[scan.float64 != 0], padded = (scan.units + lanes - 1) / lanes * lanes;
    const Rows& last = plan.team_rows.back();
    const int64_t row_steps = last.offset + last.before[last.steps];
    return kRecordHeader + (scan.states - 1 + scan.saved) * padded * row_steps +
           plan.record_gap * scan.steps * plan.teams;
}

// Kept by each thread between calls, since fresh pages cost more than filling them.
char* scratch(bool shared, size_t bytes) {
    struct Block {
        char* data = nullptr;
        size_t size = 0;
        ~Block() { free(data); }
    };
    static thread_local Block blocks[2];
    Block& block = blocks[shared];
#if defined(__SANITIZE_ADDRESS__)
    block.size = 0;  // a new block each time, which the sanitizer fills with what nobody may read
#endif
    if (block.size < bytes) {
        free(block.data);
        block.size = (bytes + 4095) / 4096 * 4096;
        block.data = static_cast<char*>(aligned_alloc(4096, block.size));
        if (!block.data) block.size = 0;
    }
    return block.data;
}

}  // namespace elman
