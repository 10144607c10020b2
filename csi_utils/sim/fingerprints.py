"""The simulated datasets: device-free fingerprints in metres, with a named cause for every domain shift.

Called through csi_utils.datasets.load("sim-lab") and load("sim-meeting"). The rooms were chosen once, before any
result was seen, but for the layout of the links, which notebooks/deeper/01_svm_by_hand (section 4) compares with three
others. Size and hardware are from published set-ups where these are known; the rest is ours.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import channel, hardware

FC = 2.437e9  # Hz, channel 6: the access point of the 7 m x 11 m laboratory (Pilot, ICDCS 2013) is 2.4 GHz only
SPACING = channel.SPEED_OF_LIGHT / FC / 2
RATE = 20.0  # packets a second
SWAY = 0.01  # m, standard deviation of a person who stands still
REVISIT = 0.03  # m, how well a person finds the same mark again
SLOW_DRIFT = 0.1  # dB, gain of each chain from one recording to the next
DAY_DRIFT = 1.0  # dB, gain of each chain after the cause "gain drift"
CHAIR_STEP = (0.5, 0.5)  # m, what "chair moved" does: 0.7 m

# What can change between two sessions. Each name is switched on its own.
CAUSES = ("gain drift", "window open", "chair moved")
SESSIONS = {"survey": (), "same day": (), "day 2": ("gain drift",), "window": ("window open",),
            "chair": ("chair moved",), "all three": CAUSES}


@dataclass(frozen=True)
class Site:
    """A room, its links, the spacing of the reference grid (m) and the number of test points."""

    title: str
    room: channel.Room
    links: tuple
    chair: int  # which piece of furniture is the chair that moves
    pitch: float
    test_points: int


def _walls(**faces):
    walls = dict.fromkeys(channel.FACES, channel.Wall("concrete", 0.2))
    walls["ceiling"] = channel.Wall("ceiling board", 0.0125)
    return walls | faces


def _furniture(*items):
    return tuple(channel.Scatterer((x, y, z), rcs) for x, y, z, rcs in items)


def _link(tx, rx):
    return channel.Link((*tx, 1.1), (*rx, 1.1), n_tx=2, n_rx=3, spacing=SPACING)


SITES = {
    "sim-lab": Site(
        "Simulated laboratory, 7 m x 11 m x 3 m, two links",
        channel.Room(
            (7.0, 11.0, 3.0), _walls(x0=channel.Wall("brick", 0.12), y1=channel.Wall("plasterboard", 0.0125)),
            channel.Window("x1", (4.0, 6.5)),
            # two metal cabinets, three desks, two chairs
            _furniture((0.4, 2.0, 1.0, 3.0), (6.6, 9.0, 1.0, 3.0), (2.0, 3.2, 0.7, 0.6), (5.0, 4.0, 0.7, 0.6),
                       (2.5, 8.2, 0.7, 0.6), (3.2, 5.0, 0.6, 0.4), (4.6, 7.4, 0.6, 0.4))),
        (_link((0.4, 3.5), (6.6, 3.5)), _link((6.6, 7.5), (0.4, 7.5))), chair=5, pitch=0.8, test_points=60),
    "sim-meeting": Site(
        "Simulated meeting room, 5 m x 6 m x 2.7 m, two links",
        channel.Room(
            (5.0, 6.0, 2.7), _walls(x1=channel.Wall("plasterboard", 0.0125), y0=channel.Wall("wood", 0.04)),
            channel.Window("y1", (1.5, 3.5)),
            # a long table, a screen, two chairs
            _furniture((2.5, 2.6, 0.7, 1.0), (2.5, 3.8, 0.7, 1.0), (2.5, 5.7, 1.3, 1.5), (1.4, 3.0, 0.6, 0.4),
                       (3.6, 3.6, 0.6, 0.4))),
        (_link((0.4, 2.0), (4.6, 2.0)), _link((4.6, 4.0), (0.4, 4.0))), chair=3, pitch=0.8, test_points=40),
}


def reference_points(site):
    """Centres (n, 2), in m, of the reference grid; places within 0.5 m of an antenna are left out."""
    axes = []
    for side in site.room.size[:2]:
        n = int((side - 1.2) / site.pitch) + 1
        axes.append(side / 2 + site.pitch * (np.arange(n) - (n - 1) / 2))
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    arrays = np.array([end[:2] for link in site.links for end in (link.tx, link.rx)])
    return grid[(np.linalg.norm(grid[:, None] - arrays, axis=-1) > 0.5).all(1)]


def changed_room(site, causes):
    """The site's room after the given causes (those of CAUSES that change the room)."""
    room = site.room
    if "window open" in causes:
        room = replace(room, window=replace(room.window, open=True))
    if "chair moved" in causes:
        furniture = list(room.furniture)
        chair = furniture[site.chair]
        furniture[site.chair] = replace(chair, xyz=chair.xyz + [[*CHAIR_STEP, 0.0]])
        room = replace(room, furniture=tuple(furniture))
    return room


def build(name, sessions=tuple(SESSIONS), packets=20, empty=40, seed=0, snr_db=None, outliers=0.01,
          revisit=REVISIT, visits=1):
    """Arrays of a simulated dataset; see datasets.load for how they are named.

    sessions: names out of SESSIONS, or a dict name -> causes out of CAUSES; packets: packets a recording; empty:
    recordings of the empty room in each session; seed: of everything random (test points, sway, noise, drift);
    snr_db: signal-to-noise ratio of one entry in the empty room (hardware.snr_db), instead of what 15 dBm and -92 dBm
    give; outliers: fraction of broken packets; revisit: how far (m, standard deviation) a person stands from the mark;
    visits: how often each reference point is visited in a session, each time a recording of its own.
    Raises ValueError for unknown names and numbers that are not positive.
    """
    if name not in SITES:
        raise ValueError(f"name must be one of {', '.join(SITES)}; got {name!r}")
    if not isinstance(sessions, dict):
        unknown = set(sessions) - set(SESSIONS)
        if unknown:
            raise ValueError(f"sessions must be out of {', '.join(SESSIONS)}; got {', '.join(sorted(unknown))}")
        sessions = {session: SESSIONS[session] for session in sessions}
    unknown = {cause for causes in sessions.values() for cause in causes} - set(CAUSES)
    if unknown:
        raise ValueError(f"causes must be out of {', '.join(CAUSES)}; got {', '.join(sorted(unknown))}")
    if not (packets >= 1 and empty >= 0 and visits >= 1):
        raise ValueError(f"packets and visits must be >= 1 and empty >= 0, got {packets}, {visits} and {empty}")

    site = SITES[name]
    reference = reference_points(site)
    low, high = reference.min(0), reference.max(0)
    test = np.random.default_rng([seed, 0]).uniform(low, high, (site.test_points, 2))
    point_xy = np.concatenate([reference, test])
    again = np.tile(np.arange(len(reference)), visits - 1)
    marks = np.concatenate([np.arange(len(point_xy)), again, np.full(empty, -1)])
    parts = [_session(site, causes, marks, point_xy, packets, snr_db, outliers, revisit,
                      np.random.default_rng([seed, 1, i])) for i, causes in enumerate(sessions.values())]
    count, n = len(marks) * packets, len(sessions)
    point = np.tile(np.repeat(marks, packets), n)
    arrays = {
        "csi": np.concatenate([part[0] for part in parts]),
        "xy": np.concatenate([part[1] for part in parts]),
        "broken": np.concatenate([part[2] for part in parts]),
        "t": np.tile(np.arange(count) / RATE, n),
        "session": np.repeat(np.arange(n), count),
        "recording": np.repeat(np.arange(n * len(marks)), packets),
        "point": point,
        "present": point >= 0,
        "reference": (point >= 0) & (point < len(reference)),
        "point_xy": point_xy,
        "session_names": np.array(list(sessions)),
        "subcarrier_index": channel.SUBCARRIERS[20e6],
    }
    axes = dict.fromkeys(arrays, ("packet",))
    axes |= {"csi": ("packet", "link", "subcarrier", "rx", "tx"), "xy": ("packet", "xy"), "broken": ("packet", "link"),
             "point_xy": ("point", "xy"), "session_names": ("session",), "subcarrier_index": ("subcarrier",)}
    card = {
        "title": site.title,
        "task": "device-free localization in metres, and presence",
        "hardware": f"simulated Intel 5300 at {FC / 1e9} GHz, 20 MHz, {len(site.links)} links of 2 TX x 3 RX x 30; "
                    "csi in units of sqrt(SNR) by csi_utils.sim.hardware.scaled",
        "licence": "MIT (made by csi_utils)", "redistribution": "yes", "citation": "this collection",
        "caveats": ["simulated: numbers say what the method does to this model of a room, not to a real one",
                    "xy is NaN in recordings of the empty room; broken marks packets that the simulator spoilt",
                    "what changed in each session: " + "; ".join(
                        f"{session}: {', '.join(causes) or 'nothing'}" for session, causes in sessions.items())],
    }
    return {"arrays": arrays, "axes": axes, "groups": ("session", "recording", "point"), "card": card,
            "honest_split": "train on the reference points of the survey, test on points off the grid in another "
                            "session; the packets of one recording are near copies of each other"}


def _session(site, causes, marks, point_xy, packets, snr_db, outliers, revisit, rng):
    """csi (packet, link, K, rx, tx), xy (packet, 2) and broken (packet, link) of one session."""
    room, f = changed_room(site, causes), channel.frequencies(FC)
    people = marks >= 0
    spot = point_xy[marks[people]] + revisit * rng.standard_normal((people.sum(), 2))
    xy = np.repeat(spot, packets, 0) + SWAY * rng.standard_normal((people.sum() * packets, 2))
    t = np.arange(len(marks) * packets) / RATE
    nobody = np.full(((~people).sum() * packets, 2), np.nan)
    csi, broken = [], []
    for link in site.links:
        h = channel.simulate(room, link, f, [channel.Person(xy)])
        still = channel.simulate(room, link, f)
        h = np.concatenate([h, np.repeat(still, len(nobody), 0)])
        drift = SLOW_DRIFT * rng.standard_normal((len(marks), link.n_rx))
        h *= 10 ** (np.repeat(drift, packets, 0) / 20).astype(np.float32)[:, None, :, None]
        day = DAY_DRIFT * rng.standard_normal(3) * ("gain drift" in causes)
        card = hardware.Card(gain_db=tuple(day), phase=tuple(rng.uniform(-np.pi, np.pi, 3)),
                             outliers=outliers)
        if snr_db is not None:
            card = replace(card, noise_dbm=card.noise_dbm + hardware.snr_db(still, card) - snr_db)
        report = hardware.record(h, card, channel.SUBCARRIERS[20e6], t, rng)
        csi.append(hardware.scaled(report, card.noise_dbm))
        broken.append(report.broken)
    return np.stack(csi, 1), np.concatenate([xy, nobody]), np.stack(broken, 1)
