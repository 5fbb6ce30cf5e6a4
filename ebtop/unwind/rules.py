"""The rule for each frame of a stack that is walked here, and which tables there were none of."""

from __future__ import annotations

from collections.abc import Callable

from ebtop.process.mappings import Mapping
from ebtop.unwind.binaries import Binaries, Binary, may_have_table
from ebtop.unwind.ends import End
from ebtop.unwind.images import Image, Images
from ebtop.unwind.rule import GAP, Cfa, Rule


class Rules:
    """Finds rules for one stack, and notes which tables there are none of."""

    def __init__(
        self, image: Image, images: Images, binaries: Binaries, look_at_new_code: Callable[[Image], bool]
    ) -> None:
        """`look_at_new_code` is told that a stack leads through code that is in no table, and returns whether there
        are new tables now."""
        self._image = image
        self._images = images
        self._binaries = binaries
        self._look_at_new_code = look_at_new_code
        self.not_placed: dict[Binary, Mapping] = {}
        """Whose table is not in the kernel."""
        self.to_make: Binary | None = None
        """Where the walk ended because the table is not at hand here either."""

    def find(self, pc: int) -> Rule | End:
        mapped = self._image.find(pc)
        if mapped is None and self._images.read_again(self._image):
            mapped = self._image.find(pc)
        if mapped is None:
            return End.NO_MAPPING
        if not may_have_table(mapped.file):
            return self._of_new_code(pc)
        binary = self._binaries.find(self._image.pid, mapped)
        if binary is None:
            return End.NO_TABLE
        bias = binary.bias(mapped)
        if bias is None or binary.described is False:
            return GAP
        if not binary.table_number:
            self.not_placed[binary] = mapped
        rule = self._binaries.rule(binary, pc - bias)
        if rule is None:
            self.not_placed[binary] = mapped
            self.to_make = binary
            return End.NO_TABLE
        return self._of_new_code(pc) if rule.cfa == Cfa.NOT_READ else rule

    def _of_new_code(self, pc: int) -> Rule | End:
        return self.find(pc) if self._look_at_new_code(self._image) else GAP
