#include "device/array_context.h"

namespace qlcshape {

Status flush_scm(const ArrayContext& array, IoQueue& queue, PersistencePoint point) {
    std::vector<Io> flushes(array.scm.size());
    for (std::size_t i = 0; i < flushes.size(); ++i) {
        flushes[i].kind = IoKind::flush;
        flushes[i].point = point;
        flushes[i].device = array.scm[i];
    }
    return run(queue, flushes);
}

}  // namespace qlcshape
