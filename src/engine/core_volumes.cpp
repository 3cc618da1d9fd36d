// Volumes and statistics of an open array.
#include <algorithm>

#include "engine/core.h"

namespace qlcshape {

std::shared_ptr<VolumeState> Core::make_state(const VolumeRecord& record) {
    std::vector<VolumeExtent> extents(
        superblock_.extents.begin() + record.first_extent,
        superblock_.extents.begin() + record.first_extent + record.extents);
    return std::make_shared<VolumeState>(*this, record.name, record.uuid, record.bytes,
                                         std::move(extents));
}

Status Core::create_volume(const std::string& name, std::uint64_t bytes) {
    std::lock_guard lock(control_mutex_);
    if (read_only_)
        return fail(Errc::read_only, "volume {}: the array is open for reading alone", name);
    QS_TRY(add_volume(superblock_, array_.layout, name, bytes, Uuid::random(around_.random)));
    const Status written = append_superblock(superblock_, members_, *control_);
    if (!written) {
        static_cast<void>(remove_volume(superblock_, name));
        return written;
    }
    volumes_[name] = make_state(*find_volume(superblock_, name));
    return {};
}

Result<Core::Deletion> Core::begin_delete(const std::string& name) {
    std::lock_guard lock(control_mutex_);
    if (read_only_)
        return fail(Errc::read_only, "volume {}: the array is open for reading alone", name);
    const auto it = volumes_.find(name);
    if (it == volumes_.end())
        return fail(Errc::not_found, "volume {}: there is none of that name", name);
    auto state = it->second;
    if (state->deleted.exchange(true))
        return fail(Errc::busy, "volume {}: it is being deleted", name);
    // Until it is forgotten the name stays taken; requests for trimming go through this state.
    auto trimming = std::make_shared<VolumeState>(*this, state->name, state->uuid, state->bytes,
                                                  state->extents);
    deleted_.push_back(state);
    deleted_.push_back(trimming);
    return Deletion{state, trimming};
}

Status Core::forget_volume(const std::string& name) {
    std::lock_guard lock(control_mutex_);
    const Superblock before = superblock_;
    QS_TRY(remove_volume(superblock_, name));
    const Status written = append_superblock(superblock_, members_, *control_);
    if (!written) {
        superblock_.volumes = before.volumes;
        superblock_.extents = before.extents;
        return written;
    }
    volumes_.erase(name);
    return {};
}

Result<std::shared_ptr<VolumeState>> Core::volume(const std::string& name) {
    std::lock_guard lock(control_mutex_);
    const auto it = volumes_.find(name);
    if (it == volumes_.end() || it->second->deleted) {
        return fail(Errc::not_found,
                    "volume {}: there is none of that name; see `qlcshape volume list`", name);
    }
    return it->second;
}

std::vector<VolumeInfo> Core::volumes() const {
    std::lock_guard lock(control_mutex_);
    std::vector<VolumeInfo> list;
    for (const auto& [name, state] : volumes_) {
        if (!state->deleted) list.push_back({name, state->uuid.to_string(), state->bytes});
    }
    return list;
}

}  // namespace qlcshape
