// SPDX-License-Identifier: Apache-2.0
// How a finding, the newest of its LBA, version v, is weighed against the table's entry. A mapped
// entry has no version, so each rule tries to do without the header that it leads to:
//
//   the entry                                 the finding
//   ---------------------------------------   ---------------------------------------------------
//   is the same                               changes nothing
//   is unmapped, since version u              wins if v > u, and data if v = u (see Best)
//   leads to a segment that is read here,     wins: a newer version of the LBA in such a segment
//   to an old life of a band, or nowhere      would be the finding itself
//   leads to a segment that was published     wins if v >= next_version of the snapshot: versions
//   before the snapshot                       in there are below that. Otherwise it is a question:
//                                             the header there has u; wins if v > u, or if the
//                                             header says that the slot is another LBA's
//
// With next_version 100: a finding of version 120 wins unseen. One of 80 may be a copy that GC made
// after the snapshot (u is 80: the entry stays), or a write that was in RAM when the snapshot began
// (u is 70: it wins).
//
// A page all of whose findings have v >= next_version need not be read at all: they become patches,
// and win over whatever entry the page has when it is read later. One finding below that, and the
// page's findings are weighed now.
//
// Read-only there are also blocks in memory, which could not be committed. They are weighed against
// findings and entry alike: where the array has as new a version, memory's block is superseded.
#include "recovery/table_update.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bitset>
#include <iterator>

#include "base/canary.h"
#include "recovery/findings.h"
#include "recovery/page_copies.h"

namespace qlcshape {

namespace {

constexpr std::uint64_t kInMemory = Findings::kInMemory;
constexpr std::size_t kPagesAtOnce = 256;

std::uint64_t page_number(const Finding& c) { return page_of(c.lba).value; }

class Update {
  public:
    explicit Update(const TableUpdateInput& in)
        : in_(in),
          l_(in.array.layout),
          counts_below_(l_.bands),
          blocks_(kPagesAtOnce * kBlockBytes),
          pages_(kPagesAtOnce),
          copies_(in.array, in.queue, kPagesAtOnce) {
        out_.totals.valid.resize(l_.bands);
        out_.totals.tombstones.resize(l_.bands);
        out_.totals.used_blocks = in.snapshot.used_blocks;
        set_ranges();
    }

    Result<TableUpdate> run() {
        // Passes over ranges of LBAs, where more came since than fits in memory at once.
        slots_ = in_.in_memory.size();
        for (const SegmentRange& r : ranges_) slots_ += slots_of(r);
        const std::uint64_t passes =
            slots_ <= in_.kept_findings ? 1 : div_up(slots_, in_.kept_findings / 2);
        const std::uint64_t pages = div_up(l_.pmt_pages, passes);
        for (std::uint64_t pass = 0; pass < passes && !out_.impossible; ++pass) {
            QS_TRY(collect(pass * pages, pages, pass == 0));
            if (!out_.impossible) QS_TRY(apply());
        }
        if (in_.read_only) std::ranges::sort(out_.patches, {}, &Patch::lba);
        return std::move(out_);
    }

  private:
    // A question: does the segment that the table's entry leads to hold this LBA, and how new?
    struct Question {
        std::size_t page = 0;  // in pages_
        std::uint32_t index = 0;
        PmtEntry entry;
        Best best;
    };
    struct Page {
        PageId id;
        std::uint32_t generation = 0;
        bool changed = false;
        bool alike = true;  // its copies
        std::array<PmtEntry, kPageEntries> entries;
        std::bitset<kPageEntries> patched;  // read-only: entries that are left as patches
    };

    // Below counts_below_ a band's segments were in the table when the snapshot began; an entry
    // that leads elsewhere is of an old life, or a segment from there on says it again.
    //
    // For the snapshot a band was closed, of which no record says so yet: it may have ended before
    // segments that nevertheless are whole, if a drive wrote its strips when it was out already.
    // Recovery keeps those.
    void set_ranges() {
        std::vector<std::uint32_t> published(l_.bands, UINT32_MAX);
        for (std::uint32_t i = 0; i < l_.bands; ++i) {
            const BandRecord& r = in_.on_media[i];
            if (r.state == BandState::open) published[i] = r.segments;
        }
        for (const SnapshotBand& b : in_.snapshot.open) {
            if (in_.bands[b.band].sequence == b.sequence) published[b.band] = b.published;
        }
        for (std::uint32_t i = 0; i < l_.bands; ++i) {
            const BandRecord& r = in_.bands[i];
            if (!r.counts()) continue;
            const bool later = r.sequence >= in_.snapshot.next_band_sequence;
            counts_below_[i] = later ? 0 : std::min(published[i], r.segments);
            if (counts_below_[i] < r.segments)
                ranges_.push_back({BandId(i), r.sequence, counts_below_[i], r.segments});
            if (counts_below_[i] != 0) {
                out_.totals.valid[i] = r.valid;
                out_.totals.tombstones[i] = r.tombstones;
            }
        }
    }

    std::size_t slots_of(const SegmentRange& r) const {
        return std::size_t{r.to - r.from} * l_.slots_per_segment;
    }

    // Each part of the team has findings of its own, and sorts them by page; then they are merged.
    Status collect(std::uint64_t first_page, std::uint64_t pages, bool first_pass) {
        std::atomic<std::size_t> room{in_.kept_findings};
        std::vector<Findings> parts(in_.team.parts, Findings(room));
        const auto see = [&](std::uint32_t part, const Finding& c) {
            if (page_number(c) < first_page || page_number(c) - first_page >= pages) return;
            if (c.lba.value + c.blocks <= l_.pmt_pages * kPageEntries) parts[part].add(c);
        };
        const auto scanned = scan_entries(
            in_.array, ranges_, in_.team, see, first_pass ? &out_.totals.tombstones : nullptr,
            [&](double share) {
                if (in_.progress)
                    in_.progress("reading what was written after the snapshot", 100 * share);
            });
        if (!scanned) return fail(scanned.error());
        out_.totals.scanned.add(*scanned);
        for (const auto& [lba, version] : in_.in_memory)
            see(0, {Lba(lba), 1, version, kInMemory, PmtEntry{}});
        in_.team.run([&](std::uint32_t number, IoQueue&) {
            std::ranges::sort(parts[number].list(), {}, page_number);
        });
        findings_.clear();
        for (Findings& part : parts) {
            out_.impossible |= part.too_many();
            const std::vector<Finding> before = std::move(findings_), more = std::move(part.list());
            findings_.clear();
            findings_.reserve(before.size() + more.size());
            std::ranges::merge(before, more, std::back_inserter(findings_), {}, page_number,
                               page_number);
        }
        return {};
    }

    Status apply() {
        if (in_.leave_patches) leave_patches();
        for (std::size_t at = 0; at < findings_.size();) {
            std::size_t end = at;
            used_ = 0;
            while (end < findings_.size() && used_ < kPagesAtOnce) {
                pages_[used_++].id = page_of(findings_[end].lba);
                end = end_of_page(end);
            }
            if (in_.progress) {
                in_.progress("updating the table", 100.0 * static_cast<double>(at) /
                                                       static_cast<double>(findings_.size()));
            }
            if (!read_pages()) return {};
            questions_.clear();
            for (std::size_t page = 0; page < used_; ++page) at = weigh_page(page, at);
            QS_TRY(answer());
            if (in_.read_only) {
                patch_pages();
            } else {
                QS_TRY(write_pages());
            }
        }
        return {};
    }

    std::size_t end_of_page(std::size_t at) const {
        const std::uint64_t page = page_number(findings_[at]);
        while (at < findings_.size() && page_number(findings_[at]) == page) ++at;
        return at;
    }

    // The newest of one page's findings, those in memory apart; touched_ are the entries that have
    // any, in order.
    void gather(std::size_t at, std::size_t end) {
        for (const std::uint32_t i : touched_) best_[i] = in_memory_[i] = {};
        touched_.clear();
        for (; at < end; ++at) {
            const Finding& f = findings_[at];
            PageBest& list = f.sequence == kInMemory ? in_memory_ : best_;
            const auto index = static_cast<std::uint32_t>(f.lba.value % kPageEntries);
            for (std::uint32_t i = index; i < index + f.blocks; ++i) {
                list[i].consider(f);
                touched_.push_back(i);
            }
        }
        std::ranges::sort(touched_);
        touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    }

    // Pages of which everything found is newer than the snapshot: it is newer than the table, too,
    // or there already. Their findings become patches; the others stay.
    void leave_patches() {
        std::size_t kept = 0;
        for (std::size_t at = 0; at < findings_.size();) {
            const std::size_t end = end_of_page(at);
            bool newer = true;
            for (std::size_t i = at; i < end; ++i) {
                newer &= findings_[i].version.value >= in_.snapshot.next_version;
            }
            if (newer) leave_page(at, end);
            for (; at < end; ++at) {
                if (!newer) findings_[kept++] = findings_[at];
            }
        }
        findings_.resize(kept);
    }

    void leave_page(std::size_t at, std::size_t end) {
        const std::uint64_t first = page_number(findings_[at]) * kPageEntries;
        gather(at, end);
        for (const std::uint32_t i : touched_) {
            if (best_[i].version == 0) continue;
            const PmtEntry entry = best_[i].entry;
            out_.patches.push_back({Lba(first + i), entry});
            if (entry.mapped()) ++out_.totals.valid[l_.band_of(entry.pba(l_)).value];
        }
    }

    // Where copies differ all of the page is written, or left as patches, whatever is found: the
    // copy that is not taken may lack it.
    bool read_pages() {
        std::vector<PageId> written;
        for (std::size_t i = 0; i < used_; ++i) {
            if (in_.bitmap.written(pages_[i].id)) written.push_back(pages_[i].id);
        }
        copies_.read(written);
        std::size_t at = 0;
        for (std::size_t i = 0; i < used_ && !out_.impossible; ++i) {
            Page& p = pages_[i];
            p.changed = false;
            p.alike = true;
            p.patched.reset();
            if (!in_.bitmap.written(p.id)) {
                p.entries.fill({});
                p.generation = in_.array.first_generation();
                continue;
            }
            const PageCopies::Seen seen = copies_.see(at++, p.entries.data());
            p.generation = seen.generation;
            p.alike = seen.alike || canary(Canary::unlike_copies_stay);
            p.changed = !p.alike && !in_.read_only;
            out_.impossible = !seen.good;
        }
        return !out_.impossible;
    }

    void patch_pages() {
        for (const Page& p : std::span(pages_).first(used_)) {
            for (std::size_t i = 0; i < kPageEntries; ++i) {
                if (p.patched.test(i))
                    out_.patches.push_back({Lba(p.id.value * kPageEntries + i), p.entries[i]});
            }
        }
    }

    Status write_pages() {
        ios_.clear();
        for (std::size_t i = 0; i < used_; ++i) {
            const Page& p = pages_[i];
            if (!p.changed) continue;
            std::byte* const block = blocks_.data() + i * kBlockBytes;
            encode_pmt_page(p.entries.data(), p.id, in_.array.array, p.generation + 1, block);
            for (std::uint32_t copy = 0; copy < l_.p.pmt_copies; ++copy) {
                const Io io = in_.array.pmt_io(IoKind::write, p.id, copy, block,
                                               PersistencePoint::table_update_write);
                if (io.device != nullptr) ios_.push_back(io);
            }
        }
        QS_TRY(qlcshape::run(in_.queue, ios_));
        for (std::size_t i = 0; i < used_; ++i) {
            if (pages_[i].changed) in_.bitmap.set_written(pages_[i].id);
        }
        return {};
    }

    // Weighs the page's findings, from `at` on; returns where those of the next page begin.
    std::size_t weigh_page(std::size_t page, std::size_t at) {
        const std::size_t end = end_of_page(at);
        gather(at, end);
        for (const std::uint32_t i : touched_) {
            if (in_.read_only && !pages_[page].alike) pages_[page].patched.set(i);
            if (best_[i].version != 0) weigh(page, i, best_[i]);
            if (in_memory_[i].version != 0) weigh_memory(page, i, in_memory_[i], best_[i]);
        }
        return end;
    }

    bool counts(PmtEntry entry) const {
        const Pba pba = entry.pba(l_);
        return l_.is_slot(pba) && l_.segment_of(pba) < counts_below_[l_.band_of(pba).value];
    }

    void weigh(std::size_t page, std::uint32_t index, const Best& best) {
        const PmtEntry now = pages_[page].entries[index];
        if (now == best.entry) {
            if (now.mapped()) count_present(l_.band_of(now.pba(l_)));
            return;
        }
        if (!now.mapped()) {
            const std::uint64_t since = now.version().value;
            if (since < best.version || (since == best.version && best.entry.mapped()))
                change(page, index, best.entry);
        } else if (!counts(now) || best.version >= in_.snapshot.next_version) {
            change(page, index, best.entry);
        } else {
            questions_.push_back({page, index, now, best});
        }
    }

    // A band that is read from its beginning is counted from zero; the band table's count of
    // others includes it.
    void count_present(BandId band) {
        if (counts_below_[band.value] == 0) ++out_.totals.valid[band.value];
    }

    void weigh_memory(std::size_t page, std::uint32_t index, const Best& memory, const Best& best) {
        const PmtEntry now = pages_[page].entries[index];
        const std::uint64_t unmapped = now.mapped() ? 0 : now.version().value;
        if (std::max(best.version, unmapped) >= memory.version) {
            out_.superseded.push_back(pages_[page].id.value * kPageEntries + index);
        } else if (now.mapped() && counts(now) && memory.version < in_.snapshot.next_version) {
            questions_.push_back({page, index, now, memory});
        }
    }

    // The table's entry carries no version: that is in the header of the segment it leads to.
    // Sorted by segment, so each header is read once. Where one can't be had recovery ends: to
    // guess could make an older version the newest for good.
    Status answer() {
        const auto segment = [&](const Question& q) { return l_.stripe_of(q.entry.pba(l_)); };
        std::ranges::sort(questions_, {}, segment);
        const SegmentHeader* header = nullptr;
        std::uint64_t read = UINT64_MAX;
        for (const Question& q : questions_) {
            const Pba pba = q.entry.pba(l_);
            const BandId band = l_.band_of(pba);
            if (segment(q) != read) {
                read = segment(q);
                header = read_header(band, l_.segment_of(pba));
                ++out_.totals.scanned.segments;
            }
            if (header == nullptr) {
                return fail(in_.scan.lost(band, l_.segment_of(pba), "its header",
                                          "which blocks are newer is not known"));
            }
            const Entry e = header->entry(l_.slot_of(pba));
            const std::uint64_t lba = pages_[q.page].id.value * kPageEntries + q.index;
            const bool same = e.kind == EntryKind::data && e.lba.value == lba;
            if (q.best.sequence != kInMemory) {
                if (!same || e.version.value < q.best.version)
                    change(q.page, q.index, q.best.entry);
            } else if (same && e.version.value >= q.best.version) {
                out_.superseded.push_back(lba);
            }
        }
        return {};
    }

    const SegmentHeader* read_header(BandId band, std::uint32_t segment) {
        const std::uint64_t sequence = in_.bands[band.value].sequence;
        header_bytes_.resize(l_.header_bytes());
        bool good = false;
        static_cast<void>(in_.scan.headers(
            band, sequence, segment, segment + 1, [&](std::uint32_t, const SegmentHeader* seen) {
                good = seen != nullptr;
                if (good) std::ranges::copy(seen->bytes(), header_bytes_.begin());
            }));
        header_ = SegmentHeader(l_, header_bytes_.data());
        return good ? &header_ : in_.scan.rebuilt_header(band, sequence, segment);
    }

    void change(std::size_t page, std::uint32_t index, PmtEntry entry) {
        PmtEntry& now = pages_[page].entries[index];
        if (now.mapped()) {
            --out_.totals.used_blocks;
            if (counts(now)) {
                std::uint32_t& valid = out_.totals.valid[l_.band_of(now.pba(l_)).value];
                if (valid != 0) --valid;
            }
        }
        if (entry.mapped()) {
            ++out_.totals.used_blocks;
            ++out_.totals.valid[l_.band_of(entry.pba(l_)).value];
        }
        now = entry;
        if (in_.read_only)
            pages_[page].patched.set(index);
        else
            pages_[page].changed = true;
    }

    using PageBest = std::array<Best, kPageEntries>;
    const TableUpdateInput& in_;
    const ArrayLayout& l_;
    TableUpdate out_;
    std::vector<SegmentRange> ranges_;
    std::size_t slots_ = 0;                    // of them
    std::vector<std::uint32_t> counts_below_;  // by band
    std::vector<Finding> findings_;            // by page
    PageBest best_{}, in_memory_{};            // of one page
    std::vector<std::uint32_t> touched_;       // entries of it that have any
    Buffer blocks_;
    std::vector<Page> pages_;
    std::size_t used_ = 0;  // of pages_
    PageCopies copies_;
    std::vector<Io> ios_;
    std::vector<Question> questions_;
    std::vector<std::byte> header_bytes_;
    SegmentHeader header_{l_, nullptr};
};

}  // namespace

Result<TableUpdate> update_table(const TableUpdateInput& input) { return Update(input).run(); }

}  // namespace qlcshape
