"""The makers' own library for moteus controllers as the judge of our emulator and of our driver's frames."""

import asyncio
import math
import os
import subprocess
import unittest

import moteus
from moteus import multiplex
from moteus.fdcanusb_device import FdcanusbDevice, _append_checksum

PEER = os.environ["MOTEUS_PEER"]
RAD_PER_REV = 2 * math.pi
FIRST_REPLY_ADDRESS = 65
ENABLING = 2  # the library has no name for it


class Peer:
    """Two emulated controllers on a pseudo-terminal."""

    def __init__(self, *options):
        command = [PEER, "serve", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.path = self.process.stdout.readline().strip()

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.communicate("end\n", timeout=30)


class PatientDevice(FdcanusbDevice):
    """Gives up later than the library's 0.2 s, which a busy machine takes."""

    def __init__(self, path):
        super().__init__(path, command_timeout=20, response_timeout=20)


class PlainDevice(PatientDevice):
    """Starts as the C++ library does: without checksums."""

    def __init__(self, path):
        super().__init__(path)
        self._checksum_active = False


class EmulatorTest(unittest.IsolatedAsyncioTestCase):
    device = PatientDevice
    options = ()

    async def asyncSetUp(self):
        self.peer = Peer(*self.options)
        self.addCleanup(self.peer.close)
        self.transport = moteus.Transport(self.device(self.peer.path))
        self.addCleanup(self.transport.close)
        self.first = moteus.Controller(id=1, transport=self.transport)
        self.second = moteus.Controller(id=2, transport=self.transport)

    async def test_answers_queries(self):
        result = await self.second.query()
        self.assertEqual(result.id, 2)
        self.assertEqual(result.values[moteus.Register.MODE], moteus.Mode.STOPPED)
        self.assertEqual(result.values[moteus.Register.POSITION], 0)
        self.assertEqual(result.values[moteus.Register.VOLTAGE], 24)
        self.assertEqual(result.values[moteus.Register.TEMPERATURE], 30)
        self.assertEqual(result.values[moteus.Register.FAULT], 0)

    async def test_answers_at_every_resolution(self):
        await self.first.set_position(position=math.nan, velocity=0, feedforward_torque=1.5, watchdog_timeout=math.nan)
        for resolution, tolerance in [(moteus.INT8, 0.5), (moteus.INT16, 0.01), (moteus.INT32, 0.001), (moteus.F32, 0)]:
            result = await self.first.custom_query({moteus.Register.COMMAND_FEEDFORWARD_TORQUE: resolution})
            found = result.values[moteus.Register.COMMAND_FEEDFORWARD_TORQUE]
            self.assertAlmostEqual(found, 1.5, delta=tolerance + 1e-9)

    async def test_tells_who_it_is(self):
        registers = [moteus.Register.FIRMWARE_VERSION, moteus.Register.REGISTER_MAP_VERSION, moteus.Register.MULTIPLEX_ID]
        result = await self.second.custom_query({register: moteus.INT32 for register in registers})
        self.assertEqual([result.values[register] for register in registers], [0x010304, 5, 2])

    async def test_drives_with_torque(self):
        result = await self.first.set_position(
            position=math.nan,
            velocity=0,
            kp_scale=0,
            kd_scale=0,
            ilimit_scale=0,
            feedforward_torque=0.5,
            watchdog_timeout=math.nan,
            query=True,
        )
        self.assertEqual(result.id, 1)
        result = await self.until(self.first, lambda values: values[moteus.Register.VELOCITY] > 0)
        self.assertEqual(result.values[moteus.Register.MODE], moteus.Mode.POSITION)
        self.assertEqual(result.values[moteus.Register.TORQUE], 0.5)
        self.assertEqual(self.peer.ask("torque 0"), 0.5)
        self.assertEqual(self.peer.ask("torque 1"), 0)

    async def test_drives_to_positions_and_stops(self):
        for controller in [self.first, self.second]:
            await controller.set_position(
                position=0.25, velocity=0, kp_scale=2, maximum_torque=0.75, watchdog_timeout=math.nan
            )
        await self.until(self.second, lambda values: values[moteus.Register.TORQUE] == 0.75)
        await self.until(self.second, lambda values: values[moteus.Register.POSITION] > 0.01)
        await self.second.set_stop()
        result = await self.until(self.second, lambda values: values[moteus.Register.TORQUE] == 0)
        self.assertEqual(result.values[moteus.Register.MODE], moteus.Mode.STOPPED)
        self.assertEqual(self.peer.ask("mode 0"), moteus.Mode.POSITION)

    async def test_commands_several_in_one_cycle(self):
        results = await self.transport.cycle(
            [
                self.first.make_position(position=math.nan, velocity=0, watchdog_timeout=math.nan, query=True),
                self.second.make_brake(query=True),
            ]
        )
        self.assertEqual(sorted(result.id for result in results), [1, 2])
        self.assertEqual((self.peer.ask("mode 0"), self.peer.ask("mode 1")), (moteus.Mode.POSITION, moteus.Mode.BRAKE))

    async def control(self, register):
        return (await self.first.custom_query({register: moteus.F32})).values[register]

    async def test_follows_a_trajectory_to_its_end(self):
        limits = {"velocity_limit": 0.2, "accel_limit": 2, "watchdog_timeout": math.nan}
        fastest = 0
        async with asyncio.timeout(60):
            motion = asyncio.create_task(self.first.set_position_wait_complete(position=0.1, **limits))
            while not motion.done():
                velocity = await self.control(moteus.Register.CONTROL_VELOCITY)
                fastest = max(fastest, 0 if math.isnan(velocity) else velocity)
                await asyncio.sleep(0)
            result = await motion
        self.assertEqual(result.values[moteus.Register.TRAJECTORY_COMPLETE], 1)
        self.assertAlmostEqual(await self.control(moteus.Register.CONTROL_POSITION), 0.1, places=6)
        self.assertEqual(await self.control(moteus.Register.CONTROL_VELOCITY), 0)
        self.assertAlmostEqual(fastest, 0.2, places=6)

    async def test_stops_at_a_stop_position(self):
        await self.first.set_position(position=math.nan, velocity=1, stop_position=0.2, watchdog_timeout=math.nan)
        async with asyncio.timeout(30):
            while await self.control(moteus.Register.CONTROL_VELOCITY) != 0:
                pass
        self.assertAlmostEqual(await self.control(moteus.Register.CONTROL_POSITION), 0.2, places=6)

    async def test_faults_on_a_stop_position_together_with_limits(self):
        await self.first.set_position(position=math.nan, velocity=1, stop_position=0.2, accel_limit=1)
        result = await self.first.query()
        self.assertEqual(result.values[moteus.Register.MODE], moteus.Mode.FAULT)
        self.assertEqual(result.values[moteus.Register.FAULT], 45)

    async def test_times_out_and_needs_a_stop(self):
        await self.first.set_position(position=math.nan, velocity=0, watchdog_timeout=0.02)
        await self.until(self.first, lambda values: values[moteus.Register.MODE] == moteus.Mode.TIMEOUT)
        await self.first.set_position(position=math.nan, velocity=0, watchdog_timeout=math.nan)
        result = await self.first.query()
        self.assertEqual(result.values[moteus.Register.MODE], moteus.Mode.TIMEOUT)
        await self.first.set_stop()
        await self.first.set_position(position=math.nan, velocity=0, watchdog_timeout=math.nan)
        result = await self.first.query()
        self.assertEqual(result.values[moteus.Register.MODE], moteus.Mode.POSITION)

    async def test_tells_faults_and_clears_them(self):
        await self.first.set_zero_velocity(kd_scale=0.5)
        self.peer.ask("fault 0 34")
        result = await self.first.set_zero_velocity(query=True)
        self.assertEqual(result.values[moteus.Register.MODE], moteus.Mode.FAULT)
        self.assertEqual(result.values[moteus.Register.FAULT], 34)
        await self.first.set_stop()
        result = await self.first.query()
        self.assertEqual(result.values[moteus.Register.MODE], moteus.Mode.STOPPED)
        self.assertEqual(result.values[moteus.Register.FAULT], 0)

    async def until(self, controller, predicate):
        async with asyncio.timeout(30):
            while True:
                result = await controller.query()
                if predicate(result.values):
                    return result


class ReplyBeforeOkTest(EmulatorTest):
    options = ("reply-before-ok",)


class PreparingTest(unittest.IsolatedAsyncioTestCase):
    async def test_a_stopped_motor_prepares_before_it_runs(self):
        peer = Peer("preparing")
        self.addCleanup(peer.close)
        transport = moteus.Transport(PatientDevice(peer.path))
        self.addCleanup(transport.close)
        slow, quick = (moteus.Controller(id=id, transport=transport) for id in (1, 2))
        for controller in slow, quick:
            await controller.set_position(position=0.5, velocity=0, watchdog_timeout=math.nan)
        self.assertEqual((await slow.query()).values[moteus.Register.MODE], ENABLING)
        async with asyncio.timeout(30):
            while (await quick.query()).values[moteus.Register.MODE] != moteus.Mode.POSITION:
                pass
        await slow.set_stop()
        self.assertEqual((await slow.query()).values[moteus.Register.MODE], moteus.Mode.STOPPED)


class WithoutChecksumsTest(EmulatorTest):
    device = PlainDevice


class LateChecksumsTest(unittest.TestCase):
    def test_a_plain_client_takes_up_checksums_when_told_to(self):
        peer = Peer()
        self.addCleanup(peer.close)

        # Each in an event loop of its own: the library leaves its descriptor's watcher behind in the loop.
        async def query(make_device):
            device = make_device(peer.path)
            transport = moteus.Transport(device)
            result = await moteus.Controller(id=1, transport=transport).query()
            transport.close()
            return result.id, device._checksum_active

        self.assertEqual(asyncio.run(query(PatientDevice)), (1, True))
        self.assertEqual(asyncio.run(query(PlainDevice)), (1, True))


class Recorder:
    """Stands in for the port of a FdcanusbDevice."""

    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data


def library_lines(checksums):
    """What the library sends for the commands of moteus_peer.cc."""
    int8, int16, f32 = multiplex.INT8, multiplex.INT16, multiplex.F32

    def resolution(**changed):
        result = moteus.PositionResolution()
        for name, value in changed.items():
            setattr(result, name, value)
        return result

    kp, kd = 8, 0.5
    short = {"watchdog_timeout": int16, "ilimit_scale": int8}
    torque = moteus.Controller(
        id=5, position_resolution=resolution(position=int8, velocity=int8, kp_scale=int8, kd_scale=int8, **short)
    )
    position = moteus.Controller(id=5, position_resolution=resolution(**short))
    watched = {"watchdog_timeout": 0.1, "ilimit_scale": 0}
    pure = {"position": math.nan, "velocity": 0, "kp_scale": 0, "kd_scale": 0, **watched}
    commands = [
        position.make_stop(),
        position.make_zero_velocity(kd_scale=0.25 * RAD_PER_REV / kd),
        torque.make_position(feedforward_torque=-0.375, **pure),
        torque.make_position(feedforward_torque=1.7, maximum_torque=2.5, **pure),
        position.make_position(
            position=1.25 / RAD_PER_REV,
            velocity=-0.5 / RAD_PER_REV,
            feedforward_torque=0.1,
            kp_scale=3 * RAD_PER_REV / kp,
            kd_scale=0.05 * RAD_PER_REV / kd,
            **watched,
        ),
        position.make_position(
            position=-7 / RAD_PER_REV,
            velocity=0,
            feedforward_torque=0,
            kp_scale=RAD_PER_REV / kp,
            kd_scale=0,
            maximum_torque=0.5,
            **watched,
        ),
        moteus.Controller(id=5, source_can_id=FIRST_REPLY_ADDRESS).make_query(),
    ]
    device = FdcanusbDevice.__new__(FdcanusbDevice)
    device._disable_brs, device._padding_hex, device._debug_log = False, "50", None
    device._checksum_active, device._serial = checksums, Recorder()
    transport = moteus.Transport([device])
    for command in commands:
        asyncio.run(device._write_send_frame(transport._command_to_frame(command)))
    return device._serial.data.decode().splitlines()


class DriverTest(unittest.TestCase):
    maxDiff = None

    def test_sends_the_same_bytes_as_the_library(self):
        for checksums in [False, True]:
            options = ["checksums"] if checksums else []
            found = subprocess.run([PEER, "frames", *options], capture_output=True, text=True, check=True, timeout=30)
            self.assertEqual(found.stdout.splitlines(), library_lines(checksums))

    def test_checksums_are_the_librarys(self):
        self.assertEqual(_append_checksum(b"OK"), b"OK *BD")


if __name__ == "__main__":
    unittest.main()
