"""The guest in the cache: used when whole, built once when not, one builder at a time."""

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.guest import build, recipe, store
from deploy.guest.errors import CacheUnwritable
from deploy.guest.manifest import (
    MANIFEST_NAME,
    Manifest,
    ManifestDamaged,
    PackageRecord,
    parse,
    parse_packages,
    record_file,
    render,
    render_packages,
    sha256_of,
)
from deploy.guest.packages import INDEX_NAME, PackageCache
from deploy.guest.progress import Say

PACKAGE = PackageRecord("busybox", '1:2"\\', "busybox_1%3a2.deb", 3, "00")


class Builder:
    """Stands where `build.build` does: writes small files instead of Debian's."""

    def __init__(self) -> None:
        self.builds = 0

    def __call__(self, directory: Path, cache: PackageCache, say: Say) -> None:
        self.builds += 1
        for name in (recipe.KERNEL_NAME, recipe.INITRD_NAME):
            (directory / name).write_bytes(name.encode() * 100)
        (directory / MANIFEST_NAME).write_text(render(manifest(directory)))


def manifest(directory: Path) -> Manifest:
    files = tuple(record_file(directory / name) for name in (recipe.INITRD_NAME, recipe.KERNEL_NAME))
    return Manifest(1, recipe.recipe_sha256(), "6", ("a", "b"), (), ("c",), files, (PACKAGE,))


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    stand_in = Builder()
    monkeypatch.setattr(build, "build", stand_in)
    return stand_in


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_manifest_is_read_back_as_it_was_written(tmp_path: Path, builder: Builder) -> None:
    store.ensure_guest(tmp_path, say=lambda _: None)
    written = manifest(store.guest_directory(tmp_path))
    assert parse(render(written)) == written
    assert parse_packages(render_packages([PACKAGE])) == (PACKAGE,)


@pytest.mark.parametrize("text", ["", "recipe = ", 'recipe = 1\nfile = "x"'])
def test_another_text_is_no_manifest(text: str) -> None:
    with pytest.raises(ManifestDamaged):
        parse(text)


def test_a_guest_is_built_once(tmp_path: Path, builder: Builder) -> None:
    said: list[str] = []
    first = store.ensure_guest(tmp_path, say=said.append)
    said.clear()
    assert store.ensure_guest(tmp_path, say=said.append) == first
    assert builder.builds == 1
    assert len(said) == 1
    assert said[0].startswith("using ")


def test_finding_a_guest_builds_nothing(tmp_path: Path, builder: Builder) -> None:
    assert store.find_guest(tmp_path) is None
    assert builder.builds == 0
    built = store.ensure_guest(tmp_path, say=lambda _: None)
    assert store.find_guest(tmp_path) == built


def test_a_flipped_byte_is_named_and_the_guest_built_again(tmp_path: Path, builder: Builder) -> None:
    guest = store.ensure_guest(tmp_path, say=lambda _: None)
    flip_a_byte(guest.initrd)
    assert guest.damaged() == [recipe.INITRD_NAME]
    said: list[str] = []
    assert store.ensure_guest(tmp_path, say=said.append).damaged() == []
    assert builder.builds == 2
    assert f"{guest.initrd} is damaged" in said[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda directory: (directory / recipe.KERNEL_NAME).unlink(),
        lambda directory: (directory / recipe.KERNEL_NAME).write_bytes(b"short"),
        lambda directory: (directory / MANIFEST_NAME).write_bytes(b"\xff"),
        lambda directory: (directory / MANIFEST_NAME).unlink(),
    ],
)
def test_a_guest_that_is_not_whole_is_not_found(
    tmp_path: Path, builder: Builder, damage: Callable[[Path], None]
) -> None:
    store.ensure_guest(tmp_path, say=lambda _: None)
    damage(store.guest_directory(tmp_path))
    assert store.find_guest(tmp_path) is None
    store.ensure_guest(tmp_path, say=lambda _: None)
    assert builder.builds == 2


def test_a_guest_of_another_recipe_is_built_again(
    tmp_path: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.ensure_guest(tmp_path, say=lambda _: None)
    monkeypatch.setattr(recipe, "RECIPE_VERSION", recipe.RECIPE_VERSION + 1)
    assert store.find_guest(tmp_path) is None


def test_what_a_killed_build_left_is_removed(tmp_path: Path, builder: Builder) -> None:
    left_over = tmp_path / "guest" / f"{store.BUILDING_PREFIX}killed"
    left_over.mkdir(parents=True)
    store.ensure_guest(tmp_path, say=lambda _: None)
    assert not left_over.exists()


def test_a_cache_that_is_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.write_text("")
    with pytest.raises(CacheUnwritable, match=str(cache)):
        store.ensure_guest(cache, say=lambda _: None)


def test_the_lock_is_held_inside_and_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "guest" / "lock"
    with (
        store.locked(path, lambda _: None),
        path.open() as second,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open() as second:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_builder_that_must_wait_says_so_and_then_has_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    said: list[str] = []
    with path.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def release(line: str) -> None:
            said.append(line)
            fcntl.flock(other, fcntl.LOCK_UN)

        with store.locked(path, release):
            assert said == [f"waiting for another build ({path})"]


def test_cached_packages_are_used_without_asking_for_a_mirror(tmp_path: Path) -> None:
    def no_mirror() -> tuple[str, ...]:
        pytest.fail("a mirror was asked for")

    (tmp_path / "x.deb").write_bytes(b"content")
    record = PackageRecord("x", "1", "x.deb", 7, sha256_of(tmp_path / "x.deb"))
    (tmp_path / INDEX_NAME).write_text(render_packages([record]))
    cache = PackageCache(tmp_path, tmp_path / "apt", no_mirror, lambda _: None)
    assert cache.provide(["x"]) == (record,)


def test_a_damaged_package_is_named_and_removed_before_it_is_fetched_again(tmp_path: Path) -> None:
    class Asked(Exception):
        pass

    def mirror() -> tuple[str, ...]:
        raise Asked

    package = tmp_path / "x.deb"
    package.write_bytes(b"content")
    record = PackageRecord("x", "1", package.name, 7, sha256_of(package))
    (tmp_path / INDEX_NAME).write_text(render_packages([record]))
    flip_a_byte(package)
    said: list[str] = []
    with pytest.raises(Asked):
        PackageCache(tmp_path, tmp_path / "apt", mirror, said.append).provide(["x"])
    assert not package.exists()
    assert said == [f"{package} is damaged (its sha256 is another): fetching it again"]
