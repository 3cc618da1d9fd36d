// SPDX-License-Identifier: Apache-2.0
// Static probes for bpftrace, perf and the like: a probe costs one no-op instruction until a tracer
// is attached. If <sys/sdt.h> (Debian's systemtap-sdt-dev) was missing at build time there are
// none. docs/operations.md lists them.
#pragma once

#if __has_include(<sys/sdt.h>)
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define QS_PROBE(...) STAP_PROBEV(qlcshape, __VA_ARGS__)
#else
#define QS_PROBE(...) static_cast<void>(0)
#endif
