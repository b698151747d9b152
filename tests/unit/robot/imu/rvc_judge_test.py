"""The emulated BNO08x, read by Adafruit's library for the real one."""

import os
import subprocess
import sys
import termios
import tty
import types
import unittest

# The library imports the ports of its boards for the name of a type.
sys.modules["busio"] = types.SimpleNamespace(UART=object)
from adafruit_bno08x_rvc import BNO08x_RVC  # noqa: E402


class Port:
    """What the library asks of a serial port; read waits for all bytes, as a port with a timeout does."""

    def __init__(self, path):
        self.descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.descriptor)

    def reset_input_buffer(self):
        termios.tcflush(self.descriptor, termios.TCIFLUSH)

    def read(self, count):
        received = b""
        while len(received) < count:
            received += os.read(self.descriptor, count - len(received))
        return received


class RvcJudgeTest(unittest.TestCase):
    def test_the_library_reads_the_angles_and_accelerations_that_were_set(self):
        with subprocess.Popen([os.environ["RVC_ON_PTY"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as device:
            self.addCleanup(device.stdin.close)
            port = Port(device.stdout.readline().strip())
            self.addCleanup(os.close, port.descriptor)
            sensor = BNO08x_RVC(port, timeout=30)
            for _ in range(20):
                yaw, pitch, roll, *acceleration = sensor.heading
                self.assertAlmostEqual(yaw, 30, delta=0.006)
                self.assertAlmostEqual(pitch, -12.5, delta=0.006)
                self.assertAlmostEqual(roll, 170, delta=0.006)
                for value, expected in zip(acceleration, (1, -2, 9.5), strict=True):
                    self.assertAlmostEqual(value, expected, delta=0.006)
            device.stdin.close()
            self.assertEqual(device.wait(timeout=30), 0)


if __name__ == "__main__":
    unittest.main()
