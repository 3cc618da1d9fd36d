// SPDX-License-Identifier: Apache-2.0
// Messages that GC sends to the shard that owns the pages: "does the table still have this entry?"
// and "if it does, replace it by that". Only the shard touches its pages, so no answer is stale: a
// user's write that came first wins.
#pragma once

#include <cstdint>
#include <vector>

#include "base/mailbox.h"
#include "device/io.h"
#include "format/pmt_page.h"
#include "pmt/page_cache.h"

namespace qlcshape {

struct MapBatch;

enum class MapKind : std::uint8_t {
    lookup,     // is the entry still `expected`?
    exchange,   // if it is, make it `desired`
    tombstone,  // is any of `blocks` blocks from `lba` still trimmed at this version?
};

struct MapItem : PageWaiter {
    MapBatch* batch = nullptr;
    Lba lba;
    std::uint32_t blocks = 1;
    PmtEntry expected;  // tombstone: make_unmapped(trimmed, version)
    PmtEntry desired;
    std::uint32_t slot = 0;  // the sender's
    bool matched = false;    // the answer
    bool failed = false;     // the page is damaged: no answer
};

struct MapBatch {
    MapBatch* mail_next = nullptr;
    MapBatch* next = nullptr;
    MapKind kind = MapKind::lookup;
    std::vector<MapItem> items;  // capacity taken at open
    std::uint32_t unanswered = 0;
    Mailbox<MapBatch>* reply_to = nullptr;
    IoQueue* reply_queue = nullptr;  // of the thread that takes the reply
    void* context = nullptr;         // the sender's

    // The shard's, once for each answer. The last returns the batch: from then on its sender
    // refills it, items and all.
    void answered() {
        if (--unanswered != 0) return;
        IoQueue* queue = reply_queue;
        reply_to->put(*this);
        queue->wake();
    }
};

// Where a shard receives batches.
struct MapPort {
    Mailbox<MapBatch> mailbox;
    IoQueue* queue = nullptr;  // of the shard's thread
    void send(MapBatch& batch) {
        mailbox.put(batch);
        queue->wake();
    }
};

}  // namespace qlcshape
