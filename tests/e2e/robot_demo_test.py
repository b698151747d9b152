"""`demorl robot-demo`: a robot learns through its gateway while cables are pulled and services are killed."""

import unittest

from support import RunTest


class RobotDemoTest(RunTest):
    def test_the_leg_comes_through_all_mishaps_and_loses_nothing(self):
        run = self.folder / "leg"
        process = self.start("robot-demo", "leg", "--short", "--out", run)
        output, _ = process.communicate(timeout=380)
        self.assertEqual(process.returncode, 0, output)
        for line in ["GO", "cable pulled: leg: fault: replies_lost", "sac_learner killed; the robot went on",
                     "replay killed; the robot went on", "motors stay off: leg: disarmed",
                     "emergency stop, latched: leg: fault: emergency_stop", "everything recorded is durable",
                     "audit clean"]:
            self.assertIn(line, output)
        # Every tick that was logged comes out of policy and envelope again.
        replayed = self.must("replay-ticks", run / "leg_gateway" / "ticks")
        self.assertIn("no difference", replayed)


if __name__ == "__main__":
    unittest.main()
