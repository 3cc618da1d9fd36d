// SPDX-License-Identifier: Apache-2.0
// Volumes of an open array: each change is one superblock, so a crash finds all of it or nothing.
// What has to be trimmed afterwards is VolumeChange's. All under control_mutex_; the data plane
// reads a volume's size and extents without it (VolumeState).
#include <algorithm>

#include "engine/core.h"
#include "engine/limits.h"

namespace qlcshape {

std::shared_ptr<VolumeState> Core::make_state(const Superblock& of, const VolumeRecord& record) {
    return std::make_shared<VolumeState>(*this, record.name, record.uuid, record.bytes,
                                         extents_of(of, record));
}

// The same blocks, for requests that go on when the volume itself refuses them.
std::shared_ptr<VolumeState> Core::for_trim(const VolumeState& state) {
    return std::make_shared<VolumeState>(*this, state.name, state.uuid, state.bytes(),
                                         state.extents());
}

std::unexpected<Error> Core::fail_read_only(const std::string& volume) const {
    return fail(Errc::read_only, "volume {}: the array is open read-only", volume);
}

Status Core::create_volume(const std::string& name, std::uint64_t bytes) {
    const Locked lock(control_mutex_);
    if (read_only_) return fail_read_only(name);
    const Uuid uuid = Uuid::random(environment_.random);
    // Made before the change is written: after that nothing may fail.
    std::map<std::string, std::shared_ptr<VolumeState>> created;
    QS_TRY(change_volumes([&](Superblock& changed) -> Status {
        const Status added = add_volume(changed, array_.layout, name, bytes, uuid);
        if (!added) return added;
        created[name] = make_state(changed, *find_volume(changed, name));
        return {};
    }));
    const Locked shown(shown_mutex_);
    volumes_.merge(created);
    return {};
}

// Under both mutexes: nobody gets a handle between the look at the users and the loss.
Result<std::shared_ptr<VolumeState>> Core::to_change(const std::string& name, std::uint64_t bytes,
                                                     Loss loss) {
    if (read_only_) return fail_read_only(name);
    const auto it = volumes_.find(name);
    if (it == volumes_.end())
        return fail(Errc::not_found, "volume {}: there is no volume with this name", name);
    // The map has one reference; more are handles.
    const bool loses = bytes < it->second->bytes() && it->second.use_count() > 1;
    if (loses && loss == Loss::refused) {
        return fail(Errc::busy,
                    "volume {}: it is in use, and its users would lose {}; disconnect its clients "
                    "first, or stop the program that has it open",
                    name, bytes == 0 ? "it" : "its end");
    }
    if (it->second->changing) return fail(Errc::busy, "volume {}: its size is being changed", name);
    return it->second;
}

Result<Core::Deletion> Core::begin_delete(const std::string& name, Loss loss) {
    const Locked lock(control_mutex_);
    std::shared_ptr<VolumeState> state, trimming;
    decltype(volumes_)::node_type removed;
    QS_TRY(refuse_if_stopped());
    deleted_.reserve(deleted_.size() + 2);
    {
        const Locked shown(shown_mutex_);
        auto changeable = to_change(name, 0, loss);
        if (!changeable) return fail(changeable.error());
        state = *changeable;
        trimming = for_trim(*state);
        removed = volumes_.extract(name);
    }
    const Status written = change_volumes([&](Superblock& changed) -> Status {
        const auto at = find_volume(changed, name) - changed.volumes.data();
        changed.volumes[static_cast<std::size_t>(at)].state = kVolumeDeleted;
        return {};
    });
    if (!written && !gate_->failed()) {  // nothing was written
        const Locked shown(shown_mutex_);
        volumes_.insert(std::move(removed));
        return fail(written.error());
    }
    // Also after an error: it may have come to a drive, so nothing more may be acknowledged.
    state->deleted = true;
    deleted_.push_back(state);
    QS_TRY(written);
    deleted_.push_back(trimming);
    return Deletion{state, trimming};
}

std::vector<Core::Deletion> Core::unfinished_deletions() {
    const Locked lock(control_mutex_);
    std::vector<Deletion> list;
    for (const VolumeRecord& v : superblock_.volumes) {
        if (v.state != kVolumeDeleted) continue;
        list.push_back({nullptr, make_state(superblock_, v)});
        deleted_.push_back(list.back().trimming);
    }
    return list;
}

// Throws nothing, so that callers can put back what they changed before. Without memory for it
// nothing has changed on any drive nor in the superblock here.
Status Core::change_volumes(const VolumesChange& change) {
    return in_words(Errc::no_memory, [&] { return write_volumes(change); });
}

// The table of volumes as it was is put back if it can't be written.
// Changed in a copy, so that a change that is refused half way leaves nothing behind.
Status Core::write_volumes(const VolumesChange& change) {
    QS_TRY(refuse_if_stopped());
    Superblock changed = superblock_;
    QS_TRY(change(changed));
    Superblock shown = changed;  // before anything is written: after that nothing may fail
    const auto swap = [&] {
        std::swap(superblock_.volumes, changed.volumes);
        std::swap(superblock_.extents, changed.extents);
    };
    swap();
    const Status written = write_superblock();
    if (written) {
        shown.generation = superblock_.generation;
        shown.complete_generation = superblock_.complete_generation;
        show(shown);
        return {};
    }
    swap();
    if (!gate_->failed()) return written;  // nothing was written
    return in_words(written.error().code, [&]() -> Status {
        return fail(written.error().code,
                    "{}; the change of the volumes may have been made or not: close the array and "
                    "open it again, then `qlcshape volume list` tells",
                    written.error().message);
    });
}

// In control_mutex_, so that of two changes the later one is shown last.
void Core::show(Superblock& shown) {
    const Locked lock(shown_mutex_);
    std::swap(shown_, shown);
}

// A larger volume is there at once: its new pages are free ones, so nothing is mapped in them. From
// a smaller one the end is taken away first, so that no new write comes to what is to be trimmed.
// The smaller size is durable only after the trim: otherwise a crash in between would leave old
// data in pages that the next volume may get.
Result<Core::Resize> Core::begin_resize(const std::string& name, std::uint64_t bytes, Loss loss) {
    const Locked lock(control_mutex_);
    Resize resize;
    const auto to_size = [&](Superblock& changed) {
        return resize_volume(changed, array_.layout, name, bytes);
    };
    const auto show_size = [&] {
        resize.volume->changing = true;
        resize.volume->set_bytes(bytes);
        resize.volume->turn();
    };
    {
        const Locked shown(shown_mutex_);
        auto changeable = to_change(name, bytes, loss);
        if (!changeable) return fail(changeable.error());
        resize = {*changeable, (*changeable)->bytes(), bytes, for_trim(**changeable)};
        if (bytes < resize.from) {
            Superblock tried = superblock_;
            QS_TRY(to_size(tried));
            show_size();
            return resize;
        }
    }
    std::unique_ptr<Extents> extents;  // before it is written: after that nothing may fail
    const auto grow = [&](Superblock& changed) -> Status {
        QS_TRY(to_size(changed));
        extents = std::make_unique<Extents>(extents_of(changed, *find_volume(changed, name)));
        return {};
    };
    QS_TRY(change_volumes(std::ref(grow)));
    resize.volume->set_extents(std::move(extents));
    show_size();
    return resize;
}

Status Core::finish_resize(const Resize& resize, const Status& trimmed) {
    const Locked lock(control_mutex_);
    VolumeState& state = *resize.volume;
    QS_ASSERT(state.changing && state.drained() && resize.trimming->idle());
    state.changing = false;
    if (resize.bytes >= resize.from) return {};
    Status done = trimmed;
    const auto to_size = [&](Superblock& changed) {
        return resize_volume(changed, array_.layout, state.name, resize.bytes);
    };
    if (done) done = change_volumes(std::ref(to_size));  // which takes no memory for the call
    // Where it may have come to a drive what was cut off stays refused.
    if (done || gate_->failed()) return done;
    // Nothing was written: it is as large as it is on the drives, and as the next opening finds it.
    state.set_bytes(resize.from);
    return in_words(done.error().code, [&]() -> Status {
        return fail(done.error().code, "{}; volume {} keeps its size, but its end is trimmed",
                    done.error().message, state.name);
    });
}

Status Core::forget_volume(const Uuid& uuid) {
    const Locked lock(control_mutex_);
    return change_volumes([&](Superblock& changed) { return remove_volume(changed, uuid); });
}

Result<std::shared_ptr<VolumeState>> Core::volume(const std::string& name) {
    const Locked lock(shown_mutex_);
    const auto it = volumes_.find(name);
    if (it == volumes_.end()) {
        return fail(Errc::not_found,
                    "volume {}: there is no volume with this name; see `qlcshape volume list`",
                    name);
    }
    return it->second;
}

std::vector<VolumeInfo> Core::volumes() const {
    const Locked lock(shown_mutex_);
    std::vector<VolumeInfo> list;
    for (const auto& [name, state] : volumes_) {
        list.push_back({name, state->uuid.to_string(), state->bytes(), state->device});
    }
    return list;
}

void Core::set_device(VolumeState& volume, const std::string& path) {
    const Locked lock(shown_mutex_);
    volume.device = path;
}

}  // namespace qlcshape
