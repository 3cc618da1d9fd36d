// SPDX-License-Identifier: Apache-2.0
// Looks at a closed array, on the caller's thread: what Engine::check() and Engine::probe() do.
// Nothing is written.
#include "engine/format_array.h"
#include "engine/limits.h"
#include "engine/offline_queue.h"
#include "engine/spares.h"
#include "meta/band_load.h"
#include "meta/superblock_store.h"
#include "qlcshape/engine.h"
#include "recovery/check.h"

namespace qlcshape {

namespace {

// A closed array's devices, as discover() sorts them.
struct Inspected {
    Discovery discovery;
    ArrayContext array;
    std::vector<Unusable> absent;  // of the devices that the options name
};

Result<Inspected> look(const Options& options, Access access, IoQueue& queue) {
    std::vector<Unusable> absent;
    auto devices = open_devices(options, access, &absent);
    if (!devices) return fail(devices.error());
    auto discovery = discover_usable(std::move(*devices), absent, queue);
    if (!discovery) return fail(discovery.error());
    Inspected i;
    i.absent = std::move(absent);
    i.discovery = std::move(*discovery);
    i.array = context_of(i.discovery);
    return i;
}

}  // namespace

Result<CheckReport> Engine::check(const Options& options) {
    SystemClock clock;
    const std::uint64_t begun = clock.now_ns();
    OfflineQueue offline(options);
    IoQueue& queue = offline.queue();
    auto array = look(with_spares_in_use(options), Access::read_only, queue);
    if (!array) return fail(array.error());
    auto report = check_array(array->array, array->discovery.superblock, queue, options.progress);
    if (!report) return report;
    for (const Unusable& u : array->absent) {
        if (u.why.code == Errc::missing_device) continue;
        ++report->problems_found;
        report->problems.insert(report->problems.begin(), u.why.message);
    }
    report->seconds = static_cast<double>(clock.elapsed_ns(begun)) / 1e9;
    return report;
}

Result<std::vector<VolumeInfo>> Engine::probe(const Options& options) {
    QS_TRY(check_engine_options(options));
    OfflineQueue offline(options);
    IoQueue& queue = offline.queue();
    auto array = look(with_spares_in_use(options), access_of(options), queue);
    if (!array) return fail(array.error());
    if (auto bands = load_band_table(array->array, queue); !bands) return fail(bands.error());
    std::vector<VolumeInfo> volumes;
    for (const VolumeRecord& v : array->discovery.superblock.volumes) {
        if (v.state != kVolumeDeleted) volumes.push_back({v.name, v.uuid.to_string(), v.bytes, ""});
    }
    return volumes;
}

}  // namespace qlcshape
