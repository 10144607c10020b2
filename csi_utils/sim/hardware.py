"""What the radio adds to the channel: an Intel 5300 as the Linux CSI tool reports it.

Noise, gains and phases of the chains, carrier and sampling offsets, automatic gain control, 8-bit rounding and
the odd broken packet. `record` makes the raw report; `scaled` undoes the gain as the CSI tool's own script does.
First explained in notebooks/01_svm_fingerprinting, section 3.
"""

from dataclasses import dataclass

import numpy as np

FFT_SIZE = 64  # at 20 MHz; the sampling offset is measured in samples of this transform
NOISE_FLOOR_DBM = -92.0
_TX_FACTOR = {1: 1.0, 2: np.sqrt(2), 3: np.sqrt(10**0.45)}  # Intel sends 4.5 dB, not 4.77, for three chains


@dataclass(frozen=True)
class Card:
    """A receiver and the transmitter it listens to. Every effect can be switched off by its zero.

    tx_power_dbm, noise_dbm: powers over the band; gain_db, phase: per receive chain, (n_rx,) dB and rad;
    sto: standard deviation of the symbol timing offset, samples; cfo: carrier frequency offset, Hz; sfo: sampling
    frequency offset, parts per million; agc_step_db: gain steps; counts: rms of the rounded values (about six bits
    of the eight are used; 0 switches rounding off); outliers: fraction of packets with one broken chain.
    """

    tx_power_dbm: float = 15.0
    noise_dbm: float = NOISE_FLOOR_DBM
    gain_db: tuple = (0.0, 0.0, 0.0)
    phase: tuple = (0.0, 0.0, 0.0)
    sto: float = 1.0
    cfo: float = 80e3
    sfo: float = 5.0
    agc_step_db: int = 1
    counts: float = 20.0
    outliers: float = 0.01

    def __post_init__(self):
        for name in ("sto", "agc_step_db", "counts"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)!r}")
        if not 0 <= self.outliers <= 1:
            raise ValueError(f"outliers must be a fraction between 0 and 1, got {self.outliers!r}")
        if len(self.gain_db) != 3 or len(self.phase) != 3:
            raise ValueError(f"gain_db and phase must have one entry for each of three chains, "
                             f"got {self.gain_db!r} and {self.phase!r}")


@dataclass(frozen=True)
class Report:
    """What the CSI tool writes. csi: complex64 (packet, subcarrier, rx, tx), whole numbers; rssi: (packet, rx) in dB
    over the AGC's reference; agc: (packet,) in dB; broken: (packet,) bool, known only because this is simulated."""

    csi: np.ndarray
    rssi: np.ndarray
    agc: np.ndarray
    broken: np.ndarray


def record(channel, card, subcarriers, t, rng):
    """Pass a channel through a card.

    channel: complex (packet, subcarrier, rx, tx), power gain |.|^2 as channel.simulate returns; subcarriers: their
    signed indices; t: (packet,) in s; rng: numpy Generator. Returns Report.
    Phase model: Eq. (9) of the physics card, -2 pi k delta / 64 + beta, the same for all chains of a packet.
    Raises ValueError when the shapes do not fit.
    """
    packets, n_sub, n_rx, n_tx = np.shape(channel)
    if np.shape(t) != (packets,) or np.shape(subcarriers) != (n_sub,):
        raise ValueError(f"t and subcarriers must have shapes {(packets,)} and {(n_sub,)} to fit the channel, "
                         f"got {np.shape(t)} and {np.shape(subcarriers)}")
    chain = 10 ** (np.array(card.gain_db[:n_rx]) / 20) * np.exp(1j * np.array(card.phase[:n_rx]))
    # in sqrt(mW); the power is shared by the transmit chains
    h = channel * (10 ** (card.tx_power_dbm / 20) / _TX_FACTOR[n_tx] * chain[:, None]).astype(np.complex64)
    h = h + _noise(h.shape, 10 ** (card.noise_dbm / 10), rng)

    # The clock slips by sfo * 20 MHz samples a second; the receiver follows it in whole samples.
    slip = card.sfo * 1e-6 * 20e6 * (np.asarray(t) - t[0]) % 1.0
    delta = card.sto * rng.standard_normal(packets) + slip
    beta = 2 * np.pi * card.cfo * np.asarray(t) + rng.uniform(-np.pi, np.pi, packets) * (card.cfo != 0)
    turn = np.exp(1j * (beta[:, None] - 2 * np.pi * delta[:, None] * subcarriers / FFT_SIZE))
    h *= turn[..., None, None].astype(np.complex64)

    broken = rng.random(packets) < card.outliers
    rows = np.flatnonzero(broken)  # impulsive interference during the channel estimate of one chain
    hit = rng.integers(n_rx, size=len(rows))
    level = np.sqrt((np.abs(h[rows, :, hit]) ** 2).mean((1, 2), keepdims=True))
    h[rows, :, hit] += 2 * level * _noise((len(rows), n_sub, n_tx), 1.0, rng)

    power = (np.abs(h) ** 2).mean(1).sum(-1)  # (packet, rx), mW
    total_dbm = 10 * np.log10(power.sum(1))
    # Eq. (2) of csi-classics: power = sum of rssi - 44 - agc. The AGC brings the sum to about 33 dB.
    agc = 33.0 - 44.0 - total_dbm
    if card.agc_step_db:
        agc = card.agc_step_db * np.round(agc / card.agc_step_db)
    rssi = 10 * np.log10(power) + 44.0 + agc[:, None]
    if card.counts:
        # The gain ahead of the converter moves in those steps too, so the rounded values fill it unevenly.
        rms = np.sqrt(power.sum(1) / n_rx / n_tx)
        target = card.counts * 10 ** ((total_dbm + 44 + agc - 33) / 20)
        h *= (target / rms).astype(np.float32)[:, None, None, None]
        h = np.clip(np.rint(h.real), -128, 127) + 1j * np.clip(np.rint(h.imag), -128, 127)
        rssi = np.rint(rssi)
    return Report(h.astype(np.complex64), rssi, agc, broken)


def snr_db(channel, card):
    """Signal-to-noise ratio of one entry (subcarrier, rx, tx) of the channel estimate, in dB: mean power over entries
    and packets, after the transmit power is shared by the chains, over the power of the noise in an entry.

    channel: as for `record`. The unit of `scaled` is another: it undoes the sharing and counts rounding as noise.
    """
    power = (np.abs(channel) ** 2).mean()
    shared = 20 * np.log10(_TX_FACTOR[np.shape(channel)[-1]])
    return float(10 * np.log10(power) + card.tx_power_dbm - shared - card.noise_dbm)


def scaled(report, noise_dbm=NOISE_FLOOR_DBM):
    """Report -> CSI in units of sqrt(SNR), complex64 (packet, subcarrier, rx, tx).

    Eq. (3) of the csi-classics card, after the CSI tool's get_scaled_csi: the total power comes from the rounded
    rssi, and the error of rounding counts as noise.
    """
    n_rx, n_tx = report.csi.shape[2:]
    mean_square = (np.abs(report.csi) ** 2).mean(1).sum((1, 2))
    if not (mean_square > 0).all():
        raise ValueError(f"report.csi holds packets that are all zero: {np.flatnonzero(mean_square <= 0)[:5].tolist()}")
    dbm = 10 * np.log10((10 ** (report.rssi / 10)).sum(1)) - 44 - report.agc
    s = 10 ** (dbm / 10) / mean_square
    noise = 10 ** (noise_dbm / 10) + s * n_rx * n_tx
    return report.csi * (np.sqrt(s / noise) * _TX_FACTOR[n_tx]).astype(np.float32)[:, None, None, None]


def _noise(shape, power, rng):
    """Complex Gaussian noise of a mean power, complex64."""
    parts = rng.standard_normal((2, *shape), dtype=np.float32)
    return (parts[0] + 1j * parts[1]) * np.float32(np.sqrt(power / 2))
