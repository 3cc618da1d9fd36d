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
// Where there is no spare, an array with more drives than a band has columns rebuilds on the others
// what a lost one had (core_spread.cpp).
//
// A spare is not kept open, so several arrays may share it: the first one that needs it has it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/core.h"
#include "engine/engine_impl.h"
#include "engine/made_files.h"

namespace qlcshape {

// The same array: `devices` has the spares that are members by now, in place of those whose places
// they took, and `spares` the others.
Options with_spares_in_use(const Options& options);

// For format_array(): the devices, where the spares, which are made likewise, are empty and large
// enough.
Result<std::vector<std::unique_ptr<Device>>> make_devices_and_spares(const Options& options,
                                                                     MadeFiles& made,
                                                                     IoQueue& queue);

// Whether it is there, empty, and large enough. It has a UUID where it is, or was, a drive of this
// array.
DeviceStatus look_at_spare(const std::string& path, const Uuid& array, const ArrayParameters& p,
                           IoQueue& queue);

class Spares {
  public:
    static constexpr std::uint64_t kLookSeconds = 3600;  // between looks at one
    static constexpr std::uint64_t kPauseSeconds = 60;   // the same while a drive is lost

    // Both must outlive it.
    Spares(const Options& options, Engine::Impl& engine) : options_(options), engine_(engine) {}

    // To be called some times a second, by one thread: it may take as long as drives take.
    void look();

  private:
    struct Known {
        std::uint64_t looked_s = 0, next_s = 0;
        std::string bad, refused;  // told in the log
    };
    void look_at(const DeviceStatus& spare, Known& known, std::uint64_t every_s);
    bool take_place(const Core::Lost& lost);
    bool spread(const Core::Lost& lost);
    void pause(Known& known, const std::string& path, const Core::Lost& lost, const Error& why);

    const Options& options_;
    Engine::Impl& engine_;
    std::uint64_t now_s_ = 0;
    bool spreading_ = false;
    std::map<std::string, std::uint64_t> lost_since_;  // by the member's UUID, in seconds
    std::map<std::string, Known> known_;               // by the spare's path
    std::map<std::string, Known> spread_;              // by the lost member's UUID
};

}  // namespace qlcshape
