"""`demorl robot-demo`: a robot learns through its gateway while cables are pulled and services are killed."""

import unittest

from support import RunTest


class RobotDemoTest(RunTest):
    def test_the_leg_comes_through_all_mishaps_and_loses_nothing(self):
        self.come_through_all_mishaps("leg", [])

    def test_stochlite_comes_through_all_mishaps_and_loses_nothing(self):
        run = self.come_through_all_mishaps("stochlite", ["pushed over, set on its feet"])
        # Its servos have no watchdog of their own.
        log = (run / "logs" / "stochlite_gateway.log").read_text()
        self.assertIn("freed the motors", log)

    def come_through_all_mishaps(self, robot, more_lines):
        run = self.folder / robot
        process = self.start("robot-demo", robot, "--short", "--out", run)
        output, _ = process.communicate(timeout=380)
        self.assertEqual(process.returncode, 0, output)
        for line in ["GO", f"cable pulled: {robot}: fault: replies_lost",
                     "sac_learner killed; the robot went on", "replay killed; the robot went on",
                     f"motors stay off: {robot}: disarmed",
                     f"emergency stop, latched: {robot}: fault: emergency_stop",
                     "everything recorded is durable", "audit clean", *more_lines]:
            self.assertIn(line, output)
        # Every tick that was logged comes out of policy and envelope again.
        replayed = self.must("replay-ticks", run / f"{robot}_gateway" / "ticks")
        self.assertIn("no difference", replayed)
        return run


if __name__ == "__main__":
    unittest.main()
