"""One style, figures with alt text, and the pictures that several notebooks draw."""

import io

import numpy as np

# Okabe-Ito: told apart with every common colour vision, and in print by their lightness.
COLORS = {"black": "#000000", "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "yellow": "#F0E442",
          "blue": "#0072B2", "red": "#D55E00", "pink": "#CC79A7"}


def style():
    """Set the collection's figure style, once at the top of a notebook."""
    import matplotlib as mpl
    import seaborn as sns

    sns.set_theme(context="notebook", style="ticks", palette=[COLORS[c] for c in (
        "blue", "orange", "green", "red", "pink", "sky", "black")])
    mpl.rcParams.update({
        "figure.figsize": (7.5, 3.6), "figure.dpi": 100, "axes.spines.top": False, "axes.spines.right": False,
        "axes.titlesize": 11, "axes.titlelocation": "left", "axes.labelsize": 10, "xtick.labelsize": 9,
        "ytick.labelsize": 9, "legend.fontsize": 9, "legend.frameon": False, "figure.constrained_layout.use": True,
        "image.cmap": "cividis", "lines.linewidth": 1.6})


def show(fig, alt):
    """Display a figure with its text alternative, and close it.

    alt: what the figure shows, for a reader who cannot see it; at least 20 characters. It travels in the output's
    metadata and in the HTML. Raises ValueError for a shorter one.
    """
    import matplotlib.pyplot as plt
    from IPython.display import display

    if not (isinstance(alt, str) and len(alt.strip()) >= 20):
        raise ValueError(f"alt must say in at least 20 characters what the figure shows, got {alt!r}")
    picture = io.BytesIO()
    fig.savefig(picture, format="png")
    plt.close(fig)
    display({"image/png": picture.getvalue(), "text/plain": alt}, raw=True,
            metadata={"image/png": {"alt": alt}, "alt": alt})


def room(ax, room, links=(), reference=None):
    """Floor plan: walls, window, furniture, antennas, straight paths and, where given, reference points (n, 2)."""
    x, y = room.size[:2]
    ax.plot([0, x, x, 0, 0], [0, 0, y, y, 0], color="black", lw=1.2)
    if room.window is not None:
        axis, far = "xy".index(room.window.face[0]), room.window.face[1] == "1"
        line = np.array([[far * (x, y)[axis]] * 2, room.window.along])
        ax.plot(*(line if axis == 0 else line[::-1]), color=COLORS["sky"], lw=5, solid_capstyle="butt",
                label="window")
    for i, item in enumerate(room.furniture):
        ax.plot(*item.xyz[0, :2], "s", color="0.6", ms=4 + 3 * np.sqrt(item.rcs), label="furniture" if not i else None)
    if reference is not None:
        ax.plot(*reference.T, ".", color="0.6", ms=3, label="reference point")
    for i, link in enumerate(links):  # black and white: the colours belong to methods
        ax.plot(*zip(link.tx[:2], link.rx[:2], strict=True), "--", color="0.3", lw=1)
        ax.plot(*link.tx[:2], "^", color="white", mec="black", ms=8, label="transmitter" if not i else None)
        ax.plot(*link.rx[:2], "v", color="black", mec="white", ms=8, label="receiver" if not i else None)
    ax.set(aspect="equal", xlim=(-0.3, x + 0.3), ylim=(-0.3, y + 0.3), xlabel="x (m)", ylabel="y (m)")


def cdf(ax, errors, label, **kwargs):
    """Empirical distribution of errors (n,) in m: the share of estimates that are at least as good."""
    errors = np.sort(np.asarray(errors, float))
    ax.step(errors, np.arange(1, len(errors) + 1) / len(errors), where="post", label=label, **kwargs)
    ax.set(xlabel="localization error (m)", ylabel="share of test positions", ylim=(0, 1.01), xlim=(0, None))
