// SPDX-License-Identifier: Apache-2.0
#include "engine/ending.h"

#include "device/remedy.h"
#include "placement/failures.h"

namespace qlcshape {

namespace {

// Without an errno: no transfer of the engine's own did.
Io ended_by(const SpaceGate& gate) { return gate.failed() ? gate.ended_by() : Io{}; }

}  // namespace

std::string ending(const SpaceGate& gate, const ArrayContext& array) {
    switch (gate.ended()) {
        case SpaceGate::End::space:
            return "because bands that can't be read or erased take the space (" +
                   drive_failures(array) + ")";
        case SpaceGate::End::table:
            return "after a page of the mapping table on an scm drive could not be read";
        case SpaceGate::End::drive:
        case SpaceGate::End::none:
            break;
    }
    const Io by = ended_by(gate);
    if (by.error_number == 0) return "after a drive failed (" + drive_failures(array) + ")";
    return (refused_by_system(by.error_number) ? "after the system refused a transfer ("
                                               : "after a drive failed (") +
           what_failed(by) + ")";
}

// Lost drives come first: neither another opening nor `check` can do without them. Of the rest only
// what a transfer failed for has to be mended before the array is opened again.
std::string remedy(const SpaceGate& gate, const ArrayContext& array, Then then) {
    const std::string open =
        then == Then::close_and_open ? "close the array and open it again" : "open the array again";
    if (beyond_parity(array)) return "reconnect the drives, then " + open;
    switch (gate.ended()) {
        case SpaceGate::End::space:
            return open +
                   ", which tries those bands again; if it stops again, copy what can be read to "
                   "another array";
        case SpaceGate::End::table:
            return open + ", which rebuilds the table";
        case SpaceGate::End::drive:
        case SpaceGate::End::none:
            break;
    }
    const Io by = ended_by(gate);
    return by.error_number == 0 ? open : remedy_of(by) + ", then " + open;
}

}  // namespace qlcshape
