"""Which distribution this is, and how it installs a package."""

from __future__ import annotations

from collections.abc import Mapping

# Family as os-release's ID or ID_LIKE names it -> (install command, package of bcc's Python module).
_FAMILIES: Mapping[str, tuple[str, str]] = {
    "debian": ("apt-get install -y", "python3-bpfcc"),
    "ubuntu": ("apt-get install -y", "python3-bpfcc"),
    "fedora": ("dnf install -y", "python3-bcc"),
    "rhel": ("dnf install -y", "python3-bcc"),
    "suse": ("zypper install -y", "python3-bcc"),
    "opensuse": ("zypper install -y", "python3-bcc"),
    "alpine": ("apk add", "py3-bcc"),
    "arch": ("pacman -S --noconfirm", "python-bcc"),
}


def parse_os_release(text: str) -> dict[str, str]:
    """The assignments of an os-release file, quotes removed."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


class Distribution:
    """The package manager's commands; None for a distribution that is not known."""

    def __init__(self, os_release: str) -> None:
        """`os_release` is the text of /etc/os-release, "" where there is none."""
        fields = parse_os_release(os_release)
        candidates = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
        self._family = next((_FAMILIES[name] for name in candidates if name in _FAMILIES), None)

    def install(self, package: str) -> str | None:
        """The command that installs a package which has the same name everywhere."""
        return f"{self._family[0]} {package}" if self._family else None

    def install_bcc(self) -> str | None:
        """The command that installs bcc's Python module."""
        return self.install(self._family[1]) if self._family else None
