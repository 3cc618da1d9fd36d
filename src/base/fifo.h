// SPDX-License-Identifier: Apache-2.0
// An intrusive first-in first-out list, for operations that wait. T has a member `T* next`.
#pragma once

#include "base/assert.h"

namespace qlcshape {

template <class T>
class Fifo {
  public:
    bool empty() const { return head_ == nullptr; }
    T& front() { return *head_; }
    void push_back(T& item) {
        item.next = nullptr;
        (head_ == nullptr ? head_ : tail_->next) = &item;
        tail_ = &item;
    }
    void push_front(T& item) {
        item.next = head_;
        head_ = &item;
        if (tail_ == nullptr) tail_ = &item;
    }
    T& pop_front() {
        QS_ASSERT(head_ != nullptr);
        T& item = *head_;
        head_ = item.next;
        if (head_ == nullptr) tail_ = nullptr;
        item.next = nullptr;
        return item;
    }
    // Everything, oldest first, linked by next; the list is empty afterwards.
    Fifo take() {
        Fifo all = *this;
        head_ = tail_ = nullptr;
        return all;
    }

  private:
    T* head_ = nullptr;
    T* tail_ = nullptr;
};

}  // namespace qlcshape
