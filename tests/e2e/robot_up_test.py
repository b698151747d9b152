"""`demorl up` with a robot: a learning run whose transitions come through a gateway."""

import re
import subprocess
import threading
import unittest

from support import BIN, RunTest, read_summary, read_table, wait_until

CONFIG = BIN.parent / "share" / "demorl" / "robots" / "leg_emulated.textproto"


class RobotUpTest(RunTest):
    def start_emulator(self):
        ports = self.folder / "ports"
        process = subprocess.Popen([BIN / "demorl-robot-emulator", "--robot", "leg", "--folder", ports],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.processes.append(process)
        wait_until(lambda: (ports / "bus0").exists(), "the emulated bus")
        config = self.folder / "robot.textproto"
        config.write_text(CONFIG.read_text().replace('ports: "bus0"', f'ports: "{ports / "bus0"}"'))
        return config

    def test_a_run_ends_when_the_robot_has_collected_its_steps(self):
        run = self.folder / "run"
        up = self.start("up", "--env", "Leg2R-v0", "--algorithm", "sac", "--config", self.start_emulator(), "--steps",
                        "3000", "--set", "sac.updates_per_step=0.1", "--set", "sac.hidden_sizes=[32,32]", "--out", run)
        output = []
        reader = threading.Thread(target=lambda: output.extend(up.stdout), daemon=True)
        reader.start()
        wait_until(lambda: re.search(r"the robot's motors are off; .*--gateway \S+", "".join(output)), "the gateway")
        gateway = re.search(r"--gateway (\S+)", "".join(output))[1]
        wait_until(lambda: "disarmed" in self.run_demorl("robot", "state", "--gateway", gateway).stdout, "the robot")
        # Without somebody who arms it nothing moves.
        self.assertEqual([row["environment_steps"] for row in read_table(run / "progress.csv")
                          if row["environment_steps"] != "0"], [])
        # It stops where random torques meet a limit; the operator clears that and goes on.
        while up.poll() is None:
            self.run_demorl("robot", "clear", "--gateway", gateway)
            self.run_demorl("robot", "arm", "--gateway", gateway)
        reader.join()
        self.assertEqual(up.returncode, 0, "".join(output))
        summary = read_summary(run)
        self.assertTrue(summary["finished"])
        self.assertGreaterEqual(summary["environment_steps"], 3000)
        self.assertGreater(summary["updates"], 0)
        self.assertEqual(read_table(run / "eval.csv"), [])

    def test_a_run_in_one_process_refuses_a_robot(self):
        done = self.run_demorl("train", "--env", "Leg2R-v0", "--config", CONFIG, "--out", self.folder / "run")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("robot 'leg', whose gateway is a process of its own; want demorl up", done.stderr)


if __name__ == "__main__":
    unittest.main()
