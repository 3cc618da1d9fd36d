// Reads the metrics file that a process with an open array writes each second.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "qlcshape/error.h"

namespace qlcshape::tools {

class Metrics {
  public:
    static Result<Metrics> read(const std::string& path);
    static Metrics parse(const std::string& text);

    // The sample of this name with these labels, as they stand in the file behind the array's: 0 if
    // there is none. Without labels, the sum of all samples of the name.
    double get(const std::string& name, const std::string& labels = {}) const;
    // What the first sample of the name has as this label.
    std::string label(const std::string& name, const std::string& label) const;

    double written_at = 0;   // seconds since 1970
    double age_seconds = 0;  // when it was read

  private:
    struct Sample {
        std::string labels;
        double value = 0;
    };
    std::map<std::string, std::vector<Sample>> samples_;
};

}  // namespace qlcshape::tools
