// SPDX-License-Identifier: Apache-2.0
#include "tools/candidates.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/patience.h"

namespace qlcshape::tools {

namespace {

namespace fs = std::filesystem;

struct Seen {
    struct stat status {};
    int error_number = 0;
};

// Nothing where the file system doesn't answer.
std::optional<Seen> see(const std::string& path) {
    return with_patience([path] {
        Seen seen;
        if (::stat(path.c_str(), &seen.status) != 0) seen.error_number = errno;
        return seen;
    });
}

Candidate silent(const std::string& path, bool named) {
    return {.path = path, .named = named, .answers = false};
}

using Names = Result<std::vector<std::string>>;

Names entries_of(const fs::path& folder) {
    std::error_code failed;
    std::vector<std::string> paths;
    for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end;
         entry.increment(failed)) {
        paths.push_back(folder == "." ? entry->path().filename().string() : entry->path().string());
    }
    if (!failed) return paths;
    return fail(Errc::invalid_argument, "{}: its entries can't be read: {}", folder.string(),
                failed.message());
}

class Collector {
  public:
    void add(const std::string& path, const struct stat& status, bool named) {
        const bool block = S_ISBLK(status.st_mode);
        if (!block && !S_ISREG(status.st_mode)) return;
        const auto medium = block ? std::tuple(true, status.st_rdev, ino_t{0})
                                  : std::tuple(false, status.st_dev, status.st_ino);
        if (media_.insert(medium).second) found.push_back({path, block, named});
    }

    // In the order of their names.
    Status add_folder(const fs::path& folder, bool block_devices) {
        auto paths = with_patience([folder] { return entries_of(folder); });
        if (!paths) {
            found.push_back(silent(folder.string(), true));
            return {};
        }
        if (!*paths) return fail(paths->error());
        std::ranges::sort(**paths);
        for (const std::string& path : **paths) {
            const auto seen = see(path);
            if (!seen) found.push_back(silent(path, false));
            if (!seen || seen->error_number != 0) continue;  // a link to nowhere
            if (block_devices || !S_ISBLK(seen->status.st_mode)) add(path, seen->status, false);
        }
        return {};
    }

    std::vector<Candidate> found;

  private:
    std::set<std::tuple<bool, dev_t, ino_t>> media_;
};

// What the kernel has, with a size; in a container not all of it has a node in /dev.
void add_block_devices(Collector& collector) {
    std::ifstream partitions("/proc/partitions");
    std::string line;
    while (std::getline(partitions, line)) {
        std::string name = line.substr(line.find_last_of(' ') + 1);
        std::ranges::replace(name, '!', '/');
        const std::string path = "/dev/" + name;
        struct stat status {};
        if (::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode))
            collector.add(path, status, false);
    }
}

}  // namespace

Result<std::vector<Candidate>> find_candidates(const std::vector<std::string>& paths) {
    Collector collector;
    if (paths.empty()) {
        add_block_devices(collector);
        QS_TRY(collector.add_folder(".", false));
    }
    for (const std::string& path : paths) {
        const auto seen = see(path);
        if (!seen) {
            collector.found.push_back(silent(path, true));
            continue;
        }
        if (const int error = seen->error_number; error != 0) {
            return fail(error == ENOENT ? Errc::not_found : Errc::invalid_argument, "{}: {}", path,
                        std::strerror(error));
        }
        const mode_t mode = seen->status.st_mode;
        if (S_ISDIR(mode)) {
            QS_TRY(collector.add_folder(path, true));
        } else if (S_ISREG(mode) || S_ISBLK(mode)) {
            collector.add(path, seen->status, true);
        } else {
            return fail(Errc::invalid_argument, "{}: not a file, block device or folder", path);
        }
    }
    return std::move(collector.found);
}

}  // namespace qlcshape::tools
