// SPDX-License-Identifier: Apache-2.0
// The process that has an array open, as another one asks it: see engine/control.h. It is found by
// the drives themselves, and each request names them, so that it acts on this array and on no other
// that has the same UUID. Each call makes a connection of its own, so a Holder may outlive the
// process that it names: the next call then says `closed`.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "qlcshape/engine.h"
#include "qlcshape/options.h"
#include "qlcshape/stats.h"

namespace qlcshape {

class Holder {
  public:
    // Error not_found: no process of this user has the array open, or none that can be asked.
    // Nothing is opened or read: any drive whose path is right will do.
    static Result<Holder> of(const Options& options);

    // In words: "process 123 (nbdkit)".
    const std::string& process() const { return process_; }

    // As the same functions of its Engine, run there. Error closed: it has ended since. An io_error
    // may also say that it ended, or did not answer in time, when it had been asked: done or not. A
    // process that stands still is found after 5 s; one that works on it has all its time. Error
    // foreign_device: the options name drives that it has open, and others that are not the
    // array's.
    Result<Stats> stats() const;
    Status create_volume(const std::string& name, std::uint64_t bytes) const;
    Result<bool> holds_data(const std::string& volume, std::uint64_t from_bytes = 0) const;
    // Refused as `busy` where somebody uses what would be lost.
    Status resize_volume(const std::string& name, std::uint64_t bytes) const;
    Status delete_volume(const std::string& name) const;
    // Paths that are not absolute are that process's.
    Result<Engine::Replaced> replace(const std::string& old, const DeviceOptions& fresh,
                                     bool force) const;
    Result<Engine::Replaced> fail_device(const std::string& device) const;
    Result<Engine::Replaced> drain_device(const std::string& device, bool stop) const;
    Result<Engine::Replaced> remove_device(const std::string& device) const;
    Status start_scrub(std::uint64_t bytes_per_second) const;
    Status stop_scrub() const;

  private:
    struct Drive {
        std::string path, medium;
    };
    Holder(std::vector<Drive> drives, std::string asked, std::string process)
        : drives_(std::move(drives)), asked_(std::move(asked)), process_(std::move(process)) {}
    enum class Takes : std::uint8_t { moments, its_time };
    Result<std::string> ask(const std::string& request, Takes takes) const;
    // Whether the process runs at all is asked before, and while it is waited for.
    Result<std::string> ask_at_length(const std::string& request) const;
    Error error_in(const std::string& answer) const;
    Result<Engine::Replaced> drive_in(const Result<std::string>& answer) const;

    std::vector<Drive> drives_;
    std::string asked_;  // the medium of one of them
    std::string process_;
};

}  // namespace qlcshape
