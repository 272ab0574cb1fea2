"""What a C compiler makes of the headers in bpf/."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from pidscope.wire.layout import Layout


def compiled_layouts(
    headers: Iterable[Path], folder: Path, names: Iterable[str], layouts: Iterable[Layout]
) -> dict[str, tuple[int, ...]]:
    """Return the value of each name; of each struct its size; of each field its place and size."""
    lines = [f'say("{name}", {name}, 0);' for name in names]
    for name, layout in {one.struct_name: one for one in layouts}.items():
        lines.append(f'say("{name}", sizeof(struct {name}), 0);')
        for path, _ in layout.fields:
            of = f"offsetof(struct {name}, {path}), sizeof(((struct {name} *)0)->{path})"
            lines.append(f'say("{name}.{path}", {of});')
    source = folder / "layout.c"
    source.write_text(
        "#include <stdio.h>\n#include <stddef.h>\n#include <stdint.h>\n"
        "typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;\n"
        + "".join(f'#include "{header}"\n' for header in headers)
        + "static void say(const char *name, size_t a, size_t b)\n"
        '{ printf("%s %zu %zu\\n", name, a, b); }\n'
        "int main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n"
    )
    program = folder / "layout"
    subprocess.run(["gcc", "-Wall", "-Werror", "-o", program, source], check=True)
    said = subprocess.check_output([program], text=True)
    rows = (line.split() for line in said.splitlines())
    return {name: tuple(map(int, values)) for name, *values in rows}
