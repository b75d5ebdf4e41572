"""A tiny pi0 policy of lerobot's own classes, its sizes given from outside."""

import importlib
import importlib.util
import json
import sys
import types

from demo import arm

CAMERA = "base_0_rgb"
IMAGE_KEY = f"observation.images.{CAMERA}"
DENOISING_STEPS = 10

# lerobot's code fixes eight query heads and one key and value head.
TRANSFORMER = {"depth": 3, "num_heads": 8, "num_kv_heads": 1, "head_dim": 16}
LANGUAGE = {"width": 64, "mlp_dim": 256} | TRANSFORMER
EXPERT = {"width": 64, "mlp_dim": 128} | TRANSFORMER
VISION = {
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "patch_size": 14,
}


def import_lerobot():
    """Imports of lerobot what pi0 needs, without the packages that other policies, robots and
    datasets need: the `__init__` of its packages, which import all of these, are left out.
    """
    root = importlib.util.find_spec("lerobot").submodule_search_locations[0]

    def package(name, exports=()):
        module = types.ModuleType(f"lerobot{name}")
        module.__path__ = [root + name.replace(".", "/")]
        sys.modules[module.__name__] = module
        for source in exports:
            exported = vars(importlib.import_module(f"{module.__name__}.{source}"))
            vars(module).update({k: v for k, v in exported.items() if not k.startswith("_")})

    def placeholder(name, *classes):
        module = types.ModuleType(f"lerobot{name}")
        vars(module).update({name: object for name in classes})
        sys.modules[module.__name__] = module

    for name in ("", ".policies", ".policies.pi0", ".policies.rtc"):
        package(name)
    # Named by annotations alone, and written for newer Pythons.
    placeholder(".optim", "AdamWConfig", "CosineDecayWithWarmupSchedulerConfig",
                "LRSchedulerConfig", "OptimizerConfig")
    package(".configs", ["types", "policies"])
    placeholder(".configs.train", "TrainPipelineConfig")


def make_policy():
    """A policy with random weights, scaled for training from scratch."""
    import torch

    import_lerobot()
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies.pi0 import modeling_pi0

    _give_sizes(modeling_pi0)
    config = modeling_pi0.PI0Config(
        input_features={
            IMAGE_KEY: PolicyFeature(FeatureType.VISUAL, (3, arm.IMAGE, arm.IMAGE)),
            "observation.state": PolicyFeature(FeatureType.STATE, (2,)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (2,))},
        chunk_size=arm.HORIZON,
        n_action_steps=arm.HORIZON,
        max_state_dim=2,
        max_action_dim=2,
        num_inference_steps=DENOISING_STEPS,
        image_resolution=(arm.IMAGE, arm.IMAGE),
        tokenizer_max_length=arm.PROMPT_LENGTH,
        time_sampling_beta_alpha=2.5,  # more of the times where images matter most
        use_relative_actions=True,
        relative_exclude_joints=[],
        device="cpu",
    )
    policy = modeling_pi0.PI0Policy(config)
    with torch.no_grad():
        _initialize(policy)
    return policy


def _give_sizes(modeling):
    """Puts this file's sizes where lerobot's code has those of the published policy."""
    towers = {"gemma_2b": LANGUAGE, "gemma_300m": EXPERT}
    modeling.get_gemma_config = lambda variant: modeling.GemmaConfig(**towers[variant])
    language, expert = modeling.PaliGemmaForConditionalGenerationWithPiGemma, modeling.PiGemmaForCausalLM

    def make_language(config):
        config.image_token_id = arm.VOCABULARY
        config.text_config.vocab_size = arm.VOCABULARY
        config.vision_config.projection_dim = LANGUAGE["width"]
        for name, value in VISION.items():
            setattr(config.vision_config, name, value)
        return language(config=config)

    def make_expert(config):
        config.vocab_size = arm.VOCABULARY
        return expert(config=config)

    modeling.PaliGemmaForConditionalGenerationWithPiGemma = make_language
    modeling.PiGemmaForCausalLM = make_expert


def _initialize(policy):
    """Weights whose products keep the variance of what they multiply, and an image tower that sees
    places and what differs from the background from the start.
    """
    import torch

    ends_a_branch = ("o_proj", "down_proj", "out_proj", "fc2")
    for name, module in policy.named_modules():
        if isinstance(module, torch.nn.Linear):
            deviation = module.weight.shape[1] ** -0.5
            if name.endswith(ends_a_branch) and "action_out_proj" not in name:
                deviation *= (2 * TRANSFORMER["depth"]) ** -0.5
            torch.nn.init.normal_(module.weight, std=deviation)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif name.endswith("embed_tokens"):
            torch.nn.init.normal_(module.weight, std=LANGUAGE["width"] ** -0.5)
        elif name.endswith("position_embedding"):
            side = arm.IMAGE // VISION["patch_size"]
            waves = _waves(side, side).flatten(1)
            mixing = torch.randn(module.weight.shape[1], len(waves)) / side
            module.weight.copy_((mixing @ waves).T)
        elif name.endswith("patch_embedding"):
            # Smooth filters: red against blue, green against both, and a few for grey.
            # They stay: over small pictures, all of their inputs change together.
            waves = _waves(VISION["patch_size"], 5)
            colors = torch.tensor([[0.1, 0, -0.1], [0.1, -0.2, 0.1], [0.02, 0.02, 0.02]])
            filters = torch.einsum("fyx,kc->kfcyx", waves, colors).flatten(0, 1)
            module.weight.copy_(filters[: len(module.weight)])
            torch.nn.init.zeros_(module.bias)
            module.requires_grad_(False)
    torch.nn.init.zeros_(policy.model.action_out_proj.weight)


def _waves(size, count):
    """Cosines over a square, [count * count, size, size], the longest first."""
    import torch

    place = (torch.arange(size) + 0.5) / size
    line = torch.cos(torch.pi * place * torch.arange(count)[:, None])
    order = sorted(range(count * count), key=lambda n: n // count + n % count)
    return torch.einsum("iy,jx->ijyx", line, line).flatten(0, 1)[order]


def write_folder(policy, statistics, folder):
    """Writes what lerobot writes for a trained policy: configuration, weights and processors, and
    in the weights' metadata the sizes, which lerobot's configuration does not tell.
    """
    from safetensors.torch import load_file, save_file

    policy.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    metadata = {"format": "pt", "config": json.dumps(sizes())}
    save_file(weights, folder / "model.safetensors", metadata=metadata)
    (folder / "model.safetensors").chmod(0o644)

    features = json.loads((folder / "config.json").read_text())
    mapping = features["normalization_mapping"]
    # As lerobot's make_pi0_pre_post_processors has them.
    relative = {"enabled": True, "exclude_joints": [], "action_names": None}
    device = {"device": "cpu", "float_dtype": None}
    before = [
        ("rename_observations_processor", {"rename_map": {}}),
        ("to_batch_processor", {}),
        ("pi0_new_line_processor", {}),
        ("tokenizer_processor", {
            "max_length": arm.PROMPT_LENGTH, "task_key": "task", "padding_side": "right",
            "padding": "max_length", "truncation": True, "tokenizer_name": "google/paligemma-3b-pt-224"}),
        ("device_processor", device),
        ("relative_actions_processor", relative),
        ("normalizer_processor", {
            "eps": 1e-8, "features": features["input_features"] | features["output_features"],
            "norm_map": mapping}),
    ]
    after = [
        ("unnormalizer_processor", {
            "eps": 1e-8, "features": features["output_features"], "norm_map": mapping}),
        ("absolute_actions_processor", {"enabled": True}),
        ("device_processor", device),
    ]
    for name, steps in (("policy_preprocessor", before), ("policy_postprocessor", after)):
        listed = []
        for index, (step, config) in enumerate(steps):
            entry = {"registry_name": step, "config": config}
            if "normalizer" in step:
                entry["state_file"] = f"{name}_step_{index}_{step}.safetensors"
                save_file(statistics.tensors(), folder / entry["state_file"])
            listed.append(entry)
        text = json.dumps({"name": name, "steps": listed}, indent=2)
        (folder / f"{name}.json").write_text(text + "\n")


def read_folder(policy, folder):
    """Puts a folder's weights into the policy; returns its statistics, by feature and name."""
    from safetensors.torch import load_file

    policy.load_state_dict(load_file(folder / "model.safetensors"))
    steps = json.loads((folder / "policy_postprocessor.json").read_text())["steps"]
    return load_file(folder / next(step["state_file"] for step in steps if "state_file" in step))


def sizes():
    """Every size of the policy by its name."""
    return {
        "vlm": LANGUAGE, "expert": EXPERT, "vocab": arm.VOCABULARY,
        "vis_width": VISION["hidden_size"], "vis_depth": VISION["num_hidden_layers"],
        "vis_heads": VISION["num_attention_heads"], "vis_mlp": VISION["intermediate_size"],
        "patch": VISION["patch_size"], "image": arm.IMAGE, "action_dim": 2,
        "action_horizon": arm.HORIZON, "max_token_len": arm.PROMPT_LENGTH, "pi05": False,
        "cameras": [CAMERA], "dtype": "float32",
    }
