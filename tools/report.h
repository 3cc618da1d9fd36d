// SPDX-License-Identifier: Apache-2.0
// What the command prints: one JSON object with --json, otherwise lines for people; errors on
// stderr.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "qlcshape/engine.h"

namespace qlcshape::tools {

using Json = nlohmann::ordered_json;

enum ExitCode { kDone = 0, kFoundProblem = 1, kCouldNotRun = 2 };

ExitCode exit_code_for(Errc code);

// Prints the error and returns the exit code; with --json an object with "error" as well, on
// stdout.
int report_error(const std::string& verb, bool json, const Error& error);

// For Options::log: warnings and errors to stderr. What a verb does itself it reports itself.
void print_log(LogLevel level, const std::string& message);

// {"schema": 1, "verb": ...}
Json new_object(const std::string& verb);
void print(const Json& object);

// The fields that status and bench agree on.
void add_stats(Json& object, const Stats& stats);
Json latency_json(const LatencySummary& latency);

// A line for each drive that is larger than the smallest of its role; empty where all are alike.
std::string unused_text(const Stats& stats);

// The first lines of status and top: what is wrong, if anything, then the array and its state.
std::string state_text(const Stats& stats);

// What goes on in the background, and how long it takes: a line each.
std::string jobs_text(const Stats& stats);

// What was counted between two moments of one engine; the rest as of `after`.
Stats difference(const Stats& after, const Stats& before);
double waf_data(const Stats::Bytes& bytes);
double waf_total(const Stats::Bytes& bytes);

// Rows in columns as wide as their widest cell. The first row is the head.
class Table {
  public:
    explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
    void add(std::vector<std::string> row);
    std::string text() const;

  private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace qlcshape::tools
