// SPDX-License-Identifier: Apache-2.0
// What is asked of an engine about its drives while it is open.
#include <chrono>
#include <thread>

#include "base/size_text.h"
#include "engine/engine_impl.h"
#include "engine/limits.h"
#include "engine/made_files.h"
#include "engine/replace.h"

namespace qlcshape {

Result<Engine::Replaced> Engine::Impl::replace(const std::string& old, const DeviceOptions& fresh,
                                               bool force) {
    const Call call = enter();
    QS_TRY(admit(call, "replace"));
    MadeFiles made;
    auto device = made.open(fresh);
    if (!device) return fail(device.error());
    QS_TRY(core_->begin_replace(old, std::move(*device), force));
    made.keep();  // it may become a member, whatever is said then
    const auto drive = end_replacing();
    if (!drive) return fail(drive.error());
    return replaced_of(*drive);
}

Result<Engine::Replaced> Engine::Impl::fail_device(const std::string& device) {
    const Call call = enter();
    QS_TRY(admit(call, "fail_device"));
    const auto drive = core_->fail_drive(device);
    if (!drive) return fail(drive.error());
    return replaced_of(*drive);
}

Result<Engine::Replaced> Engine::Impl::drain_device(const std::string& device, bool stop) {
    const Call call = enter();
    QS_TRY(admit(call, "drain_device"));
    const auto drive = core_->drain_drive(device, stop);
    if (!drive) return fail(drive.error());
    log(options_, LogLevel::info, "array {}: qlc drive {} {}", core_->name(), drive->index,
        stop ? "is not drained any more" : "is being drained");
    return replaced_of(*drive);
}

Result<Engine::Replaced> Engine::Impl::remove_device(const std::string& device) {
    const Call call = enter();
    QS_TRY(admit(call, "remove_device"));
    const auto drive = core_->remove_drive(device);
    if (!drive) return fail(drive.error());
    log(options_, LogLevel::info, "array {}: the place of qlc drive {} is vacant", core_->name(),
        drive->index);
    return replaced_of(*drive);
}

Result<MemberRecord> Engine::Impl::end_replacing() {
    while (!core_->advance_replace()) nap();
    return core_->finish_replace();
}

std::vector<std::string> Engine::Impl::paths_to_return() {
    const Call call = enter();
    return call != nullptr ? core_->paths_to_return() : std::vector<std::string>();
}

Status Engine::Impl::bring_back(std::unique_ptr<Device> device, bool& begun) {
    const Call call = enter();
    QS_TRY(admit(call, "bring_back"));
    QS_TRY(core_->begin_return(std::move(device)));
    begun = true;
    const auto drive = end_replacing();
    return drive ? Status{} : fail(drive.error());
}

Status Engine::Impl::use_spare(const std::string& lost, std::unique_ptr<Device> spare) {
    const Call call = enter();
    QS_TRY(admit(call, "use_spare"));
    QS_TRY(core_->begin_replace(lost, std::move(spare), false));
    const auto drive = end_replacing();
    return drive ? Status{} : fail(drive.error());
}

Result<Engine::Replaced> Engine::replace(const std::string& old, const DeviceOptions& fresh,
                                         bool force) {
    return within_limits(fresh.path, [&] { return impl_->replace(old, fresh, force); });
}

Result<Engine::Replaced> Engine::drain_device(const std::string& device, bool stop) {
    return within_limits(device, [&] { return impl_->drain_device(device, stop); });
}

Result<Engine::Replaced> Engine::remove_device(const std::string& device) {
    return within_limits(device, [&] { return impl_->remove_device(device); });
}

Result<Engine::Replaced> Engine::fail_device(const std::string& device) {
    return within_limits(device, [&] { return impl_->fail_device(device); });
}

}  // namespace qlcshape
