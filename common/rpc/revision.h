#pragma once

namespace demorl {

// The git revision this program was built from, with "-dirty" behind it when the tree had changes; "unknown"
// outside of a repository.
const char* Revision();

}  // namespace demorl
