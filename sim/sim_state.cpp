// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_state.h"

#include "sim/sim_history.h"

namespace qlcshape::sim {

const char* to_string(State state) {
    static constexpr std::array<const char*, kStates> kNames = {
        "healthy",  "one_qlc_lost", "two_qlc_lost", "rebuilding", "replacing",
        "scm_lost", "resilvering",  "scrubbing",    "recovering", "table_lost"};
    return kNames[static_cast<std::size_t>(state)];
}

// Of the array that is open, before it is dropped.
void History::note_state() {
    const ArrayContext& array = core_->array();
    const Stats now = core_->stats();
    States states;
    const auto note = [&](State state, bool holds) {
        states.set(static_cast<std::size_t>(state), holds);
    };
    const std::size_t lost = array.layout.width() - array.drives_in().count();
    note(State::one_qlc_lost, lost == 1);
    note(State::two_qlc_lost, lost >= 2);
    note(State::rebuilding, now.rebuild.bands_left != 0);
    note(State::replacing, now.replacement.role == "qlc");
    note(State::scm_lost, array.scm_in_count() < array.layout.p.scm_count);
    note(State::resilvering, now.replacement.role == "scm");
    note(State::scrubbing, now.scrub.state == "asked");
    note(State::healthy, states.none());
    cut_in_ |= states;
}

// Another cycle has come to its end.
void History::count_states(States cut_in) {
    cut_in.set(static_cast<std::size_t>(State::table_lost), before_.recovery.kind == "full");
    for (std::size_t i = 0; i < kStates; ++i) result_.cycles_by_state[i] += cut_in[i] ? 1 : 0;
}

}  // namespace qlcshape::sim
