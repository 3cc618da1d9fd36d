// Volumes and statistics of an open array.
#include <algorithm>

#include "engine/core.h"

namespace qlcshape {

std::shared_ptr<VolumeState> Core::make_state(const VolumeRecord& record) {
    return std::make_shared<VolumeState>(*this, record.name, record.uuid, record.bytes,
                                         extents_of(superblock_, record));
}

Status Core::create_volume(const std::string& name, std::uint64_t bytes) {
    std::lock_guard lock(control_mutex_);
    if (read_only_)
        return fail(Errc::read_only, "volume {}: the array is open for reading alone", name);
    QS_TRY(add_volume(superblock_, array_.layout, name, bytes, Uuid::random(around_.random)));
    const Status written = write_superblock();
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
    if (state->changing) return fail(Errc::busy, "volume {}: its size is being changed", name);
    if (state->deleted.exchange(true))
        return fail(Errc::busy, "volume {}: it is being deleted", name);
    // Until it is forgotten the name stays taken; requests for trimming go through this state.
    auto trimming = std::make_shared<VolumeState>(*this, state->name, state->uuid, state->bytes(),
                                                  state->extents());
    deleted_.push_back(state);
    deleted_.push_back(trimming);
    return Deletion{state, trimming};
}

// The table of volumes as it was is put back if it can't be written.
Status Core::write_volumes(const Superblock& before) {
    const Status written = write_superblock();
    if (!written) {
        superblock_.volumes = before.volumes;
        superblock_.extents = before.extents;
    }
    return written;
}

// A larger volume is there at once: its new pages are free ones, so nothing is mapped in them. From
// a smaller one the end is taken away first, so that no new write comes to what is to be trimmed.
Result<Core::Resize> Core::begin_resize(const std::string& name, std::uint64_t bytes) {
    std::lock_guard lock(control_mutex_);
    if (read_only_)
        return fail(Errc::read_only, "volume {}: the array is open for reading alone", name);
    const auto it = volumes_.find(name);
    if (it == volumes_.end() || it->second->deleted)
        return fail(Errc::not_found, "volume {}: there is none of that name", name);
    VolumeState& state = *it->second;
    if (state.changing) return fail(Errc::busy, "volume {}: its size is being changed", name);
    const Resize resize{it->second, state.bytes(), bytes,
                        std::make_shared<VolumeState>(*this, state.name, state.uuid, state.bytes(),
                                                      state.extents())};
    const Superblock before = superblock_;
    QS_TRY(resize_volume(superblock_, array_.layout, name, bytes));
    if (bytes < resize.from) {
        superblock_.volumes = before.volumes;
        superblock_.extents = before.extents;
    } else {
        QS_TRY(write_volumes(before));
        state.set_extents(extents_of(superblock_, *find_volume(superblock_, name)));
    }
    state.changing = true;
    state.set_bytes(bytes);
    state.turn();
    return resize;
}

Status Core::finish_resize(const Resize& resize, const Status& trimmed) {
    std::lock_guard lock(control_mutex_);
    VolumeState& state = *resize.volume;
    QS_ASSERT(state.changing && state.drained() && resize.trimming->idle());
    state.changing = false;
    if (resize.bytes >= resize.from) return {};
    Status done = trimmed;
    if (done) {
        const Superblock before = superblock_;
        done = resize_volume(superblock_, array_.layout, state.name, resize.bytes);
        if (done) done = write_volumes(before);
    }
    if (!done) state.set_bytes(resize.from);
    return done;
}

Status Core::forget_volume(const std::string& name) {
    std::lock_guard lock(control_mutex_);
    const Superblock before = superblock_;
    QS_TRY(remove_volume(superblock_, name));
    QS_TRY(write_volumes(before));
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
        if (!state->deleted) list.push_back({name, state->uuid.to_string(), state->bytes()});
    }
    return list;
}

}  // namespace qlcshape
