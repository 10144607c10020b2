"""From capture files to a person's own .npz: what is read, labelled, said, checked, drawn and written, or nothing."""

import numpy as np
import pytest
from capture_files import NUMBERS, espressif, newer, nexmon_frame, pcap, tool
from PIL import Image
from real_data import MIRROR, needs

from csi_papers import __main__ as csi_papers
from csi_utils import datasets
from csi_utils.files import importing, packets


def log(path, packets_=5, line=tool, n=128, step=1000, **more):
    path.write_text("\n".join(line(NUMBERS[k:n + k], clock=step * k, **more) for k in range(packets_)))
    return path


@pytest.fixture
def folder(tmp_path):
    """Three logs of an ESP32 in a folder, as a new user has them, and a file that is none."""
    here = tmp_path / "logs"
    here.mkdir()
    for k, name in enumerate(("empty", "sitting", "walking")):
        log(here / f"{name}.csv", 20 + k)
    (here / "notes.txt").write_text("recorded on Sunday")
    return here


def imported(*args, **options):
    said = []
    path = importing.import_files(*args, say=said.append, **options)
    return path, "\n".join(said)


def test_a_folder_a_template_and_the_filled_in_table(folder, tmp_path):
    table, to = tmp_path / "labels.csv", tmp_path / "my.npz"
    path, said = imported([folder], to, table=table)
    assert path == table and not to.exists() and "give the same command again" in said
    assert "passed over 1 files that are no captures: notes.txt" in said
    assert table.read_text().splitlines() == ["file,session,activity,location,x,y", "logs/empty.csv,,,,,",
                                              "logs/sitting.csv,,,,,", "logs/walking.csv,,,,,"]
    table.write_text("file,session,activity,location,x,y\nlogs/empty.csv,1,empty,,,\nlogs/sitting.csv,1,sitting,,,\n"
                     "logs/walking.csv,2,walking,,,\n")
    path, said = imported([folder], to, table=table)
    ds = datasets.load(to)
    assert path == to and ds["csi"].shape == (63, 51, 1, 1) and ds.groups == ("session", "recording")
    assert ds["activity"].tolist() == ["empty"] * 20 + ["sitting"] * 21 + ["walking"] * 22
    assert ds["recording"].tolist() == ["empty"] * 20 + ["sitting"] * 21 + ["walking"] * 22
    assert ds["session"].tolist() == [1] * 41 + [2] * 22 and ds["rssi"].tolist() == [-52] * 63
    np.testing.assert_allclose(ds["t"][:22], [*np.arange(20) * 1e-3, 0, 1e-3])
    assert "13 of 64 subcarriers carry nothing of use and were left out (-32..-27, 0..1, 27..31)" in said
    assert Image.open(tmp_path / "my.png").size[0] > 1000


@pytest.mark.parametrize("text", [
    "file;session;x;y\nempty.csv;a;1.5;2\nwalking.csv;b;3;4.25\n",
    "\ufefffile\tsession\txy\nempty.csv\ta\t1.5,2\nwalking.csv\tb\t3 4.25\n"])
def test_tables_of_spreadsheets(folder, tmp_path, text):
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    path, said = imported([folder], tmp_path / "my.npz", table=folder / "labels.csv")
    ds = datasets.load(path)
    assert np.unique(ds["xy"], axis=0).tolist() == [[1.5, 2], [3, 4.25]] and set(ds["session"]) == {"a", "b"}
    assert "does not name sitting.csv: left out" in said


def test_a_table_without_a_label_and_a_name_with_spaces_and_commas(folder, tmp_path):
    (folder / "empty.csv").rename(folder / "a b, c.csv")
    (tmp_path / "labels.csv").write_text('file\n"a b, c.csv"\n')
    path, said = imported([folder], tmp_path / "my.npz", table=tmp_path / "labels.csv")
    assert set(datasets.load(path)["recording"]) == {"a b, c"} and "there is nothing to predict yet" in said
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"labels\.csv: not readable as a table"):
        imported([folder], tmp_path / "other.npz", table=tmp_path / "labels.csv")


def test_labels_of_all_files(folder, tmp_path):
    labels = {"session": "home", "location": "kitchen"}
    path, said = imported([folder / "empty.csv"], tmp_path / "my.npz", labels=labels)
    ds = datasets.load(path)
    assert set(ds["session"]) == {"home"} and set(ds["location"]) == {0}
    # Not as point: equal points stay on one side of a split, and no place would ever be on both.
    assert ds.groups == ("session", "recording")
    assert "location: 0 is kitchen; keep this line" in said and "one session only: another day" in said
    path, said = imported([folder / "empty.csv"], tmp_path / "bare.npz")
    assert "no session: another day" in said and "there is nothing to predict yet" in said


@pytest.mark.parametrize(("labels", "message"), [
    ({"label": "1"}, "label: 'label' is unknown, did you mean location or activity?"),
    ({"room": "1"}, "did you mean session?"), ({"locaton": "1"}, "did you mean location?"),
    ({"qqq": "1"}, "label: 'qqq' is unknown. Known: session"), ({"location": "-1"}, "location: got -1, expected"),
    ({"xy": "here"}, "xy: got 'here', expected two numbers"), ({"xy": "1,2,3"}, "expected two numbers"),
    ({"xy": "1,nan"}, "expected two numbers")])
def test_wrong_labels_are_named_and_nothing_is_written(folder, tmp_path, labels, message):
    with pytest.raises(ValueError) as problem:
        imported([folder], tmp_path / "my.npz", labels=labels)
    assert message in str(problem.value)
    assert not list(tmp_path.glob("*.npz")) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("table", "kind", "message"), [
    ("name,session\nempty.csv,1\n", ValueError, "it has no column file; its columns are name, session"),
    ("file,room\nempty.csv,1\n", ValueError, "column: 'room' is unknown, did you mean session"),
    ("file,session\nempty.csv,1\nwalking.csv,\n", ValueError, "session is empty for walking.csv"),
    ("file,session\nempty.csv,1\nempty.csv,2\n", ValueError, "names empty.csv more than once"),
    ("file,x\nempty.csv,1\n", ValueError, "of x and y one is missing"),
    ("file,session\nother.csv,1\n", FileNotFoundError, "names other.csv, which is not beside it nor among")])
def test_wrong_tables_are_named(folder, tmp_path, table, kind, message):
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(kind, match="labels.csv") as problem:
        imported([folder], tmp_path / "my.npz", table=tmp_path / "labels.csv")
    assert message in str(problem.value)


def test_what_is_there_is_not_written_over(folder, tmp_path):
    for name in ("my.png", "my.npz"):  # a picture of a person's own, too
        (tmp_path / name).write_text("precious")
        with pytest.raises(FileExistsError, match=f"{name} is there already"):
            imported([folder], tmp_path / "my.npz")
        assert (tmp_path / name).read_text() == "precious"
    imported([folder], tmp_path / "my.npz", replace=True)
    assert len(datasets.load(tmp_path / "my.npz")["csi"]) == 63
    with pytest.raises(ValueError, match="expected a name that ends in .npz"):
        imported([folder], tmp_path / "my.csv")
    with pytest.raises(FileNotFoundError, match="to: there is no folder"):
        imported([folder], tmp_path / "none/my.npz")


@pytest.mark.parametrize("step", ["draw", "savez_compressed", "checked"])
def test_a_failure_half_way_leaves_nothing(folder, tmp_path, monkeypatch, step):
    def fail(*args, **rest):
        raise OSError("no space left on device")
    owner = {"draw": importing.picture, "savez_compressed": np, "checked": importing.own_data}[step]
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(OSError, match="no space"):
        imported([folder], tmp_path / "my.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_files_that_do_not_fit_each_other(folder, tmp_path):
    log(folder / "wide.csv", line=espressif, n=384)
    with pytest.raises(ValueError, match=r"empty\.csv: 64 subcarriers -32\.\.31.*wide\.csv: 128 subcarriers -64\.\.63"):
        imported([folder], tmp_path / "my.npz")
    path, _ = imported([folder / "wide.csv"], tmp_path / "my.npz", field="LLTF")
    assert datasets.load(path)["csi"].shape == (5, 52, 1, 1)


def test_gain_and_null_subcarriers_are_kept_where_asked(tmp_path):
    log(tmp_path / "c5.csv", line=newer, n=234)
    path, _ = imported([tmp_path / "c5.csv"], tmp_path / "my.npz", keep_null=True)
    ds = datasets.load(path)
    assert ds["gain"].tolist() == [41] * 5 and ds["csi"].shape == (5, 117, 1, 1) and ds["null"].sum() == 3
    assert ds["bandwidth"] == 4e7 and ds["subcarrier_index"][0] == -58
    log(tmp_path / "other.csv", line=newer, n=234)
    (tmp_path / "other.csv").write_text((tmp_path / "other.csv").read_text().replace("-40", "-50"))
    path, _ = imported([tmp_path / "c5.csv", tmp_path / "other.csv"], tmp_path / "both.npz")
    assert datasets.load(path)["rssi"].tolist() == [-40] * 5 + [-50] * 5


def test_an_even_rate_is_a_choice_that_is_said(tmp_path):
    lines = [tool(NUMBERS[k:128 + k], clock=clock) for k, clock in enumerate((0, 10_000, 19_000, 32_000, 80_000))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    path, said = imported([tmp_path / "a.csv"], tmp_path / "my.npz", rate=100)
    ds = datasets.load(path)
    np.testing.assert_allclose(ds["t"], np.arange(9) * 0.01, atol=1e-12)
    assert ds["fs"] == 100 and len(ds["csi"]) == 9
    plain = datasets.load(imported([tmp_path / "a.csv"], tmp_path / "plain.npz")[0])
    assert "fs" not in plain.arrays and len(plain["csi"]) == 5
    for row, packet in enumerate((0, 1, 2, 3, 3, 3, 4, 4, 4)):
        np.testing.assert_array_equal(ds["csi"][row], plain["csi"][packet])
    assert "5 packets at uneven times, 9 instants at 100 Hz: 4 of these repeat a packet, 0 packets are not used" in said
    with pytest.raises(ValueError, match="its clock or the rate is wrong"):
        imported([tmp_path / "a.csv"], tmp_path / "other.npz", rate=999_999)
    with pytest.raises(ValueError, match="rate: got -1"):
        imported([tmp_path / "a.csv"], tmp_path / "other.npz", rate=-1)


def test_gain_steps_dead_subcarriers_gaps_and_clocks_are_said(tmp_path):
    rng = np.random.default_rng(0)
    frames = []
    for k in range(40):
        values = rng.integers(900, 1100, (64, 2)) * (1 if k < 20 else 3)
        values[20] = 1  # -12
        frames.append(nexmon_frame(np.ascontiguousarray(np.fft.ifftshift(values, axes=0).astype("<i2")).view("<u4"), 64,
                                   seq=k))
    content = bytearray(pcap(frames))
    content[24 + 4:24 + 8] = (10**6 - 1).to_bytes(4, "little")  # the first clock is late
    (tmp_path / "a.pcap").write_bytes(bytes(content))
    _, said = imported([tmp_path / "a.pcap"], tmp_path / "my.npz")
    assert "the clock steps back 1 times" in said and "1 more subcarriers are dead: -12" in said
    assert "1 of 40 packets differ from the one before by more than 3 dB" in said


def test_names_of_recordings_are_different(tmp_path):
    for name in ("monday", "tuesday"):
        (tmp_path / name).mkdir()
        log(tmp_path / name / "walk.csv")
    path, _ = imported([tmp_path / "monday", tmp_path / "tuesday"], tmp_path / "my.npz")
    assert sorted(set(datasets.load(path)["recording"])) == ["monday/walk.csv", "tuesday/walk.csv"]


# ---- The command -----------------------------------------------------------------------------------------------

def test_the_command(folder, tmp_path, capsys):
    command = ["import", str(folder / "empty.csv"), str(folder / "walking.csv"), "--to", str(tmp_path / "my.npz")]
    assert csi_papers.main([*command, "--label", "session=monday", "--label", "xy=1,2"]) == 0
    out = capsys.readouterr()
    assert "42 packets x 51 x 1 x 1" in out.out and "my.png: a picture" in out.out and not out.err
    assert csi_papers.main(command) == 1
    assert "my.npz is there already" in capsys.readouterr().err
    assert csi_papers.main([*command, "--replace", "--label", "session"]) == 1
    assert "label: got 'session', expected name=value" in capsys.readouterr().err
    assert csi_papers.main([*command, "--replace", "--label", "room=1"]) == 1
    assert "nothing was written: label: 'room' is unknown, did you mean session?" in capsys.readouterr().err
    assert csi_papers.main(["import", str(tmp_path / "none.csv"), "--to", str(tmp_path / "b.npz")]) == 1
    assert "there is no file" in capsys.readouterr().err


@needs("captures")
@pytest.mark.parametrize("name", ["intel5300_los_40.dat", "intel5300_sample_0x1_ap.dat", "atheros_ath_csi_1.dat",
                                  "nexmon_43455c0.pcap", "nexmon_4366c0.pcap", "esp32_example_100hz_pitraffic.csv",
                                  "picoscenes_iwl5300_example.csi", "picoscenes_ax200_example.csi",
                                  "feitcsi_VHT80_5500.csi"])
def test_every_kind_becomes_own_data_without_an_address(tmp_path, name):
    pytest.importorskip("csiread")
    labels = {"session": "1", "activity": "walk"}
    path, said = imported([MIRROR / "captures" / name], tmp_path / "my.npz", labels=labels)
    ds = datasets.load(path)
    assert packets.READABLE[packets.kind_of(MIRROR / "captures" / name)] in said
    assert ds.groups == ("session", "recording") and np.isfinite(ds["csi"]).all()
    assert set(ds.arrays) <= {"csi", "t", "rssi", "gain", "subcarrier_index", "fc", "bandwidth", "recording", "session",
                              "activity"}
