"""ROBOTIS' own library judges the emulated DYNAMIXEL actuators, and the packets that our driver makes."""

import math
import os
import subprocess
import time
import unittest

from dynamixel_sdk import (
    COMM_RX_TIMEOUT,
    COMM_SUCCESS,
    GroupBulkRead,
    GroupBulkWrite,
    GroupSyncRead,
    GroupSyncWrite,
    PacketHandler,
    PortHandler,
)

PEER = os.environ["DYNAMIXEL_PEER"]
PATIENCE_S = 30
RANGE_ERROR, LENGTH_ERROR, ACCESS_ERROR, INSTRUCTION_ERROR, ALERT = 4, 5, 7, 2, 0x80

MODEL, FIRMWARE, ID, RETURN_DELAY, MODE, CURRENT_LIMIT = 0, 6, 7, 9, 11, 38
TORQUE, STATUS_LEVEL, HARDWARE_ERROR, WATCHDOG = 64, 68, 70, 98
GOAL_CURRENT, GOAL_POSITION, PRESENT_CURRENT, PRESENT_VELOCITY, PRESENT_POSITION = 102, 116, 126, 128, 132
VELOCITY_UNIT = 0.229 * 2 * math.pi / 60
POSITION_UNIT = 2 * math.pi / 4096


class PatientPort(PortHandler):
    """A loaded machine makes no reply late; the library's own limit is a few tens of milliseconds."""

    patience_ms = PATIENCE_S * 1000

    def setPacketTimeout(self, packet_length):  # noqa: N802
        self.setPacketTimeoutMillis(self.patience_ms)

    def readPort(self, length):  # noqa: N802
        data = super().readPort(length)
        if not data and length > 0:
            time.sleep(0.0002)
        return data


class CapturingPort:
    """Takes what the library sends; nobody answers."""

    def __init__(self):
        self.is_using = False
        self.sent = b""

    def clearPort(self):  # noqa: N802
        pass

    def writePort(self, packet):  # noqa: N802
        self.sent = bytes(packet)
        return len(packet)

    def readPort(self, length):  # noqa: N802
        return b""

    def setPacketTimeout(self, packet_length):  # noqa: N802
        pass

    def isPacketTimeout(self):  # noqa: N802
        return True


class FramesTest(unittest.TestCase):
    def test_our_encoders_make_the_librarys_packets(self):
        ours = subprocess.run([PEER, "frames"], check=True, capture_output=True, text=True).stdout.split()
        handler, port = PacketHandler(2.0), CapturingPort()
        theirs = []

        def capture(call, *arguments):
            port.is_using = False
            call(*arguments)
            theirs.append(port.sent.hex())

        read = GroupSyncRead(port, handler, PRESENT_CURRENT, 10)
        for servo in (1, 2, 200):
            read.addParam(servo)
        currents = GroupSyncWrite(port, handler, GOAL_CURRENT, 2)
        currents.addParam(1, (-100).to_bytes(2, "little", signed=True))
        currents.addParam(2, (300).to_bytes(2, "little", signed=True))
        positions = GroupSyncWrite(port, handler, GOAL_POSITION, 4)
        positions.addParam(7, (2048).to_bytes(4, "little", signed=True))
        positions.addParam(200, (-5).to_bytes(4, "little", signed=True))
        capture(handler.ping, port, 3)
        capture(handler.readTx, port, 1, PRESENT_POSITION, 4)
        capture(handler.write4ByteTxOnly, port, 9, GOAL_POSITION, 0x12345678)
        capture(handler.reboot, port, 3)
        capture(read.txPacket)
        capture(read.fastSyncReadTxPacket)
        capture(currents.txPacket)
        capture(positions.txPacket)
        self.assertEqual(ours, theirs)


class EmulatorTest(unittest.TestCase):
    def setUp(self):
        self.peer = subprocess.Popen([PEER, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.peer.wait)
        self.addCleanup(self.peer.stdout.close)
        self.addCleanup(self.peer.stdin.close)
        self.port = PatientPort(self.peer.stdout.readline().strip())
        self.assertTrue(self.port.openPort())
        self.addCleanup(self.port.closePort)
        self.handler = PacketHandler(2.0)

    def tell(self, *words):
        self.peer.stdin.write(" ".join(map(str, words)) + "\n")
        self.peer.stdin.flush()
        return float(self.peer.stdout.readline())

    def read(self, servo, address, length):
        data, result, error = self.handler.readTxRx(self.port, servo, address, length)
        self.assertEqual((result, error), (COMM_SUCCESS, 0))
        return int.from_bytes(bytes(data), "little", signed=length > 1)

    def write(self, servo, address, value, length):
        data = list(value.to_bytes(length, "little", signed=value < 0))
        result, error = self.handler.writeTxRx(self.port, servo, address, length, data)
        self.assertEqual(result, COMM_SUCCESS)
        return error

    def wait_for(self, condition):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), end)

    def switch_to_current(self, *servos):
        for servo in servos:
            self.assertEqual(self.write(servo, MODE, 0, 1), 0)
            self.assertEqual(self.write(servo, RETURN_DELAY, 0, 1), 0)
            self.assertEqual(self.write(servo, TORQUE, 1, 1), 0)

    def test_pings(self):
        for servo, model in [(1, 1020), (2, 1020), (3, 1030), (4, 1060)]:
            self.assertEqual(self.handler.ping(self.port, servo), (model, COMM_SUCCESS, 0))
        self.port.patience_ms = 100
        self.assertEqual(self.handler.ping(self.port, 5)[1], COMM_RX_TIMEOUT)

    def test_pings_everybody(self):
        self.port.setPacketTimeoutMillis = lambda _: PortHandler.setPacketTimeoutMillis(self.port, 3000)
        found, result = self.handler.broadcastPing(self.port)
        self.assertEqual(result, COMM_SUCCESS)
        self.assertEqual(found, {1: [1020, 46], 2: [1020, 46], 3: [1030, 46], 4: [1060, 46]})

    def test_reads_what_the_joint_does(self):
        self.tell("place", 1, 0.5, -2)
        self.wait_for(lambda: self.read(2, PRESENT_POSITION, 4) != 2048)
        self.assertEqual(self.read(2, PRESENT_POSITION, 4), 2048 + round(0.5 / POSITION_UNIT))
        self.assertEqual(self.read(2, PRESENT_VELOCITY, 4), round(-2 / VELOCITY_UNIT))

    def test_stuffs_what_looks_like_a_header(self):
        # Velocity -1 is FF FF FF FF, and a position of 2045 begins with FD.
        self.tell("place", 0, -3 * POSITION_UNIT, -VELOCITY_UNIT)
        self.wait_for(lambda: self.read(1, PRESENT_POSITION, 4) == 2045)
        data, result, error = self.handler.readTxRx(self.port, 1, PRESENT_VELOCITY, 8)
        self.assertEqual((result, error), (COMM_SUCCESS, 0))
        self.assertEqual(bytes(data).hex(), "fffffffffd070000")

    def test_writes_and_drives(self):
        self.switch_to_current(1, 3)
        self.assertEqual(self.write(1, GOAL_CURRENT, 100, 2), 0)
        self.assertEqual(self.write(3, GOAL_CURRENT, -100, 2), 0)
        amperes = 100 * 2.69e-3
        # Until the plant's next step a motor shows what it did before.
        for joint, torque in [(0, amperes * 4.1 / 2.3), (2, -amperes * 3.0 / 2.3)]:
            self.wait_for(lambda: abs(self.tell("torque", joint) - torque) < 1e-4)
        self.wait_for(lambda: self.read(1, PRESENT_CURRENT, 2) == 100)

    def test_writes_to_several(self):
        self.switch_to_current(1, 2)
        group = GroupSyncWrite(self.port, self.handler, GOAL_CURRENT, 2)
        for servo, current in [(1, 50), (2, -70)]:
            self.assertTrue(group.addParam(servo, current.to_bytes(2, "little", signed=True)))
        self.assertEqual(group.txPacket(), COMM_SUCCESS)
        self.wait_for(lambda: self.read(1, GOAL_CURRENT, 2) == 50)
        self.assertEqual(self.read(2, GOAL_CURRENT, 2), -70)

    def check_states(self, read):
        for joint in range(4):
            self.tell("place", joint, 0.1 * joint, joint)
        self.wait_for(lambda: self.read(4, PRESENT_POSITION, 4) != 2048)
        group = GroupSyncRead(self.port, self.handler, PRESENT_CURRENT, 10)
        for servo in range(1, 5):
            self.assertTrue(group.addParam(servo))
        for _ in range(20):
            self.assertEqual(read(group), COMM_SUCCESS)
            for joint in range(4):
                servo = joint + 1
                self.assertTrue(group.isAvailable(servo, PRESENT_POSITION, 4))
                self.assertEqual(
                    group.getData(servo, PRESENT_POSITION, 4), 2048 + round(0.1 * joint / POSITION_UNIT)
                )
                self.assertEqual(group.getData(servo, PRESENT_VELOCITY, 4), round(joint / VELOCITY_UNIT))

    def test_sync_read(self):
        self.check_states(GroupSyncRead.txRxPacket)

    def test_fast_sync_read(self):
        self.check_states(GroupSyncRead.fastSyncRead)

    def test_fast_sync_read_is_not_stuffed(self):
        self.tell("place", 0, -3 * POSITION_UNIT, -VELOCITY_UNIT)
        self.wait_for(lambda: self.read(1, PRESENT_POSITION, 4) == 2045)
        group = GroupSyncRead(self.port, self.handler, PRESENT_CURRENT, 10)
        for servo in (1, 2):
            self.assertTrue(group.addParam(servo))
        self.assertEqual(group.fastSyncRead(), COMM_SUCCESS)
        self.assertEqual(group.getData(1, PRESENT_POSITION, 4), 2045)
        self.assertEqual(group.getData(2, PRESENT_POSITION, 4), 2048)

    def test_writes_to_several_what_each_shall_have(self):
        self.switch_to_current(1)
        group = GroupBulkWrite(self.port, self.handler)
        self.assertTrue(group.addParam(1, GOAL_CURRENT, 2, (-50).to_bytes(2, "little", signed=True)))
        self.assertTrue(group.addParam(4, GOAL_POSITION, 4, (1000).to_bytes(4, "little")))
        self.assertTrue(group.addParam(9, GOAL_POSITION, 4, (1000).to_bytes(4, "little")))  # not there
        self.assertTrue(group.addParam(3, STATUS_LEVEL, 1, [1]))
        self.assertEqual(group.txPacket(), COMM_SUCCESS)
        self.wait_for(lambda: self.read(1, GOAL_CURRENT, 2) == -50)
        self.assertEqual(self.read(4, GOAL_POSITION, 4), 1000)
        self.assertEqual(self.read(3, STATUS_LEVEL, 1), 1)

    def check_different_states(self, read):
        self.tell("place", 0, 0.5, -2)
        self.tell("place", 3, 0.3, 0)
        self.wait_for(lambda: self.read(4, PRESENT_POSITION, 4) != 2048)
        group = GroupBulkRead(self.port, self.handler)
        self.assertTrue(group.addParam(4, PRESENT_POSITION, 4))
        self.assertTrue(group.addParam(1, PRESENT_CURRENT, 10))
        self.assertTrue(group.addParam(3, MODEL, 7))
        for _ in range(20):
            self.assertEqual(read(group), COMM_SUCCESS)
            self.assertEqual(group.getData(4, PRESENT_POSITION, 4), 2048 + round(0.3 / POSITION_UNIT))
            self.assertEqual(group.getData(1, PRESENT_POSITION, 4), 2048 + round(0.5 / POSITION_UNIT))
            velocity = group.getData(1, PRESENT_VELOCITY, 4)
            self.assertEqual(velocity - (1 << 32), round(-2 / VELOCITY_UNIT))
            self.assertEqual((group.getData(3, MODEL, 2), group.getData(3, FIRMWARE, 1)), (1030, 46))

    def test_bulk_read(self):
        self.check_different_states(GroupBulkRead.txRxPacket)

    def test_fast_bulk_read(self):
        self.check_different_states(GroupBulkRead.fastBulkRead)

    def test_bulk_reads_end_before_a_device_that_is_silent(self):
        self.port.patience_ms = 100
        for read in GroupBulkRead.txRxPacket, GroupBulkRead.fastBulkRead:
            group = GroupBulkRead(self.port, self.handler)
            for servo in (1, 200, 3):
                self.assertTrue(group.addParam(servo, PRESENT_POSITION, 4))
            self.assertNotEqual(read(group), COMM_SUCCESS)
            self.assertFalse(group.isAvailable(1, PRESENT_POSITION, 4))

    def test_the_bus_watchdog_trips_and_is_cleared(self):
        self.switch_to_current(1)
        self.assertEqual(self.write(1, GOAL_CURRENT, 100, 2), 0)
        self.wait_for(lambda: self.tell("torque", 0) > 0)
        self.assertEqual(self.write(1, WATCHDOG, 1, 1), 0)
        self.wait_for(lambda: self.tell("torque", 0) == 0)  # while nothing is said on the bus
        self.assertEqual(self.read(1, WATCHDOG, 1), 0xFF)
        self.assertEqual(self.write(1, GOAL_CURRENT, 100, 2), RANGE_ERROR)
        self.assertEqual(self.write(1, WATCHDOG, 0, 1), 0)
        self.assertEqual(self.write(1, GOAL_CURRENT, 100, 2), 0)
        self.wait_for(lambda: self.tell("torque", 0) > 0)

    def test_refuses_with_the_right_errors(self):
        self.assertEqual(self.write(1, GOAL_CURRENT, 1194, 2), RANGE_ERROR)
        self.assertEqual(self.write(1, PRESENT_POSITION, 0, 4), ACCESS_ERROR)
        self.assertEqual(self.write(1, GOAL_POSITION, 0, 2), LENGTH_ERROR)
        self.assertEqual(self.write(4, GOAL_CURRENT, 1, 2), ACCESS_ERROR)  # it has no current
        self.assertEqual(self.write(4, MODE, 0, 1), RANGE_ERROR)
        self.assertEqual(self.write(1, TORQUE, 1, 1), 0)
        self.assertEqual(self.write(1, MODE, 0, 1), ACCESS_ERROR)  # in EEPROM, with the torque on
        self.assertEqual(self.handler.readTxRx(self.port, 1, 5000, 4)[2], ACCESS_ERROR)
        self.assertEqual(self.handler.factoryReset(self.port, 1, 0xFF), (COMM_SUCCESS, INSTRUCTION_ERROR))

    def test_a_write_may_wait_for_its_action(self):
        self.switch_to_current(1)
        data = list((60).to_bytes(2, "little"))
        self.assertEqual(self.handler.regWriteTxRx(self.port, 1, GOAL_CURRENT, 2, data), (COMM_SUCCESS, 0))
        self.assertEqual(self.read(1, GOAL_CURRENT, 2), 1193)
        self.assertEqual(self.handler.action(self.port, 0xFE), COMM_SUCCESS)
        self.wait_for(lambda: self.read(1, GOAL_CURRENT, 2) == 60)

    def test_hardware_errors_alert_and_end_with_a_reboot(self):
        self.switch_to_current(2)
        self.tell("error", 1, 0x20)
        self.assertEqual(self.handler.read1ByteTxRx(self.port, 2, HARDWARE_ERROR), (0x20, COMM_SUCCESS, ALERT))
        self.assertEqual(self.handler.reboot(self.port, 2), (COMM_SUCCESS, ALERT))
        self.port.patience_ms = 100
        self.wait_for(lambda: self.handler.ping(self.port, 2)[1] == COMM_SUCCESS)
        self.port.patience_ms = PATIENCE_S * 1000
        self.assertEqual(self.read(2, HARDWARE_ERROR, 1), 0)
        self.assertEqual(self.read(2, TORQUE, 1), 0)

    def test_answers_as_much_as_its_status_level_says(self):
        self.assertEqual(self.write(1, STATUS_LEVEL, 1, 1), 0)
        self.port.patience_ms = 100
        result, _ = self.handler.write1ByteTxRx(self.port, 1, TORQUE, 1)
        self.assertEqual(result, COMM_RX_TIMEOUT)
        self.assertEqual(self.read(1, TORQUE, 1), 1)


if __name__ == "__main__":
    unittest.main()
