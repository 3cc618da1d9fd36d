#include "tools/metrics.h"

#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/error.h"

namespace qlcshape::tools {

Result<Metrics> Metrics::read(const std::string& path) {
    std::ifstream file(path);
    struct stat status;
    if (!file || ::stat(path.c_str(), &status) != 0) {
        return fail(Errc::not_found,
                    "{}: it is not there: no process has the array open, or none with `metrics` in "
                    "its array file",
                    path);
    }
    Metrics metrics = parse({std::istreambuf_iterator<char>(file), {}});
    metrics.written_at = static_cast<double>(status.st_mtim.tv_sec) +
                         static_cast<double>(status.st_mtim.tv_nsec) / 1e9;
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    metrics.age_seconds = now.count() - metrics.written_at;
    return metrics;
}

Metrics Metrics::parse(const std::string& text) {
    Metrics metrics;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t open = line.find('{');
        const std::size_t close = line.rfind('}');
        if (line.starts_with('#') || open == std::string::npos || close == std::string::npos) {
            continue;
        }
        metrics.samples_[line.substr(0, open)].push_back(
            {line.substr(open + 1, close - open - 1),
             std::strtod(line.c_str() + close + 1, nullptr)});
    }
    return metrics;
}

double Metrics::get(const std::string& name, const std::string& labels) const {
    const auto found = samples_.find("qlcshape_" + name);
    if (found == samples_.end()) return 0;
    double sum = 0;
    for (const Sample& sample : found->second) {
        if (labels.empty() || sample.labels.ends_with("," + labels)) sum += sample.value;
    }
    return sum;
}

std::string Metrics::label(const std::string& name, const std::string& label) const {
    const auto found = samples_.find("qlcshape_" + name);
    if (found == samples_.end()) return {};
    const std::string& labels = found->second.front().labels;
    const std::string key = label + "=\"";
    const std::size_t at = labels.find(key);
    if (at == std::string::npos) return {};
    const std::size_t from = at + key.size();
    return labels.substr(from, labels.find('"', from) - from);
}

}  // namespace qlcshape::tools
