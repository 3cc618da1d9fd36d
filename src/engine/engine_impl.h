// The engine behind the public handle: a core, and a thread for each of its workers.
#pragma once

#include <mutex>
#include <thread>
#include <vector>

#include "engine/control.h"
#include "engine/core.h"
#include "engine/monitor.h"
#include "engine/reclaimer.h"
#include "qlcshape/engine.h"

namespace qlcshape {

class SystemClock : public Clock {
  public:
    std::uint64_t now_ns() override;
};

class Engine::Impl {
  public:
    static Result<std::unique_ptr<Impl>> open(const Options& options);
    ~Impl() { static_cast<void>(close()); }

    Status close();
    Status create_volume(const std::string& name, std::uint64_t bytes);
    Core& core() { return *core_; }
    Status resize_volume(const std::string& name, std::uint64_t bytes, Loss loss);
    Status delete_volume(const std::string& name, Loss loss);
    Status finish_deletions();
    Result<bool> holds_data(const std::string& name);

  private:
    Impl(const Options& options);
    void run(Worker& worker, std::uint32_t index);
    void pin(std::thread& thread, const Worker& worker, std::uint32_t index);

    Options options_;
    SystemClock clock_;
    Random random_;
    std::unique_ptr<Core> core_;
    std::vector<std::thread> threads_;
    std::unique_ptr<Monitor> monitor_;
    std::unique_ptr<Reclaimer> reclaimer_;
    std::unique_ptr<Control> control_;
    std::atomic<bool> stop_{false};
    std::mutex close_mutex_;
    bool closed_ = false;
    Status close_status_;
};

// Submits and waits; while the engine is at its limit it tries again.
Status submit_and_wait(Core& core, VolumeState& volume, Op op, std::uint64_t offset,
                       std::uint64_t bytes, void* data);

}  // namespace qlcshape
