// The process that has an array open, as another one asks it: see engine/control.h.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/error.h"
#include "qlcshape/options.h"
#include "qlcshape/stats.h"

namespace qlcshape {

class Holder {
  public:
    // Error not_found: no process of this user has the array open, or none that can be asked.
    static Result<Holder> of(const Options& options);
    static Result<Holder> of(const std::string& array_uuid);

    // As the same functions of its Engine. Error closed: it has ended since. An io_error may also
    // say that it ended, or did not answer, when it had been asked: done or not.
    Result<Stats> stats() const;
    Status create_volume(const std::string& name, std::uint64_t bytes) const;
    Result<bool> holds_data(const std::string& volume) const;
    // Refused as `busy` where somebody uses what would be lost.
    Status resize_volume(const std::string& name, std::uint64_t bytes) const;
    Status delete_volume(const std::string& name) const;

  private:
    explicit Holder(std::string array_uuid) : array_uuid_(std::move(array_uuid)) {}
    // `patience`: for the answer, in seconds; 0: any time.
    Result<std::string> ask(const std::string& request, int patience = 0) const;

    std::string array_uuid_;
};

}  // namespace qlcshape
