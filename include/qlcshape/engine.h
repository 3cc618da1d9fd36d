// SPDX-License-Identifier: Apache-2.0
// An array in use. Everything a program needs: create an array, open it, use its volumes.
// docs/library.md teaches it.
//
//   auto options = qlcshape::Options::from_file("array.toml");
//   auto engine = qlcshape::Engine::open(*options);
//   auto volume = (*engine)->open_volume("v0");
//   volume->write(lba, buffer);
//
// All calls may be made from any thread, and in any order: after close(), also while another thread
// is in it, they fail with `closed`, or return an empty result (stats(), volumes()). From a
// function that the engine calls (a request's `done`, Options::log) only submit(), open_volume(),
// volumes(), stats() and read_only() may be called; the others are refused with invalid_argument.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "qlcshape/error.h"
#include "qlcshape/options.h"
#include "qlcshape/stats.h"
#include "qlcshape/version.h"
#include "qlcshape/volume.h"

namespace qlcshape {

class QLCSHAPE_API Engine {
  public:
    // Requests in flight at once over all volumes; more are refused with `busy`.
    static constexpr std::uint32_t kMaxRequests = 1024;

    // Creates an array: superblocks, band table, an empty page mapping table (PMT). Refuses devices
    // that hold data (anything but zeroes at their start, or a superblock) unless `force`; refuses
    // sizes that can't work and says which would. Nothing is written before every check has passed.
    static Status create(const Options& options, bool force = false);

    // Puts an empty device in the place of one that is lost, or is to go, in an array that is not
    // open and was closed cleanly. `old`: a path of `options`, or a device UUID as Stats has it.
    // `fresh`: as for create(); without a size what is there must be large enough; its role is that
    // of the old one. For a QLC device nothing is copied: the next opening that writes begins to
    // give all that lacks parity its parity back. An SCM device is filled from the others. Refuses
    // a device that holds data, unless `force`, and where something could not be read without the
    // old device. `options` name the array's devices as they are; from then on the new one has to
    // be named in place of the old one. Returns which device it is.
    struct Replaced {
        Role role = Role::qlc;
        std::uint32_t index = 0;  // among those of its role
    };
    static Result<Replaced> replace_device(const Options& options, const std::string& old,
                                           const DeviceOptions& fresh, bool force = false);

    // The same of an array that is open, and stays in use meanwhile. An `old` QLC device leaves
    // first, if it has not failed: from there on, also after an error, the array does without it.
    // What lacks parity is rewritten afterwards: stats().protection. An `old` SCM device stays in
    // until the new one has all that the others have. Returns when the new device is a member. Any
    // thread. Errors: as above; busy: another replacement is under way; missing_device: something
    // could not be read any more without `old`; closed: the array was closed meanwhile.
    Result<Replaced> replace(const std::string& old, const DeviceOptions& fresh,
                             bool force = false);

    // Takes a device out of the array, which goes on without it, though it may be well; `device` is
    // named as for replace(). It stays out, also at later openings, until another one, or it itself
    // emptied, takes its place by replace(). Of one that is out or missing, it stays so. Returns
    // which device it is. Any thread. Errors: not_found; missing_device: something could not be
    // read any more without it; busy: it is being replaced; read_only; closed; io_error.
    Result<Replaced> fail_device(const std::string& device);

    // Moves what a QLC device has to the others, in the background and also over several openings;
    // meanwhile it is read, and nothing lacks protection. When DeviceStatus::bands is 0 it can be
    // removed. With `stop` what it still has stays there. Where other devices go, and what is
    // written would lack protection without it, it stops by itself. `device` is named as for
    // replace(). Returns which device it is. Any thread. Errors: not_found; invalid_argument: an
    // SCM device; no_space: the others have no room for it, as in an array of k + 2 devices;
    // missing_device: it is out; read_only; closed; io_error.
    Result<Replaced> drain_device(const std::string& device, bool stop = false);

    // A QLC device on which no band has data any more, since it was drained, or was lost and what
    // it had was rebuilt on others, is no member from now on. replace() puts another one in its
    // place, which is vacant. Errors as above; busy: it is in use, or bands still have data there.
    Result<Replaced> remove_device(const std::string& device);

    // Opens an array, and recovers it if it was not closed cleanly. One or two QLC devices may be
    // missing: the array is then written without them. Allocates all its memory here, except for
    // 128 KiB for each of up to 64 threads that wait for reads at once.
    static Result<std::unique_ptr<Engine>> open(const Options& options);

    // Closes: waits for requests in flight, commits what is in RAM, writes the table back. A second
    // call returns what the first returned.
    Status close();
    // Closes, if that was not done. In a function that the engine calls it returns at once, and a
    // thread of its own closes: the devices stay locked until then.
    ~Engine();

    // Thin volumes. `bytes` is a multiple of 4096. All volumes together may be promised no more
    // than stats().space.writable_bytes.
    Status create_volume(const std::string& name, std::uint64_t bytes);
    // Changes a volume's size while it is in use; `bytes` as for create_volume(). Blocks added by
    // growing read as zeroes. Blocks cut off by shrinking are trimmed and lost: requests there
    // are refused from now on, and this waits for those in flight. A crash leaves the old size
    // (with some or all of what was to be cut off as zeroes) or the new one. Errors: not_found,
    // invalid_argument, no_space, busy (the volume is being resized already), read_only; io_error:
    // requests to the part that was to be cut off are refused until the array is opened again, with
    // the one size or the other.
    Status resize_volume(const std::string& name, std::uint64_t bytes);
    // The volume is gone when this returns, through any crash, and its name is free; handles to it
    // fail. Its space comes back in the background, also over several openings; until then it
    // counts as promised, and a create or resize that needs it waits for it. After an io_error the
    // volume can't be used before the array is opened again, and may be gone then.
    Status delete_volume(const std::string& name);
    // Waits until the space of all deleted volumes is free again. An error says why it can't be
    // yet.
    Status finish_deletions();
    std::vector<VolumeInfo> volumes() const;
    // Whether a block of the volume is mapped, or of what is behind its first `from_bytes` (a
    // multiple of 4096): whether anything is lost with it. Looks at the table until it finds one,
    // once for each 2 MiB. Errors: not_found, invalid_argument, and those of reading the table.
    Result<bool> holds_data(const std::string& name, std::uint64_t from_bytes = 0);
    Result<Volume> open_volume(const std::string& name);

    // Begins a pass of the scrub over all bands, from where it is, in addition to those by
    // Options::scrub_days; one that was asked for before goes on, at this rate. Returns at once;
    // Stats::scrub says how far it is and what it found. `bytes_per_second`: read from all drives
    // together; 0: as fast as one segment after the other can be read. What is damaged is
    // rewritten from the other drives. Errors: read_only, io_error (writing has ended), closed.
    Status start_scrub(std::uint64_t bytes_per_second = 0);
    // Ends a pass that was asked for. Errors: not_found (none is under way), closed.
    Status stop_scrub();

    Stats stats() const;
    bool read_only() const;

    // For closed arrays; nothing is written. check() verifies every structure, every valid block's
    // checksum, every stripe's parity, the table against the headers. inspect(): stats() of the
    // process that has the array open, if it is this user's; otherwise what the readable drives
    // hold as of the last superblock. What is wrong with the others is in its health. probe()
    // reports what open() would refuse, as far as that can be known without recovery and without
    // changing anything: drives, their locks, superblocks. Starts no threads, so that a server may
    // ask before it forks. Returns the volumes.
    static Result<CheckReport> check(const Options& options);
    static Result<std::vector<VolumeInfo>> probe(const Options& options);
    static Result<Stats> inspect(const Options& options);

    class QLCSHAPE_HIDDEN Impl;

  private:
    explicit Engine(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace qlcshape
