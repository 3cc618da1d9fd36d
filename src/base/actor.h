// SPDX-License-Identifier: Apache-2.0
// What a worker's thread moves along: a shard, a collector, the keeper, the snapshotter. An actor
// has no thread and never waits. All calls come from the thread of its worker.
#pragma once

namespace qlcshape {

// Closing goes in phases; each begins when all actors are done with the one before.
//
//   running -> draining -> erasing -> flushing
//
// What an actor still does in a phase is what others need before they can be done with it: shards
// commit what is in RAM before the bands that they leave are erased, and bands are erased before
// the table is written back for the last time.
enum class Phase : int {
    running = 0,
    draining = 1,  // shards commit what is in RAM, collectors finish what they began
    erasing = 2,   // the keeper erases what was moved
    flushing = 3,  // shards write the table back
    halted = 4,    // instead of all others: nothing goes on (Core::watch())
};

class Actor {
  public:
    virtual ~Actor() = default;

    // Does what can be done now; true if there was anything.
    virtual bool poll() = 0;
    // Whether a later poll() may have something to do though neither mail nor a completion comes.
    virtual bool busy() const = 0;
    // Closing has come to this phase, which is neither running nor halted. Called before every
    // poll().
    virtual void begin(Phase phase) = 0;
    // Nothing is left to do in this phase, or nothing can be done any more. Called after a poll()
    // that had nothing to do, and may begin more.
    virtual bool done_with(Phase phase) = 0;
    // It can't go on, since a drive failed.
    virtual bool failed() const = 0;
};

}  // namespace qlcshape
