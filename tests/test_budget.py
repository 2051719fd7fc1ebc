"""How much memory there is, on systems that say so in different ways."""

import torch

from ad_models.budget import GB, allowance, disk, duration, free, size

CPU = torch.device("cpu")


def system(root, group="", **files):
    """A fake root with 8 GB available; files: path with dots for slashes -> content."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    (root / "proc/self/cgroup").write_text(group)
    for path, text in files.items():
        place = root / "sys/fs/cgroup" / path.replace("__", "/").replace("_DOT_", ".")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root


def test_without_groups_it_is_what_the_system_has(tmp_path):
    assert free(CPU, system(tmp_path)) == 8_000_000 * 1024


def test_a_group_of_version_2_limits_and_its_cache_gives_way(tmp_path):
    root = system(
        tmp_path,
        "0::/a/b\n",
        a__memory_DOT_max="3000",
        a__memory_DOT_current="1000",
        a__memory_DOT_stat="anon 5\ninactive_file 400\n",
        a__b__memory_DOT_max="max",
        a__b__memory_DOT_current="900",
    )
    (root / "sys/fs/cgroup/a/b/memory.stat").write_text("")
    assert free(CPU, root) == 3000 - 1000 + 400


def test_a_group_of_version_1_limits_where_its_path_is_not_mounted(tmp_path):
    root = system(
        tmp_path,
        "8:pids:/\n4:memory:/docker/abc\n0::/\n",
        memory__memory_DOT_limit_in_bytes="5000",
        memory__memory_DOT_usage_in_bytes="2000",
        memory__memory_DOT_stat="total_inactive_file 100\n",
    )
    assert free(CPU, root) == 3100


def test_this_machine_has_some_memory():
    assert 0 < free(CPU) < 2**50
    assert 0 < allowance(None, CPU) < 2**50
    assert allowance(1.5, CPU) == 1.5 * GB


def test_a_folder_in_memory_is_no_disk(tmp_path):
    (tmp_path / "proc").mkdir()
    mounts = f"disk / ext4 rw 0 0\ntmpfs {tmp_path.resolve()} tmpfs rw 0 0\n"
    (tmp_path / "proc/mounts").write_text(mounts)
    assert disk(tmp_path, tmp_path) is None
    (tmp_path / "proc/mounts").write_text("disk / ext4 rw 0 0\n")
    folder, room = disk(tmp_path, tmp_path)
    assert folder == tmp_path.resolve() and room > 0


def test_in_words():
    assert [size(3.21e9), size(4.5e6)] == ["3.2 GB", "4.5 MB"]
    assert [duration(0.1), duration(80), duration(200), duration(9000)] == [
        "1 s",
        "80 s",
        "3 min",
        "2.5 h",
    ]
