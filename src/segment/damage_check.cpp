// SPDX-License-Identifier: Apache-2.0
#include "segment/damage_check.h"

#include <utility>

#include "base/crc32c.h"
#include "device/remedy.h"

namespace qlcshape {

bool DamageCheck::wanted(const Io& transfer) const {
    const Device* const drive = transfer.device;
    if (drive == nullptr || drive->read_only() || drive->out() || drive->given_up()) return false;
    return !refused_by_system(transfer.error_number) && bands_.damaged() < kBandsAtOnce;
}

void DamageCheck::begin(Pba pba, PmtEntry expected, std::function<void()> done) {
    const ArrayLayout& l = array_.layout;
    const std::uint64_t at = l.slot_byte(l.slot_of(pba));
    const std::uint32_t segment = l.segment_of(pba);
    band_ = l.band_of(pba);
    sequence_ = bands_.sequence_of(band_);
    expected_ = expected;
    done_ = std::move(done);
    drive_ = array_.locate(band_, segment, static_cast<std::uint32_t>(at / l.p.strip_bytes)).drive;
    io_ = array_.segment_io(IoKind::read, band_, segment, at, kBlockBytes, block_.data());
    submit(&DamageCheck::looked);
}

void DamageCheck::submit(void (DamageCheck::*then)()) {
    if (io_.device == nullptr) return end();  // it has gone out
    then_ = then;
    io_.context = this;
    io_.done = [](Io& done) {
        auto& self = *static_cast<DamageCheck*>(done.context);
        if (done.kept) self.block_.renew();
        (self.*self.then_)();
    };
    queue_.submit(io_);
}

void DamageCheck::looked() {
    if (io_.error_number == 0) {
        if (!expected_.crc_matches(array_.layout, crc32c(block_.span()))) mark();
        return end();
    }
    if (!wanted(io_)) return end();
    io_ = array_.probe_io(drive_, block_.data());
    submit(&DamageCheck::probed);
}

void DamageCheck::probed() {
    if (io_.error_number == 0)
        mark();
    else
        io_.device->note_silent(io_.error_number);
    end();
}

void DamageCheck::mark() { static_cast<void>(bands_.mark_damaged(band_, sequence_, false)); }

void DamageCheck::end() { std::exchange(done_, nullptr)(); }

}  // namespace qlcshape
