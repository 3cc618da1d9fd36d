// SPDX-License-Identifier: Apache-2.0
// A volume: a thin range of blocks with a name. This is a handle, cheap to copy. Every call may be
// made from any thread. A handle may outlive its engine: when that is closed or gone, requests fail
// with `closed`, as they do through a handle that was moved from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "qlcshape/error.h"

namespace qlcshape {

inline constexpr std::uint64_t kVolumeBlockBytes = 4096;

enum class Op : std::uint8_t {
    read,          // blocks never written, or trimmed, read as zeroes
    write,         // acknowledged when durable
    write_zeroes,  // like trim; parts of blocks at the ends are written
    trim,          // whole blocks inside the range read as zeroes from now on, through any crash
    flush,         // done when every write whose `done` was called before it is durable; those in
                   // flight may come later
    mapped,        // which blocks hold data: see Volume::mapped()
};

struct Request {
    Op op = Op::read;
    std::uint64_t offset_bytes = 0;  // a multiple of 512; of 4096 for `mapped`
    std::uint64_t bytes = 0;         // likewise; any length within the volume
    void* data = nullptr;            // read into, or written from; must stay until `done`
    // Called once, on a thread of the engine or, if nothing has to be waited for, inside submit();
    // must not block and must not throw. It may submit; calls that wait are refused with
    // invalid_argument.
    std::function<void(Status)> done;
};

class VolumeState;

class QLCSHAPE_API Volume {
  public:
    const std::string& name() const;
    std::uint64_t size_bytes() const;  // now: see Engine::resize_volume()
    std::uint64_t blocks() const { return size_bytes() / kVolumeBlockBytes; }
    // Bytes. Writes of up to this size that don't cross a multiple of 2 MiB are atomic: complete or
    // absent after a crash, at any offset that is a multiple of 512; so are such write_zeroes.
    std::uint64_t atomic_write_max() const;

    // For a program that offers the volume as a block device: its path, which status and metrics
    // show until the array is closed; empty: none.
    void set_device(const std::string& path) const;

    // Blocking. `lba` counts blocks of 4096 bytes; the buffer is any multiple of 512 bytes long.
    Status read(std::uint64_t lba, std::span<std::byte> buffer) const;
    Status write(std::uint64_t lba, std::span<const std::byte> buffer) const;
    Status trim(std::uint64_t lba, std::uint64_t count) const;
    Status write_zeroes(std::uint64_t lba, std::uint64_t count) const;
    Status flush() const;
    // Sets one byte for each block from `lba` on: 0 where it was never written or is trimmed, and
    // so reads as zeroes; 1 elsewhere. Costs one table lookup for each 2 MiB, no read of data.
    Status mapped(std::uint64_t lba, std::span<std::uint8_t> blocks) const;

    // Asynchronous. An error here means that the request was not taken and `done` will not be
    // called: invalid_argument (range, alignment), busy (too many in flight: Engine::kMaxRequests),
    // closed. After a success every outcome comes through `done`.
    Status submit(Request request) const;

    // Blocking, for any range in bytes.
    Status run(Op op, std::uint64_t offset_bytes, std::uint64_t bytes, void* data) const;

  private:
    friend class Engine;
    explicit Volume(std::shared_ptr<VolumeState> state) : state_(std::move(state)) {}
    Status check_handle() const;
    std::shared_ptr<VolumeState> state_;
};

}  // namespace qlcshape
