// SPDX-License-Identifier: Apache-2.0
#include "engine/ending.h"

#include "placement/failures.h"

namespace qlcshape {

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
    const bool known = gate.failed() && gate.ended_by().error_number != 0;
    return "after a drive failed (" +
           (known ? describe_failure(gate.ended_by()).message : drive_failures(array)) + ")";
}

// Lost drives come first: neither another opening nor `check` can do without them. Of the rest only
// a failed drive has to be mended before the array is opened again.
std::string remedy(const SpaceGate& gate, const ArrayContext& array) {
    if (beyond_parity(array)) return kReconnect;
    switch (gate.ended()) {
        case SpaceGate::End::space:
            return "close the array and open it again, which tries those bands again; if it stops "
                   "again, copy what can be read to another array";
        case SpaceGate::End::table:
            return "close the array and open it again, which rebuilds the table";
        case SpaceGate::End::drive:
        case SpaceGate::End::none:
            break;
    }
    return "close the array, and open it again when the drive works";
}

}  // namespace qlcshape
