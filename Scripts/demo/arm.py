"""The demo's task: a planar arm of two joints reaches the target that the prompt names.

The same definition as Sources/pi0/Demo/ArmTask.swift; Tests/Fixtures/demo compares the two. Lengths
are metres, angles radians, seconds ticks. Positions enter a picture as integers of a sixteenth of
a pixel, and drawing is integer arithmetic, so that both draw the same bytes.

Everything works on a batch: joints [n, 2], tip [n, 2], targets [n, 2, 2] (red, blue).
"""

import math

import numpy as np

LINKS = (0.32, 0.26)
JOINT_LIMITS = ((-0.8, 2.8), (0.1, 2.9))
MAXIMUM_STEP = 0.15  # radians that a joint can turn in a tick
TICK = 0.05  # seconds

TARGET_RADIUS = (0.24, 0.54)  # distance from the base
TARGET_ANGLE = (0.44, 2.70)
TARGET_SPACING = 0.15
START = ((0.2, 1.9), (0.7, 2.2))
START_DISTANCE = 0.15  # of the tip from the target, at least

TOLERANCE = 0.04  # a target is reached within this distance
HOLD = 5  # for so many ticks
MAXIMUM_TICKS = 80

HORIZON = 8
EXPERT_STEP = 0.1
EXPERT_GAIN = 0.4

COLORS = ("red", "blue")
TOKENS = {"<pad>": 0, "<bos>": 2, "reach": 3, "the": 4, "red": 5, "blue": 6, "target": 7, "\n": 8}
VOCABULARY = 16
PROMPT_LENGTH = 6

# The camera: IMAGE pixels square, the base at a fixed place.
IMAGE = 56
PIXEL = 16  # units
UNITS_PER_METRE = 800
BASE = (28 * PIXEL, 46 * PIXEL)
# Grey but for the targets, whose colors are each other's with red and blue exchanged. What the
# model sees of the background is zero.
BACKGROUND = (128, 128, 128)
BASE_DISC = (3 * PIXEL, (40, 40, 40))
LINK_BARS = ((32, (214, 214, 214)), (24, (176, 176, 176)))
TIP_DISC = (24, (20, 20, 20))
TARGET_DISCS = ((48, (224, 72, 48)), (48, (48, 72, 224)))
EDGE = 8  # half the width of a soft edge


def prompt(color):
    """The token ids of "reach the COLOR target"."""
    return [TOKENS[word] for word in ("<bos>", "reach", "the", COLORS[color], "target", "\n")]


# MARK: the arm


def positions(joints):
    """Elbow and tip of each arm, [n, 2] each."""
    first, both = joints[:, 0], joints[:, 0] + joints[:, 1]
    elbow = LINKS[0] * np.stack([np.cos(first), np.sin(first)], axis=1)
    return elbow, elbow + LINKS[1] * np.stack([np.cos(both), np.sin(both)], axis=1)


def inverse(targets):
    """The joints that bring the tip to each target [n, 2]; the second is never negative."""
    a, b = LINKS
    x, y = targets[:, 0], targets[:, 1]
    second = np.arccos(np.clip((x * x + y * y - a * a - b * b) / (2 * a * b), -1, 1))
    first = np.arctan2(y, x) - np.arctan2(b * np.sin(second), a + b * np.cos(second))
    return np.stack([first, second], axis=1)


def moved(joints, action):
    """The joints a tick after the command `action` (joint angles)."""
    low, high = np.array(JOINT_LIMITS).T
    step = np.clip(action - joints, -MAXIMUM_STEP, MAXIMUM_STEP)
    return np.clip(joints + step, low, high)


def demonstration(joints, goals):
    """What the expert does from `joints`: HORIZON joint angles on the way to the joints `goals`."""
    actions = []
    for _ in range(HORIZON):
        way = goals - joints
        largest = np.abs(way).max(axis=1, keepdims=True)
        gain = np.minimum(EXPERT_GAIN, EXPERT_STEP / np.maximum(largest, 1e-9))
        joints = joints + gain * way
        actions.append(joints)
    return np.stack(actions, axis=1)


# MARK: the camera


def units(points):
    """Points [..., 2] in metres as units of the picture."""
    scaled = np.floor(points * UNITS_PER_METRE + 0.5).astype(np.int64)
    return np.array(BASE) + scaled * np.array([1, -1])


def render(joints, targets):
    """Pictures [n, IMAGE, IMAGE, 3], uint8."""
    elbow, tip = (units(p) for p in positions(joints))
    base = np.broadcast_to(np.array(BASE), elbow.shape)
    lamps = units(targets)
    centres = np.arange(IMAGE, dtype=np.int64) * PIXEL + PIXEL // 2
    x, y = centres[None, None, :], centres[None, :, None]
    picture = np.empty((len(joints), IMAGE, IMAGE, 3), dtype=np.int64)
    picture[:] = BACKGROUND
    _draw(picture, _disc(x, y, base), *BASE_DISC)
    _draw(picture, _bar(x, y, base, elbow), *LINK_BARS[0])
    _draw(picture, _bar(x, y, elbow, tip), *LINK_BARS[1])
    _draw(picture, _disc(x, y, tip), *TIP_DISC)
    for color, disc in enumerate(TARGET_DISCS):
        _draw(picture, _disc(x, y, lamps[:, color]), *disc)
    return picture.astype(np.uint8)


def _disc(x, y, centre):
    """Squared distances of all pixels from a point."""
    return (x - centre[:, 0, None, None]) ** 2 + (y - centre[:, 1, None, None]) ** 2


def _bar(x, y, start, end):
    """Squared distances of all pixels from a line of some length, rounded down."""
    ux, uy = ((end - start)[:, i, None, None] for i in (0, 1))
    px, py = x - start[:, 0, None, None], y - start[:, 1, None, None]
    along, length = px * ux + py * uy, np.maximum(ux * ux + uy * uy, 1)
    beside = (px * uy - py * ux) ** 2 // length
    return np.where(along <= 0, _disc(x, y, start), np.where(along >= length, _disc(x, y, end), beside))


def _draw(picture, squared, radius, color):
    """Mixes a color in where the squared distance is less than that of a soft edge."""
    inner, outer = (radius - EDGE) ** 2, (radius + EDGE) ** 2
    share = (np.clip(outer - squared, 0, outer - inner) * 256 // (outer - inner))[..., None]
    picture[:] = (picture * (256 - share) + np.array(color) * share) >> 8


# MARK: episodes


class SplitMix64:
    """The generator of PI0Kit, whose seed means the same everywhere."""

    MASK = (1 << 64) - 1

    def __init__(self, seed):
        self.state = seed & self.MASK

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & self.MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & self.MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self.MASK
        return z ^ (z >> 31)

    def uniform(self, low=0.0, high=1.0):
        return low + (high - low) * ((self.next() >> 11) * 2.0**-53)


def normal(shape, seed):
    """The noise of PI0Kit's Tensor.normal."""
    generator = SplitMix64(seed)
    values = []
    for _ in range(math.prod(shape)):
        radius = math.sqrt(-2 * math.log(1 - generator.uniform()))
        values.append(radius * math.cos(2 * math.pi * generator.uniform()))
    return np.array(values, dtype=np.float32).reshape(shape)


def episode(seed):
    """The start of an episode: joints [2], targets [2, 2], and the index of the wanted one."""
    generator = SplitMix64(seed)
    while True:
        joints = np.array([generator.uniform(*limits) for limits in START])
        wanted = int(generator.next() & 1)
        targets = np.empty((2, 2))
        for color in range(2):
            radius, angle = generator.uniform(*TARGET_RADIUS), generator.uniform(*TARGET_ANGLE)
            targets[color] = radius * math.cos(angle), radius * math.sin(angle)
        _, tip = positions(joints[None])
        if (
            math.dist(targets[0], targets[1]) >= TARGET_SPACING
            and math.dist(tip[0], targets[wanted]) >= START_DISTANCE
        ):
            return joints, targets, wanted


def noise_seed(episode_seed, chunk):
    """The seed of the noise of an episode's chunk."""
    return (episode_seed * 1_000 + chunk) & SplitMix64.MASK
