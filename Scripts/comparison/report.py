"""Tables and a plot of what was measured."""

TITLES = {
    "suffix": "suffix embedding",
    "prefix": "prefix embedding, image features given",
    "sinusoid": "sinusoidal embedding, 1024",
    "prefix_masks": "prefix masks, bias and positions, 816",
    "suffix_masks": "suffix masks, bias and positions, 51 x 867",
    "euler": "Euler update",
    "vision": "SigLIP and projector, one image",
    "prefix_pass": "prefix pass, 816 tokens",
    "step": "one denoising step",
    "actions_3": "sample_actions, 3 cameras, 12 tokens",
    "actions_2": "sample_actions, 2 cameras, 12 tokens",
    "actions_1": "sample_actions, 1 camera, 12 tokens",
}


def seconds(value):
    """With its unit, three digits."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size or unit == "µs":
            return f"{value / size:.3g} {unit}"


def spread(values, form):
    return f"{form(values['median'])} ({form(values['minimum'])} to {form(values['maximum'])})"


def times(value):
    return f"{value:.2f}"


def goal(row):
    """What the ratio is to be, and whether it is."""
    if "goal" not in row:
        return ""
    return f"{row['goal']}" if row["ratio"]["median"] >= row["goal"] else f"**{row['goal']}, missed**"


def markdown(results):
    """The whole report."""
    machine = results["machine"]
    lines = [
        "# PI0Kit's `cpu` device against PyTorch",
        "",
        f"{machine['cores']} x {machine['processor']} ({', '.join(machine['instructions'])}), "
        f"{machine['memory']}, {machine['system']}; {results['versions']}. "
        f"{results['date']}, by `Scripts/benchmark`.",
        "",
        "Batch 1, the same bfloat16 file with random weights, the same inputs; samples of both in "
        "turn, median (minimum to maximum). The ratio is PyTorch's time over PI0Kit's, pair by "
        "pair; the goal is what we want it to be. Difference: relative RMS of the results.",
        "",
        "| stage | against | threads | PI0Kit | PyTorch | ratio | goal | difference | samples | "
        "discarded |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        mark = "" if row["clean"] else " (no clean sample)"
        lines.append(
            f"| {TITLES[row['stage']]} | {row['against']} | {row['threads']} "
            f"| {spread(row['ours'], seconds)} | {spread(row['theirs'], seconds)} "
            f"| {spread(row['ratio'], times)}{mark} | {goal(row)} | {row['rms']:.1e} "
            f"| {row['samples']} | {row['discarded']} |")
    lines += [
        "",
        "From the start of the process to the first actions of 3 cameras, the file in the page "
        "cache:",
        "",
        "| side | load | first actions | peak resident memory |",
        "|---|---|---|---|",
    ]
    for cold in results["cold"]:
        lines.append(
            f"| {cold['name']} | {seconds(cold['load'])} | {seconds(cold['first'])} "
            f"| {cold['memory']:.2f} GiB |")
    lines += [
        "",
        "One image through the vision tower with another process busy on one of the cores:",
        "",
        "| side | alone | beside the other | times |",
        "|---|---|---|---|",
    ]
    for busy in results["busy"]:
        lines.append(
            f"| {busy['against']} | {seconds(busy['free'])} | {seconds(busy['busy'])} "
            f"| {busy['times']:.2f} |")
    lines += [
        "",
        "PI0Kit's products with bfloat16 weights in the fastest run, against the multiply-adds that "
        "the processor does in registers, measured before and after:",
        "",
        "| product | time | GFLOP/s | share |",
        "|---|---|---|---|",
    ]
    for product in results["products"]:
        lines.append(
            f"| {product['part']} | {seconds(product['minimum'] / 1000)} "
            f"| {product['gigaflops']:.1f} | {product['shareOfPeak']:.0%} |")
    return "\n".join(lines) + "\n"


def svg(results):
    """A bar a row: how many times as fast, on a logarithmic axis from 0.1 to 100."""
    from math import log10

    rows = results["rows"]
    left, width, height = 430, 420, 22
    bottom = 40 + height * len(rows)

    def x(ratio):
        return left + width * (log10(min(max(ratio, 0.1), 100)) + 1) / 3

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" '
        f'height="{bottom + 20}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="10" y="20" font-size="14">Times as fast as PyTorch</text>',
    ]
    for tick in (0.1, 1, 10, 100):
        parts.append(
            f'<line x1="{x(tick):.0f}" x2="{x(tick):.0f}" y1="30" y2="{bottom}" '
            f'stroke="{"#444" if tick == 1 else "#ccc"}"/>'
            f'<text x="{x(tick):.0f}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>')
    for index, row in enumerate(rows):
        y = 34 + height * index
        ratio = row["ratio"]["median"]
        begin, end = sorted((x(1), x(ratio)))
        label = f"{TITLES[row['stage']]}; {row['against']}, {row['threads']} thr."
        parts.append(
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end" font-size="11">{label}</text>'
            f'<rect x="{begin:.1f}" y="{y + 2}" width="{end - begin:.1f}" height="{height - 6}" '
            f'fill="{"#3b7dd8" if ratio >= 1 else "#d8603b"}"/>'
            f'<text x="{x(max(ratio, 1)) + 4:.1f}" y="{y + 14}">{ratio:.3g}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
