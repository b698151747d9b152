#include "common/env/tasks/stochlite/urdf_inertias.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/env/tasks/stochlite/legs.h"

namespace demorl::stochlite {
namespace {

// kg m^2, of the front left leg; the others mirror it.
// Differs: the back left abduction's zz is 0.0051879 in the file, a slip of digits.
struct Inertia {
  const char* link;
  double xx, yy, zz, xy, xz, yz;
};
constexpr std::array<Inertia, 3> kFrontLeft = {
    {{"abduction", 0.00043261, 0.00109285, 0.00151879, 0.00067195, -3.148e-5, -1.979e-5},
     {"thigh", 0.00983483, 0.01193972, 0.01581035, 0.00779081, -0.0041665, -0.00364492},
     {"shank", 0.00511956, 0.00476045, 0.00343153, 0.00170322, -0.0021654, -0.00242252}}};
constexpr PerLeg<const char*> kPrefixes = {"fl", "fr", "bl", "br"};

}  // namespace

void SetUrdfInertias(mjModel* model) {
  for (const Leg leg : kLegs) {
    const double x = IsFront(leg) ? 1 : -1, y = IsLeft(leg) ? 1 : -1;
    for (const Inertia& link : kFrontLeft) {
      const std::string name = absl::StrCat(kPrefixes[Index(leg)], "_", link.link);
      const int body = mj_name2id(model, mjOBJ_BODY, name.c_str());
      DEMORL_CHECK_MSG(body >= 0, name);
      const double xy = x * y * link.xy, xz = x * link.xz, yz = y * link.yz;
      const double tensor[9] = {link.xx, xy, xz, xy, link.yy, yz, xz, yz, link.zz};
      double axes[9];
      mju_eig3(model->body_inertia + 3 * body, axes, model->body_iquat + 4 * body, tensor);
    }
  }
  mjData* scratch = mj_makeData(model);
  DEMORL_CHECK(scratch != nullptr);
  mj_setConst(model, scratch);
  mj_deleteData(scratch);
}

}  // namespace demorl::stochlite
