// SPDX-License-Identifier: Apache-2.0
// The array file: any text gives options or an error that names the file.
#include "engine/array_file.h"

#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qlcshape;
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto options = parse_array_file(text, "folder/array.toml");
    if (options) {
        QS_ASSERT(options->cores.empty() || options->cores.size() >= options->shards);
        for (const DeviceOptions& d : options->devices) QS_ASSERT(!d.path.empty());
    } else {
        QS_ASSERT(options.error().message.starts_with("folder/array.toml"));
    }
    if (const auto bytes = parse_size(text)) {
        const auto again = parse_size(std::to_string(*bytes));
        QS_ASSERT(again && *again == *bytes);
    }
    return 0;
}
