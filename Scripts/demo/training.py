"""Demonstrations, training and evaluation of the demo's policy."""

import time

import numpy as np
import torch

from demo import arm, policy as demo_policy

EPSILON = 1e-8  # lerobot's, added to a standard deviation


class Statistics:
    """Mean and standard deviation of states and of actions relative to the state, in the precision
    in which lerobot keeps them.
    """

    def __init__(self, state, action):
        self.state, self.action = (
            tuple(np.asarray(v, dtype=np.float32).astype(float) for v in pair)
            for pair in (state, action)
        )

    @staticmethod
    def of(states, actions):
        actions = actions.reshape(-1, 2)
        return Statistics(
            (states.mean(axis=0), states.std(axis=0)),
            (actions.mean(axis=0), actions.std(axis=0)))

    @staticmethod
    def from_tensors(tensors):
        return Statistics(*(
            tuple(tensors[f"{key}.{name}"].numpy() for name in ("mean", "std"))
            for key in ("observation.state", "action")))

    def tensors(self):
        """As lerobot's processors keep them."""
        named = {"observation.state": self.state, "action": self.action}
        return {
            f"{key}.{name}": torch.tensor(value, dtype=torch.float32)
            for key, pair in named.items() for name, value in zip(("mean", "std"), pair)
        }

    @staticmethod
    def normalized(values, statistics):
        mean, deviation = statistics
        return torch.tensor((values - mean) / (deviation + EPSILON), dtype=torch.float32)


class Demonstrations:
    """What the expert sees and does in `count` scenes: near the start of its way, on it, and off it
    near its end. Each scene serves once more with the targets' colors exchanged.
    """

    def __init__(self, count, seed):
        random = np.random.default_rng(seed)
        radius = random.uniform(*arm.TARGET_RADIUS, (8 * count, 2))
        angle = random.uniform(*arm.TARGET_ANGLE, (8 * count, 2))
        targets = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
        apart = np.linalg.norm(targets[:, 0] - targets[:, 1], axis=1) >= arm.TARGET_SPACING
        targets = targets[apart][:count]
        goals = arm.inverse(targets[:, 0])
        starts = np.stack([random.uniform(*limits, count) for limits in arm.START], axis=1)
        left = random.uniform(0, 1, (count, 1)) ** 2  # of the way; more of the end
        off = random.normal(0, 0.05, (count, 2))
        low, high = np.array(arm.JOINT_LIMITS).T
        self.joints = np.clip(goals + left * (starts - goals) + off, low, high)
        self.actions = arm.demonstration(self.joints, goals) - self.joints[:, None]
        self.images = np.concatenate([
            arm.render(self.joints[i : i + 256], targets[i : i + 256])
            for i in range(0, count, 256)
        ])

    def sample(self, count, random):
        """Images, joints, which target is wanted, and the expert's actions."""
        scene = random.integers(0, len(self.joints), count)
        wanted = random.integers(0, 2, count)
        images, exchanged = self.images[scene], wanted == 1
        images[exchanged] = images[exchanged][..., ::-1]
        return images, self.joints[scene], torch.from_numpy(wanted), self.actions[scene]


def inputs(images, joints, wanted, statistics):
    """A batch as lerobot's preprocessing makes it."""
    prompts = torch.tensor([arm.prompt(color) for color in range(2)])[wanted]
    return {
        demo_policy.IMAGE_KEY: torch.from_numpy(images).permute(0, 3, 1, 2) / 255,
        "observation.state": Statistics.normalized(joints, statistics.state),
        "observation.language.tokens": prompts,
        "observation.language.attention_mask": torch.ones_like(prompts, dtype=torch.bool),
    }


class Training:
    """A policy in training, with the moving average of its weights, which is what is kept."""

    def __init__(self, policy, demonstrations, statistics, *, rate, seed):
        self.policy, self.demonstrations, self.statistics = policy, demonstrations, statistics
        self.rate, self.step, self.start = rate, 0, time.monotonic()
        self.random = np.random.default_rng(seed)
        self.parameters = [p for p in policy.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=rate, betas=(0.9, 0.95), weight_decay=0.01, fused=True)

    def run(self, stop, steps, batch, report, every=250):
        """Goes on to step `stop` of `steps`; the rate falls over the last quarter of all."""
        losses = []
        self.policy.train()
        while self.step < stop:
            self.step += 1
            share = min(1, self.step / 100, 4 * (1 - self.step / (steps + 1)))
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * share
            losses.append(self.take_step(batch))
            if self.step % every == 0 or self.step == stop:
                report(
                    f"step {self.step:5d}  {time.monotonic() - self.start:5.0f} s  "
                    f"{time.process_time():5.0f} s of a core  loss {np.mean(losses):.4f}")
                losses.clear()

    def take_step(self, batch):
        images, joints, wanted, actions = self.demonstrations.sample(batch, self.random)
        samples = inputs(images, joints, wanted, self.statistics)
        samples["action"] = Statistics.normalized(actions, self.statistics.action)
        loss, _ = self.policy.forward(samples)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        decay = min(0.998, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        return loss.item()

    @torch.no_grad()
    def exchange(self):
        """Puts the averaged weights into the policy, and back."""
        for parameter, value in zip(self.parameters, self.average):
            kept = parameter.clone()
            parameter.copy_(value)
            value.copy_(kept)

    def state(self):
        return {
            "step": self.step, "parameters": self.parameters, "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }

    @torch.no_grad()
    def load(self, state):
        self.step = state["step"]
        for mine, kept in zip(self.parameters + self.average, state["parameters"] + state["average"]):
            mine.copy_(kept)
        self.optimizer.load_state_dict(state["optimizer"])


@torch.no_grad()
def evaluate(policy, statistics, seeds):
    """Whether each episode succeeds, all of them side by side: a chunk, its actions, the next."""
    starts = [arm.episode(seed) for seed in seeds]
    joints, targets = (np.array([start[i] for start in starts]) for i in (0, 1))
    wanted = np.array([start[2] for start in starts])
    goals = targets[np.arange(len(seeds)), wanted]
    mean, deviation = statistics.action
    held, reached = np.zeros(len(seeds), int), np.zeros(len(seeds), bool)
    for chunk in range(-(-arm.MAXIMUM_TICKS // arm.HORIZON)):
        noise = np.stack([
            arm.normal((arm.HORIZON, 2), arm.noise_seed(seed, chunk)) for seed in seeds])
        samples = inputs(
            arm.render(joints, targets), joints, torch.from_numpy(wanted), statistics)
        predicted = policy.predict_action_chunk(samples, noise=torch.from_numpy(noise)).numpy()
        commands = joints[:, None] + predicted.astype(float) * (deviation + EPSILON) + mean
        for command in np.moveaxis(commands, 1, 0):
            joints = arm.moved(joints, command)
            near = np.linalg.norm(arm.positions(joints)[1] - goals, axis=1) <= arm.TOLERANCE
            held = np.where(near, held + 1, 0)
            reached |= held >= arm.HOLD
    return reached
