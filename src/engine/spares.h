// SPDX-License-Identifier: Apache-2.0
// Spares: drives that the array file names, and that hold nothing. Where a drive has been lost for
// so long (Options::spare_after_ms), or was taken out by hand, a spare takes its place, by the
// steps of core_replace.cpp. From then on it is a member, whatever the array file says of it:
//
//   array file    qlc a b c d, spare e f      of which are members     spares
//   created                                   a b c d                  e f
//   c is lost                                 a b   d                  e f
//   e has its place                           a b e d                  f      c is passed over
//
// A spare is not kept open, so several arrays may share it: the first one that needs it has it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "admin/holder.h"
#include "engine/core.h"
#include "engine/engine_impl.h"

namespace qlcshape {

// The same array: `devices` has the spares that are members by now, in place of those whose places
// they took, and `spares` the others.
Options with_spares_in_use(const Options& options);

// The process that has the array open.
Result<Holder> holder_of(const Options& options);

// Before an array is made: they are empty, and large enough.
Status check_spares(const std::vector<std::unique_ptr<Device>>& spares,
                    const std::vector<std::unique_ptr<Device>>& devices, const Options& options,
                    IoQueue& queue);

// Of an array with such parameters: whether it is there, empty, and large enough.
DeviceStatus look_at_spare(const std::string& path, const ArrayParameters& parameters,
                           IoQueue& queue);

class Spares {
  public:
    static constexpr std::uint64_t kLookSeconds = 3600;  // between looks at one
    static constexpr std::uint64_t kPauseSeconds = 60;   // after one that failed

    // Both must outlive it.
    Spares(const Options& options, Engine::Impl& engine) : options_(options), engine_(engine) {}

    // To be called some times a second, by one thread: it may take as long as drives take.
    void look();

  private:
    struct Known {
        std::uint64_t looked_s = 0, next_s = 0;
        std::string bad, refused;  // told in the log
    };
    void look_at(const DeviceStatus& spare, Known& known);
    bool take_place(const Core::Lost& lost);
    void tell(std::string& told, const std::string& what);

    const Options& options_;
    Engine::Impl& engine_;
    std::uint64_t now_s_ = 0;
    std::map<std::string, std::uint64_t> lost_since_;  // by the member's UUID, in seconds
    std::map<std::string, Known> known_;               // by the spare's path
};

}  // namespace qlcshape
