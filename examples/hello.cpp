// SPDX-License-Identifier: Apache-2.0
// The shortest whole program: an array, a volume, a write and a read.
//
//   hello               an array in memory, gone at the end
//   hello ARRAY.toml    an array that exists, where it makes the volume "hello"
#include <qlcshape/engine.h>

#include <cstring>
#include <iostream>

using namespace qlcshape;

static Options memory_array() {
    Options options;
    options.band_bytes = 512 << 10;
    for (int i = 0; i < 10; ++i) {
        options.devices.push_back({Role::qlc, "memory:qlc" + std::to_string(i), 64 << 20});
    }
    options.devices.push_back({Role::scm, "memory:scm0", 128 << 20});
    options.devices.push_back({Role::scm, "memory:scm1", 128 << 20});
    return options;
}

static Status greet(Engine& engine) {
    if (Status made = engine.create_volume("hello", 16 << 20);
        !made && made.error().code != Errc::exists) {
        return made;
    }
    Result<Volume> volume = engine.open_volume("hello");
    if (!volume) return std::unexpected(volume.error());

    std::byte block[kVolumeBlockBytes] = {};
    std::memcpy(block, "hello, flash", 12);
    if (Status written = volume->write(42, block); !written)
        return written;  // durable from here on

    std::byte back[kVolumeBlockBytes];
    if (Status read = volume->read(42, back); !read) return read;
    std::cout << "block 42 of \"" << volume->name() << "\": " << reinterpret_cast<char*>(back)
              << "\n";
    return engine.close();
}

static Status run(int argc, char** argv) {
    Result<Options> options = argc > 1 ? Options::from_file(argv[1]) : memory_array();
    if (!options) return std::unexpected(options.error());
    if (argc == 1) {
        if (Status made = Engine::create(*options); !made) return made;
    }
    auto engine = Engine::open(*options);
    if (!engine) return std::unexpected(engine.error());
    return greet(**engine);
}

int main(int argc, char** argv) {
    const Status status = run(argc, argv);
    if (!status) std::cerr << "hello: " << status.error().message << "\n";
    return status ? 0 : 1;
}
