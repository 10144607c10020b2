"""A picture of imported packets: amplitude over time and subcarrier, dead subcarriers, level and gain steps."""

import numpy as np

COLUMNS = 1500  # packets that the picture shows at most, evenly chosen


def draw(path, arrays, recordings, level, dead, jumps):
    """Write a PNG. arrays: of the layout, with csi; recordings: (name, first packet); level: (packet,) dB; dead:
    (subcarrier,) bool; jumps: packets with a step of the gain."""
    from matplotlib.figure import Figure

    csi = arrays["csi"]
    index = arrays.get("subcarrier_index", np.arange(csi.shape[1]))
    step = -(-len(csi) // COLUMNS)
    amplitude = np.abs(csi[::step]).mean((2, 3))
    shown = 20 * np.log10(np.maximum(amplitude, 1e-9) / max(np.median(amplitude), 1e-9))
    unused = arrays.get("null", np.zeros(len(index), bool))
    figure = Figure(figsize=(11, 8), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(4, 1), height_ratios=(3, 1.4))
    image, tones, levels = (figure.add_subplot(grid[place]) for place in ((0, 0), (0, 1), (1, 0)))

    # One row a subcarrier, in the order of the file: where the standard leaves some out, rows are not evenly numbered.
    low, high = np.percentile(shown[:, ~unused], [2, 98])
    mesh = image.imshow(shown.T, aspect="auto", origin="lower", interpolation="nearest", vmin=low,
                        vmax=max(high, low + 1), extent=(0, len(csi), -0.5, len(index) - 0.5))
    figure.colorbar(mesh, ax=image, label="amplitude, dB over the median", pad=0.01)
    ticks = np.unique(np.linspace(0, len(index) - 1, 9).astype(int))
    image.set_yticks(ticks, [str(index[tick]) for tick in ticks])
    image.set(ylabel="subcarrier", xlabel="packet", title="Amplitude, mean over antennas")
    _recordings(image, recordings, len(csi), names=True)

    mean = amplitude.mean(0)
    rows = np.arange(len(index))
    tones.plot(mean, rows, ".-", markersize=4, linewidth=0.8, label="all")
    for which, style, label in ((dead & ~unused, "rx", "dead"), (unused, "k+", "carries nothing")):
        if which.any():
            tones.plot(mean[which], rows[which], style, label=label)
    tones.set_yticks(ticks, [str(index[tick]) for tick in ticks])
    far = 0 < 10 * mean.min() < mean.max()
    tones.set(xlabel="mean amplitude", xscale="log" if far else "linear", ylim=(-0.5, len(index) - 0.5),
              title="Subcarriers")
    if dead.any() or unused.any():
        tones.legend(fontsize="small")

    places = np.arange(len(csi))[::step]
    levels.plot(places, level[::step], linewidth=0.7, label="level of the CSI, dB")
    for name, style in (("rssi", "C1"), ("gain", "C2")):
        if name in arrays:
            values = arrays[name] - np.median(arrays[name]) + np.median(level)
            levels.plot(places, values[::step], style, linewidth=0.7, label=f"{name}, dB, moved to the same middle")
    if len(jumps):
        few = jumps[:: -(-len(jumps) // 500)]
        levels.plot(few, np.full(len(few), level.min()), "r|", markersize=8, label=f"{len(jumps)} steps of over 3 dB")
    levels.set(xlabel="packet", ylabel="dB", xlim=(0, len(csi)),
               title="Level: a step on all subcarriers is the receiver's")
    levels.legend(fontsize="small", ncols=2)
    _recordings(levels, recordings, len(csi))
    figure.savefig(path, dpi=110)


def _recordings(axes, recordings, end, names=False):
    """A line between recordings, and their names where there is room."""
    starts = [start for _, start in recordings] + [end]
    for start in starts[1:-1]:
        axes.axvline(start, color="white" if names else "grey", linewidth=0.8)
    if names:
        for (name, start), stop in zip(recordings, starts[1:], strict=True):
            if stop - start > 0.06 * end:
                axes.text((start + stop) / 2, 0.99, name[:20], transform=axes.get_xaxis_transform(), ha="center",
                          va="top", fontsize=8, color="white",
                          bbox={"facecolor": "black", "alpha": 0.5, "pad": 1.5, "lw": 0})
