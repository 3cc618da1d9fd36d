// SPDX-License-Identifier: Apache-2.0
// The channel between threads: many put, one takes. Intrusive and lock-free; a message is in one
// mailbox at a time and belongs to the receiver once put. Messages of one sender arrive in order.
#pragma once

#include <atomic>

namespace qlcshape {

template <class T>  // T has a member `T* mail_next`
class Mailbox {
  public:
    // Any thread.
    void put(T& message) {
        T* head = head_.load(std::memory_order_relaxed);
        do {
            message.mail_next = head;
        } while (!head_.compare_exchange_weak(head, &message, std::memory_order_seq_cst,
                                              std::memory_order_relaxed));
    }

    // The owner's thread. Everything put so far, oldest first, linked by mail_next.
    T* take_all() {
        if (head_.load(std::memory_order_relaxed) == nullptr) return nullptr;
        T* newest = head_.exchange(nullptr, std::memory_order_acquire);
        T* oldest = nullptr;
        while (newest != nullptr) {
            T* next = newest->mail_next;
            newest->mail_next = oldest;
            oldest = newest;
            newest = next;
        }
        return oldest;
    }

    bool empty() const { return head_.load(std::memory_order_seq_cst) == nullptr; }

  private:
    alignas(64) std::atomic<T*> head_{nullptr};
};

}  // namespace qlcshape
