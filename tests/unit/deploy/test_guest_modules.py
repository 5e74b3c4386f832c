"""Which kernel modules go into the guest, and in what order modprobe is told to load them."""

import pytest

from deploy.guest import modules
from deploy.guest.errors import ModuleMissing, PackageUnexpected
from tests.unit.deploy.guest_samples import RELEASE, module_bytes, module_files


def tree(built_in: str = "", **depends: str) -> modules.ModuleTree:
    files = module_files(**depends)
    files[f"lib/modules/{RELEASE}/modules.builtin"] = built_in.encode()
    return modules.module_tree(files)


def test_a_module_comes_after_everything_it_depends_on() -> None:
    chosen = modules.select(tree(net="failover,core", failover="core", core="", other=""), ["net"], [])
    assert [module.name for module in chosen.modules] == ["core", "failover", "net"]


def test_modules_dep_names_what_is_loaded_first_last() -> None:
    chosen = modules.select(tree(net="failover", failover="core", core=""), ["net"], [])
    assert modules.modules_dep(chosen.modules) == (b"core.ko:\nfailover.ko: core.ko\nnet.ko: failover.ko core.ko\n")


def test_modules_alias_tells_which_module_drives_which_device() -> None:
    chosen = modules.select(tree(net=""), ["net"], [])
    assert modules.modules_alias(chosen.modules) == b"alias of:N*T*Cnet net\n"


def test_what_is_built_into_the_kernel_is_not_missing() -> None:
    chosen = modules.select(tree("kernel/core.ko kernel/usb-x.ko", net="core"), ["net", "usb_x"], [])
    assert [module.name for module in chosen.modules] == ["net"]
    assert chosen.built_in == ("usb_x",)


def test_dashes_and_underscores_in_names_are_the_same() -> None:
    files = {f"lib/modules/{RELEASE}/virtio-rng.ko": module_bytes(depends="rng-core")}
    files[f"lib/modules/{RELEASE}/rng-core.ko"] = module_bytes(depends="")
    chosen = modules.select(modules.module_tree(files), ["virtio_rng"], [])
    assert [module.name for module in chosen.modules] == ["rng_core", "virtio_rng"]


def test_a_missing_optional_module_is_listed() -> None:
    chosen = modules.select(tree(net=""), ["net"], ["fat", "net"])
    assert chosen.missing == ("fat",)


def test_a_missing_required_module_is_an_error_with_its_name() -> None:
    with pytest.raises(ModuleMissing, match="kernel module usbhid"):
        modules.select(tree(net=""), ["usbhid"], [])


def test_a_missing_dependency_is_an_error_that_says_who_needs_it() -> None:
    with pytest.raises(ModuleMissing, match=r"core \(net depends on it\)"):
        modules.select(tree(net="core"), ["net"], [])


def test_modules_of_no_kernel_are_refused() -> None:
    with pytest.raises(PackageUnexpected, match="modules of 0 kernels"):
        modules.module_tree({})


def test_a_file_that_is_no_module_is_refused() -> None:
    files = {f"lib/modules/{RELEASE}/net.ko": b"text"}
    with pytest.raises(PackageUnexpected, match="not a kernel module"):
        modules.select(modules.module_tree(files), ["net"], [])


def test_modules_of_the_same_kernel_from_elsewhere_fill_gaps_and_replace_none() -> None:
    installers = tree(net="", fat="")
    assert installers.absent(["net", "cdc_acm", "fat"]) == ("cdc_acm",)
    place = f"usr/lib/modules/{installers.release}/kernel"
    more = {f"{place}/cdc-acm.ko.xz": b"acm", f"{place}/net.ko": b"other", "lib/modules/5.0/kernel/old.ko": b"old"}
    whole = installers.with_more(more)
    assert whole.files["cdc_acm"][1] == b"acm"
    assert whole.files["net"] == installers.files["net"]
    assert whole.absent(["cdc_acm", "old"]) == ("old",)
