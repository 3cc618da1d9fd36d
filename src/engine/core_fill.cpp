// SPDX-License-Identifier: Apache-2.0
// An SCM drive is replaced while the array is open: the new one gets each write from the beginning,
// and all that was written before is written once more by those who write it, so nobody copies what
// others may change. The old one, if it works, stays in until then.
//
//   waits for   what                                                who
//   ----------  --------------------------------------------------  ---------------------------
//   seen        it gets each write; one that it does not take is    everyone (scm_written())
//               done all the same, and ends this
//   filled      records of the TPS from before are freed, pages     shards (mirror_fill.h)
//               of the table that were ever written are written
//               again; so are both places of band pages             keeper
//   kept        both places of bitmap pages and snapshots, after    snapshotter
//               a flush of the table
//   joined      what it does not take waits now, as for the others  everyone
//   -           the old one is out, a superblock names the new one  come_in()
//               it is read                                          everyone (scm_in())
//
// A cut before that superblock is on an SCM drive leaves the array as if nothing had been, or with
// the old drive out. The first one that has it is the new drive itself (MemberDevice::comes_in).
#include "engine/core.h"
#include "placement/failures.h"

namespace qlcshape {

// Under control_mutex_.
void Core::begin_coming() {
    const MemberDevice& m = replacing_->fresh;
    m.device->set_watched();
    m.device->set_mirror();
    m.device->set_coming(true);
    for (Shard* shard : shards_) shard->mirror_fill().clear();
    array_.scm_coming.set(m.record.index, m.device.get());
}

bool Core::filled() {
    using Step = Replacing::Step;
    Replacing& r = *replacing_;
    switch (r.waits_for) {
        case Step::seen:
            if (!everyone_polled(r.polls)) return false;
            for (Shard* shard : shards_) shard->mirror_fill().ask(r.fresh.record.index);
            keeper_->rewrite();
            for (std::uint64_t page = 0; page < bitmap_->pages(); ++page)
                bitmap_->set_changed(page);
            r.waits_for = Step::filled;
            return false;
        case Step::filled:
            for (Shard* shard : shards_) {
                if (!shard->mirror_fill().done()) return false;
            }
            if (keeper_->rewrites()) return false;
            // One may be under way; then to each place of the record.
            r.snapshots = snapshotter_->taken() + 3;
            r.given_up = snapshotter_->given_up() + 3;
            r.waits_for = Step::kept;
            return false;
        case Step::kept:
            if (snapshotter_->taken() < r.snapshots) {
                if (snapshotter_->given_up() < r.given_up)
                    snapshotter_->ask();
                else
                    r.outcome = fail(Errc::io_error,
                                     "array {}: the scm drives take no snapshot of the table, and "
                                     "the new one is no member; {}",
                                     name(), drive_failures(array_));
                return false;
            }
            r.fresh.device->set_coming(false);
            r.waits_for = Step::joined;
            return false;
        case Step::joined:
            return everyone_polled(r.polls);
    }
    return false;
}

// It is in by now, or gets nothing any more; what waits for it is done.
void Core::end_coming() {
    MemberDevice& left = replacing_->fresh;
    array_.scm_coming.set(left.record.index, nullptr);
    for (Shard* shard : shards_) shard->mirror_fill().give_up();
    if (left.device != nullptr) left.device->set_out();
    wake_workers();
}

}  // namespace qlcshape
