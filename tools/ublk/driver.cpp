// SPDX-License-Identifier: Apache-2.0
// Control commands over /dev/ublk-control, by a ring of its own: they are wider than others.
#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "tools/ublk/control.h"

namespace qlcshape::ublk {

namespace {

constexpr const char* kControlPath = "/dev/ublk-control";

class KernelDriver final : public Driver {
  public:
    explicit KernelDriver(int fd) : fd_(fd) {}
    ~KernelDriver() override {
        if (ring_made_) io_uring_queue_exit(&ring_);
        ::close(fd_);
    }

    int set_up() {
        const int made = io_uring_queue_init(4, &ring_, IORING_SETUP_SQE128);
        ring_made_ = made == 0;
        return made;
    }

    int send(Command command, const ControlWords& words, int patience_s) override {
        // The first command asked is for the features: who answers takes the encoded form.
        const bool asks = command == Command::get_features;
        const int result = send_as(asks || encoded_, command, words, patience_s);
        encoded_ |= asks && result >= 0;
        return result;
    }

    std::vector<std::uint32_t> devices() const override {
        std::vector<std::uint32_t> found;
        std::error_code failed;
        for (std::filesystem::directory_iterator it("/sys/class/ublk-char", failed), end;
             !failed && it != end; it.increment(failed)) {
            const std::string name = it->path().filename();
            std::uint32_t device = 0;
            const char* const last = name.data() + name.size();
            if (!name.starts_with("ublkc")) continue;
            if (std::from_chars(name.data() + 5, last, device).ptr == last) found.push_back(device);
        }
        return found;
    }

  private:
    int send_as(bool encoded_form, Command command, const ControlWords& words, int patience_s) {
        io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
        if (sqe == nullptr) return -EAGAIN;
        const auto number = static_cast<std::uint32_t>(command);
        const bool reads = command == Command::get_info || command == Command::get_parameters ||
                           command == Command::get_info_by_path || command == Command::get_features;
        std::memset(sqe, 0, 2 * sizeof(*sqe));  // 128 bytes
        sqe->opcode = IORING_OP_URING_CMD;
        sqe->fd = fd_;
        sqe->cmd_op = encoded_form ? encoded(number, reads, sizeof(words)) : number;
        sqe->user_data = ++number_;
        // Behind the first 48 bytes is the command's own part.
        std::memcpy(reinterpret_cast<std::byte*>(sqe) + 48, &words, sizeof(words));
        for (;;) {
            __kernel_timespec patience{patience_s, 0};
            io_uring_cqe* cqe = nullptr;
            const int waited =
                io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &patience, nullptr);
            if (waited == -EINTR || waited == -EAGAIN) continue;
            if (cqe == nullptr) return waited < 0 ? waited : -ETIME;
            const int result = cqe->res;
            const bool ours = cqe->user_data == number_;  // not of one that was given up
            io_uring_cqe_seen(&ring_, cqe);
            if (ours) return result;
        }
    }

    const int fd_;
    io_uring ring_{};
    bool ring_made_ = false;
    bool encoded_ = false;
    std::uint64_t number_ = 0;
};

}  // namespace

Result<std::unique_ptr<Driver>> open_driver() {
    const int fd = ::open(kControlPath, O_RDWR | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO)) {
        return fail(Errc::not_found,
                    "{}: not there; load the module (modprobe ublk_drv). Linux has it since 6.0, "
                    "Debian 12 with the kernel linux-image-6.12-amd64; elsewhere serve with "
                    "--socket",
                    kControlPath);
    }
    if (fd < 0) {
        return fail(Errc::io_error,
                    "{}: {}; run it as root, or give this user /dev/ublk-control and /dev/ublkc* "
                    "(docs/ublk.md)",
                    kControlPath, std::strerror(errno));
    }
    auto driver = std::make_unique<KernelDriver>(fd);
    if (const int made = driver->set_up(); made != 0) {
        return fail(Errc::unsupported,
                    "{}: io_uring: {}; allow it (sysctl kernel.io_uring_disabled=0), and raise "
                    "the limit of locked memory (ulimit -l)",
                    kControlPath, std::strerror(-made));
    }
    return driver;
}

}  // namespace qlcshape::ublk
