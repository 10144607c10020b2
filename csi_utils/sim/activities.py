"""The simulated set `sim-activities`: six activities of several people in two rooms, limbs and all.

Called through csi_utils.datasets.load("sim-activities"). A person is a round trunk of muscle, whose
height follows the posture, and four scatterers that move: two hands, two feet. Positions are known for every packet, so
a Doppler picture can be laid over the true speed. Lengths, speeds and radar cross-sections are our choice; a man's was
measured as 0.14 to 1.05 m^2 at 2.89 GHz (Schultz et al., Proc. IRE 46, 1958).
First explained in notebooks/03_bilstm_transfer, section 3.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import channel, hardware
from .fingerprints import FC, SITES

RATE = 50.0  # packets a second: Doppler shifts up to 25 Hz are seen unaliased
ACTIVITIES = ("stand still", "walk", "wave", "squat", "sit down", "fall")
SCENES = {"laboratory": "sim-lab", "meeting room": "sim-meeting"}
LIMBS = ("torso", "left hand", "right hand", "left foot", "right foot")
SHARE = (0.12, 0.12, 0.15, 0.15)  # radar cross-section of hands and feet, relative to the body's rcs
HEAD = 0.6  # m, from the middle of the torso to the top of the head
REST = np.array([[0, 0, 1.15], [0, 0.25, 0.85], [0, -0.25, 0.85], [0, 0.12, 0.1], [0, -0.12, 0.1]])  # m; x is ahead
MARK, JITTER = 0.6, 0.12  # m, standard deviation: a person's place in a scene, and a trial's place around it
SESSION_DRIFT = 0.5  # dB, gain of each receive chain from one person's visit to the next


@dataclass(frozen=True)
class Body:
    """A subject. size: factor on lengths (1 is 1.75 m tall); speed: factor on the pace; rcs: m^2, of which the limbs
    have a SHARE; handed: -1 waves with the right hand, 1 with the left."""

    size: float
    speed: float
    rcs: float
    handed: int


def body(subject, seed=0):
    """Subject number `subject` of the population `seed`."""
    rng = np.random.default_rng([seed, 10, subject])
    return Body(rng.uniform(0.88, 1.1), rng.uniform(0.8, 1.25), rng.uniform(0.4, 0.9), int(rng.choice((-1, 1))))


def _step(t, start, duration):
    """0 before start, 1 after start + duration, smooth between."""
    u = np.clip((t - start) / duration, 0, 1)
    return u * u * (3 - 2 * u)


def motion(activity, t, who, rng):
    """Positions (packet, 5, 3), in m, of LIMBS for one sample, in the person's frame: x ahead, y left, z up.

    activity: name out of ACTIVITIES; t: (packet,) in s from the start of the sample; who: Body; rng: numpy Generator
    (start, pace and reach of this trial). Raises ValueError for an unknown activity.
    """
    if activity not in ACTIVITIES:
        raise ValueError(f"activity must be one of {', '.join(ACTIVITIES)}; got {activity!r}")
    xyz = np.repeat(REST[None], len(t), 0)
    pace, phase = who.speed * rng.uniform(0.9, 1.1), rng.uniform(0, 2 * np.pi)
    start = rng.uniform(0.2, 0.5) * t[-1]
    hand = 1 if who.handed > 0 else 2
    if activity == "walk":  # to and fro over 2.4 m with the mark in the middle; hands and feet swing
        way = 2.4 / np.pi * np.arcsin(0.97 * np.sin(np.pi * 1.1 * pace / 2.4 * t + phase))
        swing = np.sin(2 * np.pi * 0.9 * pace * t + phase)
        xyz[:, :, 0] += way[:, None] + swing[:, None] * np.array([0, 0.25, -0.25, -0.3, 0.3])
        xyz[:, 3:, 2] += 0.08 * (1 + np.cos(2 * np.pi * 0.9 * pace * t[:, None] + phase + np.array([0, np.pi])))
    elif activity == "wave":
        turn = np.sin(2 * np.pi * 1.3 * pace * t + phase) * rng.uniform(0.8, 1.1)
        xyz[:, hand] = np.stack([np.full(len(t), 0.25), who.handed * (0.35 + 0.3 * turn), 1.7 - 0.15 * turn**2], -1)
    elif activity == "squat":
        down = 0.5 * (1 - np.cos(2 * np.pi * 0.45 * pace * t + phase))
        xyz[:, :3, 2] -= down[:, None] * np.array([0.45, 0.2, 0.2])
        xyz[:, 1:3, 0] += 0.5 * down[:, None]
    elif activity == "sit down":
        down = _step(t, start, 1.0 / pace)
        xyz[:, :3, 2] -= 0.42 * down[:, None]
        xyz[:, :3, 0] -= 0.25 * down[:, None]
        xyz[:, 1:3, 0] += 0.3 * down[:, None]
    elif activity == "fall":
        u = np.clip((t - start) / (0.65 / pace), 0, 1) ** 2  # faster and faster, then the floor
        xyz[:, :3, 2] -= u[:, None] * (REST[:3, 2] - 0.18)
        xyz[:, :3, 0] += u[:, None] * np.array([0.85, 1.1, 1.1])
        xyz[:, 3:, 0] -= 0.15 * u[:, None]
    xyz[:, 0, 0] += 0.004 * np.sin(2 * np.pi * 0.25 * t + phase)  # breathing
    xyz *= who.size
    sway = np.cumsum(rng.standard_normal((len(t), 1, 2)), 0) * (0.01 / np.sqrt(len(t)))
    xyz[:, :, :2] += sway
    return xyz


def build(name, subjects=4, trials=10, packets=200, seed=0, scenes=tuple(SCENES), outliers=0.0):
    """Arrays of sim-activities; see datasets.load for how they are named.

    subjects, trials: people, and samples of each (scene, subject, activity); packets: of a sample, RATE a second;
    seed: of everything random; scenes: names out of SCENES; outliers: fraction of broken packets.
    The samples of "stand still" are consecutive cuts of one recording; every other sample starts anew.
    Raises ValueError for another name, unknown scenes and numbers that are too small.
    """
    if name != "sim-activities":
        raise ValueError(f"name must be sim-activities; got {name!r}")
    if not scenes or set(scenes) - set(SCENES):
        raise ValueError(f"scenes must be out of {', '.join(SCENES)}; got {scenes!r}")
    for option, value, least in (("subjects", subjects, 1), ("trials", trials, 1), ("packets", packets, 50)):
        if not (isinstance(value, int | np.integer) and value >= least):
            raise ValueError(f"{option} must be a whole number >= {least}, got {value!r}")
    visits = [(s, p) for s in range(len(scenes)) for p in range(subjects)]
    parts = [_visit(scenes[s], p, trials, packets, seed, outliers) for s, p in visits]
    samples = len(ACTIVITIES) * trials
    one = np.arange(samples)
    arrays = {
        "csi": np.concatenate([part[0] for part in parts]),
        "limbs": np.concatenate([part[1] for part in parts]),
        "activity": np.tile(one // trials, len(visits)),
        "scene": np.repeat([s for s, _ in visits], samples),
        "subject": np.repeat([p for _, p in visits], samples),
        "trial": np.tile(one % trials, len(visits)),
        "activity_names": np.array(ACTIVITIES), "scene_names": np.array(scenes), "limb_names": np.array(LIMBS),
        "fs": np.float32(RATE), "subcarrier_index": channel.SUBCARRIERS[20e6],
    }
    axes = {key: ("sample",) for key in ("activity", "scene", "subject", "trial")}
    axes |= {"csi": ("sample", "packet", "subcarrier", "rx", "tx"), "limbs": ("sample", "packet", "limb", "xyz"),
             "activity_names": ("activity",), "scene_names": ("scene",), "limb_names": ("limb",), "fs": (),
             "subcarrier_index": ("subcarrier",)}
    card = {
        "title": "Simulated activities of several people in two rooms",
        "task": "recognition of human activities, across trials, people and scenes",
        "hardware": f"simulated Intel 5300 at {FC / 1e9} GHz, 20 MHz, one link of 1 TX x 3 RX x 30, {RATE:g} packets a "
                    "second; csi in units of sqrt(SNR) by csi_utils.sim.hardware.scaled",
        "licence": "MIT (made by csi_utils)", "redistribution": "yes", "citation": "this collection",
        "caveats": ["simulated: a round trunk and four moving points are a simple person",
                    "the samples of \"stand still\" are consecutive cuts of one recording: a random split leaks"],
    }
    return {"arrays": arrays, "axes": axes, "groups": ("scene", "subject"), "card": card,
            "honest_split": "leave a subject out, or train in one scene and test in the other; inside a scene and "
                            "subject, later trials are the test"}


def _visit(scene, subject, trials, packets, seed, outliers):
    """One person in one scene: csi (sample, packet, K, rx, tx) and limbs (sample, packet, 5, 3) in m."""
    site, who = SITES[SCENES[scene]], body(subject, seed)
    link = replace(site.links[0], n_tx=1)
    rng = np.random.default_rng([seed, 11, list(SCENES).index(scene), subject])
    middle = (np.array(link.tx[:2]) + link.rx[:2]) / 2
    limit = np.array(site.room.size[:2])
    mark = middle + np.clip(MARK * rng.standard_normal(2), -0.9, 0.9) + (0, 0.5)
    facing = rng.uniform(0, 2 * np.pi)
    t = np.arange(packets) / RATE
    limbs = []
    for activity in ACTIVITIES:
        long = np.arange(trials * packets) / RATE
        cuts = motion(activity, long, who, rng).reshape(trials, packets, 5, 3) if activity == "stand still" else None
        for trial in range(trials):
            if cuts is None or trial == 0:  # in consecutive cuts of one recording the person stays in place
                place, angle = mark + JITTER * rng.standard_normal(2), facing + 0.25 * rng.standard_normal()
            xyz = motion(activity, t, who, rng) if cuts is None else cuts[trial]
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            xyz = np.concatenate([xyz[..., :2] @ turn + place, xyz[..., 2:]], -1)
            xyz[..., :2] = np.clip(xyz[..., :2], 0.2, limit - 0.2)
            limbs.append(xyz)
    limbs = np.stack(limbs)
    points = limbs.reshape(-1, 5, 3)
    bodies = [channel.Person(points[:, 0, :2], 0.2 * who.size, points[:, 0, 2] + HEAD * who.size)]
    bodies += [channel.Scatterer(points[:, i], who.rcs * SHARE[i - 1]) for i in range(1, 5)]
    h = channel.simulate(site.room, link, channel.frequencies(FC), bodies)
    drift = SESSION_DRIFT * rng.standard_normal(3)
    card = hardware.Card(gain_db=tuple(drift), phase=tuple(rng.uniform(-np.pi, np.pi, 3)), outliers=outliers)
    report = hardware.record(h, card, channel.SUBCARRIERS[20e6], np.arange(len(h)) / RATE, rng)
    csi = hardware.scaled(report, card.noise_dbm).reshape(*limbs.shape[:2], *h.shape[1:])
    return csi, limbs.astype(np.float32)
