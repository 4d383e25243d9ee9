"""Figures of the report as inline SVG: no file, no script, text in the colour of the page around it.

svg = paired(facts)            # differences draw by draw, one panel a contrast

Colours are Okabe and Ito's, told apart by colour-blind readers; words and shapes say the same again.
"""

import html
import io
import re
import warnings
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

Facts = dict[str, Any]

INK = "#123456"  # stands for the page's text colour, replaced in the SVG
COLOURS = {"helped": "#009E73", "hurt": "#D55E00", "equivalent": "#0072B2", "undecided": "#888888"}
CYCLE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#888888")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
STYLE: Any = {  # matplotlib names every key in its types
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "text.parse_math": False,  # a class may be called "$"
}


def _grid(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, `height` inches each."""
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
    return figure, panels


def _svg(figure: Figure, title: str) -> str:
    """The figure as an <svg> that scales with its column and follows the page's text colour."""
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the page's own fonts draw the text
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg)  # matplotlib numbers its groups anew in every figure
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace(INK, "currentColor").replace("'sans-serif'", "inherit").replace("sans-serif", "inherit")
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)


def front(arms: list[Facts]) -> list[Facts]:
    """The arms than which none is both cheaper and better, the cheapest first: the best accuracy for every minute."""
    found: list[Facts] = []
    for arm in sorted(arms, key=lambda a: (a["total_seconds"], -a["mean"])):
        if not found or arm["mean"] > found[-1]["mean"]:
            found.append(arm)
    return found


def cost(facts: Facts) -> str:
    """Mean accuracy of every arm over the minutes that one classifier costs from nothing; the best for the time are
    joined. "" with fewer than two arms."""
    arms = facts["arms"]
    if len(arms) < 2:
        return ""
    best = front(arms)
    minutes = {a["arm"]: max(a["total_seconds"], 0.01) / 60 for a in arms}  # there is no logarithm of 0
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _grid(1, 1, 9.6, 3.6)
        steps = [minutes[a["arm"]] for a in best], [100 * a["mean"] for a in best]
        axes.step(*steps, where="post", color="#888888", alpha=0.6, lw=1)
        span = 100 * (max(a["mean"] for a in arms) - min(a["mean"] for a in arms)) or 1.0
        taken: list[tuple[float, float]] = []  # where names stand
        for arm in sorted(arms, key=lambda a: a["mean"]):
            x, y, spread = minutes[arm["arm"]], 100 * arm["mean"], 100 * (arm["std"] or 0.0)
            colour = CYCLE[0] if arm["family"] == "scratch" else CYCLE[4]
            axes.errorbar([x], [y], [spread], fmt="o" if arm in best else "s", color=colour, ms=5, lw=1)
            beside = [(a, b) for a, b in taken if 1 / 3 < a / x < 3]
            at = max([y, *(b + 0.075 * span for _, b in beside)])  # names one above the other
            taken.append((x, at))
            right = max([x, *(a for a, _ in beside)]) * 1.2
            axes.annotate(
                arm["arm"], (x, y), (right, at), fontsize=8, va="bottom", arrowprops={"arrowstyle": "-", "lw": 0.4}
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        least, most = min(minutes.values()), max(minutes.values())
        axes.set_xlim(least / 1.3, most * max(3.0, (most / least) ** 0.3))  # room for the names
        axes.set_xlabel("minutes for one classifier, with all that it builds on")
        axes.set_ylabel("accuracy (%)")
    return _svg(figure, "Accuracy of the arms over the time they cost")


def paired(facts: Facts) -> str:
    """Difference of accuracy in every draw, mean, interval and the zone of equivalence; "" without any."""
    outcomes = [o for o in facts["verdict"] if o["verdict"] != "left out"]
    if not outcomes:
        return ""
    zone = 100 * facts["settings"].get("judge", {}).get("equivalence", 0.005)
    with matplotlib.rc_context(STYLE):
        figure, panels = _grid(len(outcomes), 3, 9.6, 3.1)
        several = len({o["labels_per_class"] for o in outcomes}) > 1
        for axes, outcome in zip(panels, outcomes, strict=True):
            _differences(axes, outcome, zone)
            if several:
                axes.set_title(f"{outcome['labels_per_class']} labels per class", loc="right", fontsize=8)
        panels[0].set_ylabel("difference of accuracy (points)")
        ends = [v for axes in panels for v in axes.get_ylim()]
        for axes in panels:
            axes.set_ylim(min(ends), max(ends))
    return _svg(figure, "Paired differences of accuracy, draw by draw")


def _differences(axes: Axes, o: Facts, zone: float) -> None:
    colour = COLOURS[o["verdict"]]
    d = 100 * np.asarray(o["differences"])
    x = np.arange(1, len(d) + 1)
    axes.axhspan(-zone, zone, color="#888888", alpha=0.15, lw=0)
    axes.axhline(0, color=INK, lw=0.8)
    axes.vlines(x, 0, d, color=colour, lw=1.2, alpha=0.6)
    axes.plot(x, d, "o", color=colour, ms=4.5)
    end = len(d) + 1.3
    if o["low"] is not None:
        low, mean, high = (100 * o[k] for k in ("low", "mean", "high"))
        axes.errorbar([end], [mean], [[mean - low], [high - mean]], fmt="D", color=colour, ms=6, capsize=5, lw=2)
    axes.set_xlim(0.3, end + 0.8)
    axes.set_xticks([*x[:: max(1, len(x) // 10)], end], [*map(str, x[:: max(1, len(x) // 10)]), "mean"], fontsize=8)
    axes.set_xlabel(f"label {o['unit'][:-1]}" if o["unit"] == "draws" else "fold")
    rival = o["rival"].replace("/", " / ") if len(o["rival"]) < 30 else "best policy of each fold"
    axes.set_title(f"{o['arm']} −\n{rival}: {o['verdict']}", fontsize=9)


def accuracies(facts: Facts) -> str:
    """Accuracy of every arm in every draw: small dots, the mean as a bar; "" without trials."""
    arms = facts["arms"]
    if not arms:
        return ""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _grid(1, 1, 9.6, 0.34 * len(arms) + 0.9)
        for y, arm in enumerate(arms):
            values = 100 * np.asarray(arm["accuracies"])
            colour = CYCLE[0] if arm["family"] == "scratch" else CYCLE[4]
            spread = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(1)
            axes.plot(values, y + spread, "o" if arm["family"] == "scratch" else "s", color=colour, ms=3.5, alpha=0.7)
            axes.vlines(values.mean(), y - 0.36, y + 0.36, color=colour, lw=3)
        axes.set_yticks(range(len(arms)), [a["arm"] for a in arms])
        axes.invert_yaxis()
        axes.set_xlabel("accuracy on held-out images (%)")
        axes.grid(axis="x", color=INK, alpha=0.15, lw=0.6)
    return _svg(figure, "Accuracy of every arm in every draw")


def label_efficiency(arms: dict[str, list[Facts]]) -> str:
    """Accuracy over labels a class, mean and interval over draws; "" for a run at one number of labels."""
    if not arms:
        return ""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _grid(1, 1, 9.6, 3.8)
        for i, (arm, points) in enumerate(arms.items()):
            colour, x = CYCLE[i % len(CYCLE)], [p["labels"] for p in points]
            axes.plot(
                x, [100 * p["mean"] for p in points], "o", ls=DASHES[i % len(DASHES)], color=colour, ms=4, label=arm
            )
            if all(p["draws"] > 1 for p in points):
                low, high = ([100 * p[end] for p in points] for end in ("low", "high"))
                axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
        counts = sorted({p["labels"] for points in arms.values() for p in points})
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(n) for n in counts])
        axes.minorticks_off()
        axes.set_xlabel("labels of each class")
        axes.set_ylabel("accuracy (%)")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure, "Accuracy over the number of labels")


def _thousands(value: float, _: object = None) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def scratch_curves(facts: Facts) -> str:
    """Accuracy on the validation slice over training, mean over draws; "" where nothing was logged."""
    curves = {arm: points for arm, points in facts["curves"]["arms"].items() if points}
    if not curves:
        return ""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _grid(1, 1, 9.6, 3.2)
        for i, (arm, points) in enumerate(curves.items()):
            x, y = [p[0] for p in points], [100 * p[1] if p[1] is not None else np.nan for p in points]
            axes.plot(x, y, color=CYCLE[i % len(CYCLE)], ls=DASHES[i % len(DASHES)], label=arm)
        axes.set_xlabel("images seen in training")
        axes.set_ylabel("accuracy on the\nvalidation slice (%)")
        axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure, "Learning curves of the classifiers trained from scratch")


def stage_curves(stage: str, metrics: dict[str, list[list[float]]]) -> str:
    """Every logged metric of one stage in a small panel of its own."""
    with matplotlib.rc_context(STYLE):
        figure = metric_panels(metrics)
    return _svg(figure, f"Metrics of the stage {stage} over its training")


def metric_panels(metrics: dict[str, list[list[float]]]) -> Figure:
    """A small panel for each metric, [[images, value], …] each."""
    figure, panels = _grid(len(metrics), 4, 9.6, 1.75)
    for axes, (name, points) in zip(panels, metrics.items(), strict=True):
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=CYCLE[0], lw=1.3, marker="o" if len(x) < 12 else None, ms=3)
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
        axes.locator_params(nbins=4)
    figure.supxlabel("images seen", fontsize=9)
    return figure


def label_counts(facts: Facts) -> str:
    """Labelled images of each class and split; "" where no image has a label."""
    classes = facts["data"]["classes"][:60]
    parts = [p for p in ("train", "val", "test") if any(c[p] for c in classes)]
    if not classes or not parts:
        return ""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _grid(1, 1, 9.6, 0.24 * len(classes) + 0.9)
        start = np.zeros(len(classes))
        for colour, part in zip((CYCLE[0], CYCLE[1], CYCLE[5]), parts, strict=False):
            counts = np.array([c[part] for c in classes])
            axes.barh(range(len(classes)), counts, left=start, color=colour, height=0.7, label=part)
            start += counts
        axes.set_yticks(range(len(classes)), [c["name"] for c in classes], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel("labelled images")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure, "Labelled images of each class")


def copy_distances(real: dict[str, float], minted: dict[str, float]) -> str:
    """Quantiles of the distance to the nearest real image, of real images and of minted ones."""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _grid(1, 1, 6.4, 2.8)
        for values, label, colour, mark in (
            (real, "real images", CYCLE[0], "o"),
            (minted, "minted images", CYCLE[4], "s"),
        ):
            pairs = sorted((float(q), v) for q, v in values.items())
            axes.plot([100 * q for q, _ in pairs], [v for _, v in pairs], color=colour, marker=mark, ms=4, label=label)
        axes.set_xlabel("share of the images that are nearer (%)")
        axes.set_ylabel("distance to the\nnearest real image")
        axes.set_ylim(bottom=0)
        axes.legend()
    return _svg(figure, "Distance to the nearest real image, of real and of minted images")
