// SPDX-License-Identifier: Apache-2.0
// The array file's text -> Options, apart from the file system.
//
//   [array]      what `create` makes; an opening takes it from the superblocks instead
//   [engine]     how this process opens it: shards, cores, gc_threads, pmt_cache, ...
//   [[device]]   one per drive: role, path; size where `create` has to make a file
//
// Errors name file and line: "array.toml:7: unknown key "sise" in [[device]]; known are ...".
#pragma once

#include <string>
#include <string_view>

#include "qlcshape/options.h"

namespace qlcshape {

// `path` is where the text comes from: for messages, and the folder of relative device paths.
Result<Options> parse_array_file(std::string_view text, const std::string& path);

}  // namespace qlcshape
