// SPDX-License-Identifier: Apache-2.0
// Parameters of an array: refused, or every place that follows from them lies on the drives and
// every number in its field.
#include "format/layout.h"

#include "input.h"
#include "layout_use.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qlcshape;
    fuzz::Input input(data, size);
    ArrayParameters p;
    input.take(std::as_writable_bytes(std::span(&p, 1)));
    if (const auto layout = make_layout(p)) fuzz::use_layout(*layout);
    return 0;
}
