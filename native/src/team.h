#pragma once

#include <fenv.h>

#include <vector>

#include "plan.h"

namespace elman {

// The division of a scan among threads; where `of_record` is not 0, into as many teams.
struct Plan {
    Plan(const ScanArguments& scan, int threads, int of_record = 0);

    int teams = 1, team_size = 1, workers = 1;
    int64_t most_rows = 0, chunk_rows = 0, record_gap = 0;
    std::vector<Rows> team_rows;

  private:
    int64_t add_team(const ScanArguments& scan, const std::vector<int64_t>& order, int team, int64_t offset);
    std::vector<std::vector<int64_t>> numbers;
};

// While this lives, a thread of a pool computes as the thread that asked it to: torch's setting that subnormal
// numbers count as zero is each thread's own, and products of them are twenty times as slow.
class AsCaller {
  public:
    explicit AsCaller(const fenv_t& caller) {
        fegetenv(&own_);
        fesetenv(&caller);
    }
    ~AsCaller() { fesetenv(&own_); }

  private:
    fenv_t own_;
};

// What a record of `teams` teams begins with, and how many numbers it has.
RecordHeader header_of(const ScanArguments& scan, int64_t teams);
int64_t numbers_of_record(const ScanArguments& scan, const Plan& plan);

char* scratch(bool shared, size_t bytes);

// A child of fork has none of its parent's threads, and OpenMP would wait for them forever.
bool forked_child();

}  // namespace elman
