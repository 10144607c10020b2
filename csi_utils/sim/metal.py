"""The simulated set `sim-metal`: people with and without a plate of metal or water, standing in a lane or walking.

Called through csi_utils.datasets.load("sim-metal", scene="lane") and scene="walk". Metal gets no bonus: every contrast
comes from `echoes` (a strip of metal by moments, bottles and bodies by series, an object at a body in the field that
the body leaves there). Clothes are left out: two millimetres of cloth are a fiftieth of a wavelength. Sizes, rooms and
people are our choice, but where the papers' cards name a number; section 8 of notebook 08 says what was changed after a
first look. First explained in notebooks/08_wi_metal, sections 3 and 5.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import channel, hardware

HALL = channel.Room((6.0, 8.0, 3.0), {face: channel.Wall("concrete", 0.2) for face in channel.FACES})
HEIGHT = 1.1  # m, of the antennas
SWAY = 0.01  # m, standard deviation of a person who stands still; an object on a stand does not sway
REVISIT = 0.03  # m, how well somebody, or a stand, comes back to the same mark
DRIFT = 0.1  # dB, gain of each receive chain from one recording to the next
GAP = 0.01  # m, between the body and an object under the clothes
HAND = (0.4, 0.0)  # m, from the middle of the body to an object in the hand: towards the receiver, ahead
RATE = {"lane": 20.0, "walk": 100.0}  # packets a second
FC = {"lane": 2.437e9, "walk": 5.32e9}  # Hz
CARRY = ("concealed", "exposed", "standing")
STEP = 0.4  # m before the line between TX and RX, where a "standing" person stops
FRAMES = 120  # the middle frames of a walk, 1.2 s
ORDER = 1  # most reflections of a path, for speed; what a second one would change was not measured
_HALF = channel.SPEED_OF_LIGHT / 2


@dataclass(frozen=True)
class Thing:
    """An upright object: flat when of metal, else round. material: of `materials`; width (horizontal) and height in
    m; turn: angle of a flat one's normal off the direction in which the carrier looks, in rad."""

    material: str
    width: float
    height: float
    turn: float = 0.0


LANE = channel.Link((2.5, 1.0, HEIGHT), (3.5, 1.0, HEIGHT), n_tx=1, n_rx=3, spacing=_HALF / FC["lane"])
DOOR = channel.Link((1.0, 4.0, HEIGHT), (5.0, 4.0, HEIGHT), n_tx=3, n_rx=3, spacing=_HALF / FC["walk"])
LANE_OBJECTS = {"nothing": None, "metal": Thing("metal", 0.30, 0.20)}
# A knife of 22.5 cm and a bottle of 540 ml, both of the concealed-objects paper's list; widths are ours.
WALK_OBJECTS = {"nothing": None, "metal": Thing("metal", 0.035, 0.225), "water": Thing("water", 0.07, 0.20)}


def people(n, rng, scale=1.0):
    """n people (list of dicts for channel.Person): radius and height in m; scale: factor on both (a child, a giant)."""
    sizes = zip(rng.uniform(0.16, 0.24, n), rng.uniform(1.55, 1.90, n), strict=True)
    return [{"radius": scale * radius, "height": scale * height} for radius, height in sizes]


def build(name, scene="lane", **options):
    """Arrays of sim-metal; see datasets.load for how they are named.

    scene: "lane" (options of `lane`) or "walk" (options of `walk`). Raises ValueError for unknown names, and for
    numbers that make no sense.
    """
    if name != "sim-metal":
        raise ValueError(f"name must be sim-metal; got {name!r}")
    if scene not in FC:
        raise ValueError(f"scene must be one of {', '.join(FC)}; got {scene!r}")
    arrays, axes, told = (lane if scene == "lane" else walk)(**options)
    n = len(arrays["csi"])
    arrays["t"] = np.arange(n) / RATE[scene] * (options.get("stride", 1) if scene == "walk" else 1)
    arrays["subcarrier_index"] = channel.SUBCARRIERS[20e6]
    axes = dict.fromkeys(arrays, ("packet",)) | axes | {
        "csi": ("packet", "subcarrier", "rx", "tx"), "object_names": ("object",), "subcarrier_index": ("subcarrier",)}
    card = {
        "title": f"Simulated checkpoint: {'standing before' if scene == 'lane' else 'walking through'} a link, "
                 "with or without an object",
        "task": "does this person, or this stand, carry an object (metal, water)?",
        "hardware": f"simulated Intel 5300 at {FC[scene] / 1e9} GHz, 20 MHz, {arrays['csi'].shape[3]} TX x 3 RX x 30; "
                    "csi in units of sqrt(SNR) by csi_utils.sim.hardware.scaled",
        "licence": "MIT (made by csi_utils)", "redistribution": "yes", "citation": "this collection",
        "caveats": ["simulated: bodies are round and smooth, metal is a strip, a bottle a rod, and none wears clothes",
                    "an object acts on the straight way only, not on what comes off the walls", told],
    }
    return {"arrays": arrays, "axes": axes, "groups": ("recording", "person"), "card": card,
            "honest_split": "keep a recording (a walk) on one side, better a person; packets of one are near copies"}


def lane(objects=None, distances=(1.0, 1.5, 2.0, 2.5, 3.0), recordings=8, packets=20, person=True, n_people=8,
         revisit=REVISIT, gap=GAP, drift_db=DRIFT, size=1.0, card=None, seed=0):
    """A person, or a stand, 1 to 3 m before TX and RX that stand side by side: arrays, axes, a caveat.

    objects: name -> Thing or None; every object is shown at every distance (m), by the same people. recordings: of
    each object at each distance; packets: in a recording; person: False puts the object on a stand (None: the empty
    lane); n_people: how many take turns; revisit: m, standard deviation; gap: m, between body and object; drift_db: of
    each chain and recording; size: factor on the people's width and height; card: a hardware.Card; seed: of everything
    random. Raises ValueError.
    """
    objects = dict(LANE_OBJECTS if objects is None else objects)
    _check(objects, recordings=recordings, packets=packets, n_people=n_people)
    distances = np.atleast_1d(np.asarray(distances, float))
    if not (distances.size and (distances > 0.5).all() and (distances < 6.5).all()):
        raise ValueError(f"distances must lie between 0.5 and 6.5 m, got {distances.tolist()}")
    if not (revisit >= 0 and drift_db >= 0 and gap >= 0):
        raise ValueError(f"revisit, drift_db and gap must be >= 0, got {revisit!r}, {drift_db!r} and {gap!r}")
    rng = np.random.default_rng([seed, 80])
    crowd = people(n_people, rng, size) if person else [None]
    # one row a recording: which object, at which distance, by whom
    cells = np.array([(o, d) for o in range(len(objects)) for d in range(len(distances)) for _ in range(recordings)])
    who = np.tile(np.arange(recordings) % len(crowd), len(objects) * len(distances))
    middle = np.array([3.0, 1.0]) + np.stack([np.zeros(len(cells)), distances[cells[:, 1]]], 1)
    mark = middle + revisit * rng.standard_normal(middle.shape)
    xy = np.repeat(mark, packets, 0) + SWAY * bool(person) * rng.standard_normal((len(mark) * packets, 2))
    row, f = np.repeat(np.arange(len(cells)), packets), channel.frequencies(FC["lane"])
    h = np.empty((len(row), len(f), 3, 1), np.complex64)
    for o, thing in enumerate(objects.values()):
        for p, body in enumerate(crowd):
            here = (cells[row, 0] == o) & (who[row] == p)
            if here.any():
                bodies = _bodies(xy[here], body, thing, (0.0, -1.0), -np.pi / 2, gap)
                h[here] = channel.simulate(HALL, LANE, f, bodies, ORDER)
    csi, gain = _receive(h, row, RATE["lane"], drift_db, card, rng)
    arrays = {"csi": csi, "gain": gain, "object": cells[row, 0], "distance": distances[cells[row, 1]], "xy": xy,
              "recording": row, "person": who[row] if person else np.full(len(row), -1),
              "object_names": np.array(list(objects))}
    told = f"{'people' if person else 'a stand'}, back on each mark within {100 * revisit:g} cm"
    return arrays, {"xy": ("packet", "xy")}, told


def walk(carry="concealed", objects=None, walks=60, frames=FRAMES, stride=1, n_people=12, gap=GAP, hand=HAND,
         drift_db=DRIFT, size=1.0, card=None, seed=0):
    """Walks through the link, TX and RX on opposite sides: arrays, axes, a caveat.

    carry: "concealed" (before the belly, gap off the body), "exposed" (in a hand, at `hand` from the middle of the
    body: towards the receiver, ahead, in m), "standing" (as concealed, stopped STEP before the line); objects: name ->
    Thing or None; walks: of each object; frames: packets of a walk at 100 Hz, the middle ones; stride: record only
    every so many of them; n_people: who take turns; gap, drift_db, size, card, seed: as for `lane`. Raises ValueError.
    """
    objects = dict(WALK_OBJECTS if objects is None else objects)
    _check(objects, walks=walks, frames=frames, stride=stride, n_people=n_people)
    if carry not in CARRY:
        raise ValueError(f"carry must be one of {', '.join(CARRY)}; got {carry!r}")
    rng = np.random.default_rng([seed, 81])
    crowd, f, n = people(n_people, rng, size), channel.frequencies(FC["walk"]), len(objects) * walks
    label, who = np.repeat(np.arange(len(objects)), walks), np.tile(np.arange(walks) % n_people, len(objects))
    time = (np.arange(0, frames, stride) - (frames - 1) / 2) / RATE["walk"]
    frames = len(time)
    speed = rng.uniform(0.9, 1.4, n) * (carry != "standing")
    start = np.array([3.0, 4.0 - STEP * (carry == "standing")]) + [0.3, 0.1] * rng.standard_normal((n, 2))
    turn = np.deg2rad(10) * rng.standard_normal((len(objects), n_people))  # how each of them happens to hold it
    # the trunk swings by 2 cm at the pace of the steps (0.7 m each)
    swing = 0.02 * np.sin(2 * np.pi * speed[:, None] / 0.7 * time + rng.uniform(0, 2 * np.pi, (n, 1)))
    xy = start[:, None] + np.stack([swing, speed[:, None] * time], -1)
    xy += SWAY * (carry == "standing") * rng.standard_normal(xy.shape)
    if not (np.shape(hand) == (2,) and 0.3 <= np.linalg.norm(hand) < channel.BESIDE):
        raise ValueError(f"hand must be two numbers (m), between 0.3 and {channel.BESIDE} m from the body's axis, "
                         f"got {hand!r}")
    h = np.empty((n, frames, len(f), 3, 3), np.complex64)
    for o, thing in enumerate(objects.values()):
        for p, body in enumerate(crowd):
            here = np.flatnonzero((label == o) & (who == p))
            if len(here):
                held = thing and replace(thing, turn=thing.turn + turn[o, p])
                bodies = _bodies(xy[here].reshape(-1, 2), body, held, (0.0, 1.0), np.pi / 2, gap,
                                 hand if carry == "exposed" else None)
                seen = channel.simulate(HALL, DOOR, f, bodies, ORDER)
                h[here] = seen.reshape(len(here), *h.shape[1:])
    row = np.repeat(np.arange(n), frames)
    csi, gain = _receive(h.reshape(-1, *h.shape[2:]), row, RATE["walk"] / stride, drift_db, card, rng)
    arrays = {"csi": csi, "gain": gain, "object": label[row], "frame": np.tile(np.arange(frames) * stride, n),
              "xy": xy.reshape(-1, 2), "recording": row, "person": who[row], "object_names": np.array(list(objects))}
    return arrays, {"xy": ("packet", "xy")}, f"{carry}; the limbs do not move, the body is one round trunk"


def by_recording(values, data):
    """Median over the packets of each recording: (packet, ...) -> float64 (recording, the rest in one axis).

    data: what datasets.load("sim-metal") returns; its recordings are equally long and stand in order. The median
    leaves broken packets out. Raises ValueError when values do not have one row a packet.
    """
    values, n = np.asarray(values), data["recording"][-1] + 1
    if len(values) != len(data["recording"]):
        raise ValueError(f"values must have one row a packet ({len(data['recording'])}), got {len(values)}")
    return np.median(values.reshape(n, len(values) // n, -1), 1).astype(float)


def per_recording(data):
    """What all packets of a recording share: dict of object, person and, in the lane, distance, each (recording,)."""
    first = np.unique(data["recording"], return_index=True)[1]
    names = ("object", "person", "distance") if "distance" in getattr(data, "arrays", data) else ("object", "person")
    return {name: data[name][first] for name in names}


def _check(objects, **counts):
    for key, thing in objects.items():
        if thing is not None and not isinstance(thing, Thing):
            raise ValueError(f"objects must map a name to a metal.Thing or None, got {thing!r} for {key!r}")
    if not objects:
        raise ValueError("objects must name at least one object, got none")
    for key, value in counts.items():
        if not (isinstance(value, int | np.integer) and value >= 1):
            raise ValueError(f"{key} must be an integer >= 1, got {value!r}")


def _bodies(xy, body, thing, side, normal, gap, hand=None):
    """The bodies of a group of packets: a person, an object at the height of the antennas at their side, or nobody.

    side: unit vector from the person to the object, which is gap (m) off the body, or at hand (2,) from its middle.
    """
    found = [channel.Person(xy, **body)] if body else []
    if thing is not None:
        depth = 0.0 if thing.material == "metal" else thing.width / 2
        reach = body["radius"] + gap + depth if body else 0.0
        offset = reach * np.asarray(side) if hand is None else np.asarray(hand)
        centre = np.column_stack([xy + offset, np.full(len(xy), HEIGHT)])
        if thing.material == "metal":
            found.append(channel.Plate(centre, thing.width, thing.height, normal + thing.turn))
        else:
            found.append(channel.Cylinder(centre, thing.width / 2, thing.height, thing.material))
    return found


def _receive(h, row, rate, drift_db, card, rng):
    """Through the card: csi in sqrt(SNR) (packet, 30, rx, tx), and the factor by which it exceeds the raw counts."""
    drift = drift_db * rng.standard_normal((row[-1] + 1, h.shape[2]))
    h *= 10 ** (drift[row] / 20).astype(np.float32)[:, None, :, None]
    phase = tuple(rng.uniform(-np.pi, np.pi, 3))
    card = replace(card or hardware.Card(), phase=phase)
    report = hardware.record(h, card, channel.SUBCARRIERS[20e6], np.arange(len(h)) / rate, rng)
    csi = hardware.scaled(report, card.noise_dbm)
    gain = np.sqrt((np.abs(csi) ** 2).sum((1, 2, 3)) / (np.abs(report.csi) ** 2).sum((1, 2, 3)))
    return csi, gain.astype(np.float32)
