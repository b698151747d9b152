#include "services/replay/core/selectors/selector.h"

#include "services/replay/core/selectors/fifo.h"
#include "services/replay/core/selectors/uniform.h"

namespace demorl {

std::unique_ptr<Selector> MakeSelector(SelectorKind kind, uint64_t seed) {
  if (kind == SelectorKind::kFifo) {
    return std::make_unique<FifoSelector>();
  }
  return std::make_unique<UniformSelector>(seed);
}

}  // namespace demorl
