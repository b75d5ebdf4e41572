"""The PyTorch side of Scripts/benchmark: lerobot's pi0 on the CPU, one stage a request; of pi0.5 the actions.

    python pytorch_peer.py CHECKPOINT INPUTS float32|bfloat16 [TOKENS]

TOKENS is how many of the prompt's are there when actions are sampled: 12, unless said.

Reads requests from standard input and answers on standard output, a JSON object a line:

    {"stage": "suffix", "calls": 10, "threads": 2, "output": "FILE"}  ->  {"seconds": 0.0031}

"calls" are made one after the other and timed together; without it, one. "output" asks for the result
as raw float32. The first line printed is {"load": seconds}.
"""

import importlib.metadata
import json
import pathlib
import sys
import time
import types

started = time.perf_counter()

import numpy
import torch
from safetensors.torch import load_file


def import_lerobot():
    """Makes lerobot's classes of policies importable without the packages around them, which need hardware and
    data sets."""
    root = pathlib.Path(importlib.metadata.distribution("lerobot").locate_file("lerobot"))

    def module(name, **contents):
        made = sys.modules[name] = types.ModuleType(name)
        made.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        made.__dict__.update(contents)

    class Configuration:
        register_subclass = staticmethod(lambda name: lambda kind: kind)

        def __post_init__(self):
            pass

    def empty(*names):
        return {name: type(name, (), {}) for name in names}

    for name in ["", ".policies", ".policies.pi0", ".policies.pi05", ".policies.rtc", ".utils"]:
        module("lerobot" + name)
    module("lerobot.configs", PreTrainedConfig=Configuration,
           NormalizationMode=types.SimpleNamespace(IDENTITY=None, MEAN_STD=None, QUANTILES=None),
           **empty("FeatureType", "PolicyFeature"))
    module("lerobot.optim", **empty("AdamWConfig", "CosineDecayWithWarmupSchedulerConfig"))
    module("lerobot.policies.pretrained", PreTrainedPolicy=torch.nn.Module, T=None)
    module("lerobot.policies.rtc.modeling_rtc", **empty("RTCProcessor"))
    module("lerobot.policies.rtc.configuration_rtc", **empty("RTCConfig"))
    module("lerobot.utils.import_utils", _transformers_available=True, require_package=None)


def classes(pi05):
    """The module, the model and the configuration of pi0 or pi0.5."""
    if pi05:
        from lerobot.policies.pi05 import modeling_pi05 as module

        return module, module.PI05Pytorch, module.PI05Config
    from lerobot.policies.pi0 import modeling_pi0 as module

    return module, module.PI0Pytorch, module.PI0Config


def build(checkpoint, dtype):
    """The module of the model, and the model with the file's weights, none of them drawn at random first."""
    for name in ["normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "xavier_uniform_"]:
        setattr(torch.nn.init, name, lambda tensor, *arguments, **options: tensor)
    with open(checkpoint, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        sizes = json.loads(header.pop("__metadata__")["config"])
        module, Model, Configuration = classes(sizes["pi05"])
        module.get_gemma_config = lambda variant: module.GemmaConfig(
            **sizes["vlm" if variant == "gemma_2b" else "expert"])
        model = Model(Configuration(dtype=dtype)).eval()
        # One tensor for both, as in openpi: lerobot's classes hold it twice.
        paligemma = model.paligemma_with_expert.paligemma
        paligemma.lm_head.weight = paligemma.model.language_model.embed_tokens.weight
        parameters = dict(model.named_parameters(remove_duplicate=False))
        missing = set(parameters) - {
            "paligemma_with_expert.paligemma.model.language_model.embed_tokens.weight"}
        for key, entry in header.items():
            begin, end = entry["data_offsets"]
            file.seek(8 + size + begin)
            kind = {"BF16": torch.bfloat16, "F32": torch.float32}[entry["dtype"]]
            values = torch.frombuffer(bytearray(file.read(end - begin)), dtype=kind)
            parameters[key].data.copy_(values.view(entry["shape"]))
            missing.discard(key)
    if missing:
        raise SystemExit(f"{checkpoint} lacks {sorted(missing)[:5]}")
    return module, model


class Stages:
    """What is timed: a method a stage, each returning the tensor that is compared."""

    def __init__(self, module, model, inputs, prompt):
        self.module = module
        self.model = model
        self.prompt = prompt
        self.images = [inputs[f"image.{i}"] for i in range(3)]
        self.features = [inputs[f"features.{i}"] for i in range(3)]
        self.tokens = inputs["tokens"].long()
        self.state, self.noise = inputs["state"], inputs["noise"]
        self.velocity, self.time = inputs["velocity"], inputs["time"]
        self.present = torch.ones_like(self.tokens, dtype=torch.bool)
        self.prefix_padding = torch.ones(1, 768 + 48, dtype=torch.bool)
        self.prefix_marks = torch.zeros(1, 768 + 48, dtype=torch.bool)
        self.suffix_padding = torch.ones(1, 51, dtype=torch.bool)
        self.suffix_marks = torch.tensor([[1.0, 1.0] + [0.0] * 49])
        self.embed_image = model.paligemma_with_expert.embed_image
        self.cache = None

    def suffix(self):
        return self.model.embed_suffix(self.state, self.noise, self.time)[0]

    def prefix(self):
        there = torch.ones(1, dtype=torch.bool)
        self.model.paligemma_with_expert.embed_image = lambda features: features
        embeddings = self.model.embed_prefix(self.features, [there] * 3, self.tokens, self.present)
        self.model.paligemma_with_expert.embed_image = self.embed_image
        return embeddings[0]

    def sinusoid(self):
        return self.module.create_sinusoidal_pos_embedding(
            self.time, 1024, 4e-3, 4.0, device=self.time.device).float()

    def prefix_masks(self):
        allowed = self.module.make_att_2d_masks(self.prefix_padding, self.prefix_marks)
        torch.cumsum(self.prefix_padding, dim=1) - 1
        return self.model._prepare_attention_masks_4d(allowed)

    def suffix_masks(self):
        columns = self.prefix_padding.shape[1]
        before = self.prefix_padding[:, None, :].expand(1, 51, columns)
        own = self.module.make_att_2d_masks(self.suffix_padding, self.suffix_marks)
        allowed = torch.cat([before, own], dim=2)
        offsets = torch.sum(self.prefix_padding, dim=-1)[:, None]
        offsets + torch.cumsum(self.suffix_padding, dim=1) - 1
        return self.model._prepare_attention_masks_4d(allowed)

    def euler(self):
        return self.noise + -0.1 * self.velocity

    def vision(self):
        return self.model.paligemma_with_expert.embed_image(self.images[0])

    def prefix_pass(self):
        language = self.model.paligemma_with_expert.paligemma.model.language_model
        language.config._attn_implementation = "eager"
        allowed = self.module.make_att_2d_masks(self.prefix_padding, self.prefix_marks)
        _, self.cache = self.model.paligemma_with_expert.forward(
            attention_mask=self.model._prepare_attention_masks_4d(allowed),
            position_ids=torch.cumsum(self.prefix_padding, dim=1) - 1, past_key_values=None,
            inputs_embeds=[self.prefix(), None], use_cache=True)
        return self.cache.layers[-1].keys

    def step(self):
        if self.cache is None:
            self.prefix_pass()
        return self.model.denoise_step(
            self.state, self.prefix_padding, self.cache, self.noise, self.time)

    def actions(self, cameras):
        images = [
            image if index < cameras else torch.full_like(image, -1)
            for index, image in enumerate(self.images)
        ]
        masks = [torch.tensor([index < cameras]) for index in range(3)]
        length = self.model.config.tokenizer_max_length
        there = torch.arange(length)[None] < self.prompt
        # Of a longer prompt the tokens begin again.
        tokens = self.tokens.repeat(1, -(-length // self.tokens.shape[1]))[:, :length]
        inputs = [images, masks, torch.where(there, tokens, 0), there]
        # pi0.5 has its state in the prompt.
        if hasattr(self.model, "state_proj"):
            inputs.append(self.state)
        return self.model.sample_actions(*inputs, self.noise)

    def run(self, stage):
        if stage.startswith("actions_"):
            return self.actions(int(stage.removeprefix("actions_")))
        return getattr(self, stage)()


@torch.no_grad()
def main():
    checkpoint, inputs, dtype, *prompt = sys.argv[1:]
    import_lerobot()
    stages = Stages(*build(checkpoint, dtype), load_file(inputs), *map(int, prompt or ["12"]))
    print(json.dumps({"load": time.perf_counter() - started}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request.get("threads", 2))
        start = time.perf_counter()
        for _ in range(request.get("calls", 1)):
            result = stages.run(request["stage"])
        answer = {"seconds": time.perf_counter() - start}
        if "output" in request:
            numpy.asarray(result.float().contiguous()).tofile(request["output"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
