// SPDX-License-Identifier: Apache-2.0
// A mutex whose contract the compiler knows. QS_GUARDED_BY(mutex) on a member, QS_REQUIRES(mutex)
// on a function: Clang's thread-safety analysis, which house/tidy runs over src/, refuses a use
// without the lock. Under other compilers the words mean nothing.
#pragma once

#include <mutex>

#if defined(__clang__)
#define QS_THREAD_SAFETY(words) __attribute__((words))
#else
#define QS_THREAD_SAFETY(words)
#endif
#define QS_GUARDED_BY(mutex) QS_THREAD_SAFETY(guarded_by(mutex))
#define QS_REQUIRES(mutex) QS_THREAD_SAFETY(requires_capability(mutex))

namespace qlcshape {

class QS_THREAD_SAFETY(capability("mutex")) Mutex {
  public:
    void lock() QS_THREAD_SAFETY(acquire_capability()) { mutex_.lock(); }
    bool try_lock() QS_THREAD_SAFETY(try_acquire_capability(true)) { return mutex_.try_lock(); }
    void unlock() QS_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }

  private:
    std::mutex mutex_;
};

// Holds a Mutex to the end of its scope.
class QS_THREAD_SAFETY(scoped_lockable) Locked {
  public:
    explicit Locked(Mutex& mutex) QS_THREAD_SAFETY(acquire_capability(mutex)) : mutex_(mutex) {
        mutex_.lock();
    }
    // One that try_lock() has locked.
    enum Held { kHeld };
    Locked(Mutex& mutex, Held) QS_THREAD_SAFETY(requires_capability(mutex)) : mutex_(mutex) {}
    ~Locked() QS_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;

  private:
    Mutex& mutex_;
};

}  // namespace qlcshape
