"""A tree that breaks a rule of tools/check_includes.py is flagged, with the file and line; one that keeps them is not."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_includes.py"

ALLOWED = {
    "common/base/check.h": "#include <string>\n",
    "common/env/environment.h": '#include "common/base/check.h"\n',
    "common/env/mujoco_environment.h": "#include <mujoco/mujoco.h>\n",
    "common/rl/sac.h": "#include <torch/torch.h>\n",
    "services/replay/core/table.h": '#include "common/base/check.h"\n#include <rocksdb/db.h>\n',
    "services/replay/replay_client.h": "#include <grpcpp/grpcpp.h>\n",
    "services/replay/replay_service.h": '#include "services/replay/core/table.h"\n#include "demorl/replay/v1/x.grpc.pb.h"\n',
    "services/actor/actor_component.h": '#include "services/replay/replay_client.h"\n',
    "services/cli/main.cc": '#include "services/actor/actor_component.h"\n',
    "services/sac_learner/core/sac.cc": '#include "common/rl/sac.h"\n',
    "tests/unit/a_test.cc": '#include "services/replay/replay_service.h"\n#include <gtest/gtest.h>\n',
}


def run_check(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return subprocess.run([sys.executable, str(CHECK), folder], capture_output=True, text=True, check=False)


class CheckIncludesTest(unittest.TestCase):
    def assert_flags(self, name, text, message):
        result = run_check(ALLOWED | {name: text})
        self.assertNotEqual(result.returncode, 0, f"{name} passed: {text}")
        self.assertIn(message, result.stderr)
        self.assertIn(name + ":", result.stderr)

    def test_accepts_a_tree_that_keeps_the_rules(self):
        result = run_check(ALLOWED)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"{len(ALLOWED)} files", result.stdout)

    def test_flags_a_part_of_common_that_reaches_up(self):
        self.assert_flags("common/base/a.h", '#include "common/env/environment.h"\n', "common/base may include only")

    def test_flags_a_part_of_common_that_includes_a_service(self):
        self.assert_flags("common/env/a.h", '#include "services/replay/replay_client.h"\n', "may not include a service")

    def test_flags_an_unknown_part_of_common(self):
        self.assert_flags("common/stuff/a.h", "#include <string>\n", "is not a part this check knows")

    def test_flags_planning_on_the_simulator_itself(self):
        self.assert_flags("common/planning/a.h", '#include "common/env/mujoco_environment.h"\n', "only the interfaces")

    def test_flags_grpc_in_a_core_directly_and_through_a_header(self):
        self.assert_flags("services/replay/core/a.h", "#include <grpcpp/grpcpp.h>\n", "may not use grpc")
        self.assert_flags("services/replay/core/b.h", '#include "demorl/replay/v1/x.grpc.pb.h"\n', "may not use grpc")
        self.assert_flags("services/replay/core/c.h", '#include "services/replay/replay_client.h"\n', "a core reaches gRPC")

    def test_flags_a_service_that_skips_the_client_of_another(self):
        self.assert_flags("services/actor/a.h", '#include "services/replay/core/table.h"\n', "only through replay_client.h")
        self.assert_flags("services/actor/a.h", '#include "services/replay/replay_service.h"\n', "only through")
        self.assert_flags("services/cli/a.h", '#include "services/replay/replay_service.h"\n', "only through")

    def test_flags_torch_outside_its_places(self):
        self.assert_flags("services/actor/a.cc", "#include <torch/torch.h>\n", "may not use torch")
        self.assert_flags("services/replay/a.cc", '#include "common/rl/sac.h"\n', "common/rl (Torch)")
        self.assert_flags("services/actor/CMakeLists.txt", "demorl_cc_library(NAME a DEPS demorl::torch)\n", "link demorl::torch")

    def test_flags_torch_and_protobuf_in_one_file_even_through_headers(self):
        self.assert_flags("services/sac_learner/core/a.cc",
                          '#include "common/rl/sac.h"\n#include "demorl/config/v1/sac.pb.h"\n', "Torch and protobuf")

    def test_flags_the_simulator_in_replay_and_snapshot(self):
        self.assert_flags("services/snapshot/core/a.cc", '#include "common/env/environment.h"\n', "common/env (MuJoCo)")
        self.assert_flags("services/replay/core/a.cc", "#include <mujoco/mujoco.h>\n", "may not use mujoco")

    def test_flags_includes_of_tests(self):
        self.assert_flags("services/actor/a.cc", '#include "tests/unit/helper.h"\n', "nothing but tests includes tests")

    def test_flags_cycles_of_files_and_of_folders(self):
        result = run_check(ALLOWED | {"common/base/a.h": '#include "common/base/b.h"\n',
                                      "common/base/b.h": '#include "common/base/a.h"\n'})
        self.assertIn("a cycle of files", result.stderr)
        result = run_check(ALLOWED | {"services/actor/actor_client.h": "\n",
                                      "services/replay/a.cc": '#include "services/actor/actor_client.h"\n'})
        self.assertIn("a cycle of folders", result.stderr)

    def test_flags_relative_includes(self):
        self.assert_flags("common/base/a.cc", '#include "check.h"\n', "names its file from the root")

    def test_flags_a_proto_that_imports_another_service(self):
        self.assert_flags("proto/demorl/replay/v1/a.proto", 'import "demorl/snapshot/v1/b.proto";\n', "may not import")


if __name__ == "__main__":
    unittest.main()
